//! The commands, one file each.

use clap::Subcommand;

use crate::{exit::Exit, failure::Failure, globals::Globals, output::Output};

mod backup;
mod cat;
mod check;
mod completions;
mod coordinator;
mod demo;
mod down;
mod downloads;
mod evict;
mod forget;
mod gateway;
mod get;
mod invite;
mod leave;
mod limit;
mod look;
mod ls;
mod man;
mod peers;
mod phrase;
mod prune;
mod restore;
mod revoke;
mod schedule;
mod search;
mod share;
mod snapshots;
mod status;
mod unshare;
mod up;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Coordinator(coordinator::Args),
    Invite(invite::Args),
    Up(up::Args),
    Down(down::Args),
    Leave(leave::Args),
    Status(status::Args),
    Peers(peers::Args),
    Ls(ls::Args),
    Search(search::Args),
    Share(share::Args),
    Unshare(unshare::Args),
    Get(get::Args),
    Cat(cat::Args),
    Gateway(gateway::Args),
    Backup(backup::Args),
    Snapshots(snapshots::Args),
    Restore(restore::Args),
    LsSnapshot(look::ListArgs),
    Diff(look::DiffArgs),
    Check(check::Args),
    Evict(evict::Args),
    Forget(forget::Args),
    Schedule(schedule::Args),
    Prune(prune::Args),
    RecoveryPhrase(phrase::ShowArgs),
    Recover(phrase::RecoverArgs),
    Downloads(downloads::Args),
    /// Let downloads stand still until `skep resume`, also over restarts of the peer
    Pause(downloads::Any),
    /// Let downloads go on, in the background
    Resume(downloads::Any),
    /// End downloads and remove what has come of them; what is finished stays
    Cancel(downloads::Named),
    Limit(limit::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Does it.
pub(crate) fn run(command: Command, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Coordinator(args) => coordinator::run(args, globals, out),
        Command::Invite(args) => invite::run(&args, globals, out),
        Command::Up(args) => up::run(args, globals, out),
        Command::Down(args) => down::run(&args, globals, out),
        Command::Leave(args) => leave::run(&args, globals, out),
        Command::Status(args) => status::run(&args, globals, out),
        Command::Peers(args) => peers::run(args, globals, out),
        Command::Ls(args) => ls::run(&args, globals, out),
        Command::Search(args) => search::run(&args, globals, out),
        Command::Share(args) => share::run(args, globals, out),
        Command::Unshare(args) => unshare::run(args, globals, out),
        Command::Get(args) => get::run(args, globals, out),
        Command::Cat(args) => cat::run(args, globals, out),
        Command::Gateway(args) => gateway::run(args, globals, out),
        Command::Backup(args) => backup::run(args, globals, out),
        Command::Snapshots(args) => snapshots::run(&args, globals, out),
        Command::Restore(args) => restore::run(args, globals, out),
        Command::LsSnapshot(args) => look::list(args, globals, out),
        Command::Diff(args) => look::diff(args, globals, out),
        Command::Forget(args) => forget::run(&args, globals, out),
        Command::Schedule(args) => schedule::run(args, globals, out),
        Command::Evict(args) => evict::run(args, globals, out),
        Command::Prune(args) => prune::run(&args, globals, out),
        Command::Check(args) => check::run(&args, globals, out),
        Command::RecoveryPhrase(args) => phrase::show(&args, globals, out),
        Command::Recover(args) => phrase::recover(&args, globals, out),
        Command::Downloads(args) => downloads::list(&args, globals, out),
        Command::Pause(args) => downloads::pause(args, globals, out),
        Command::Resume(args) => downloads::resume(args, globals, out),
        Command::Cancel(args) => downloads::cancel(args, globals, out),
        Command::Limit(args) => limit::run(args, globals, out),
        Command::Demo(args) => demo::run(&args, out),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
