//! `skep gateway napster`: an index that verifies who seeds a file, and peers that seed and leech.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use skep_gateway::{
    bridge,
    napster::{
        client::{self, Client, CommandError},
        codec::{FileName, MAX_SEGMENT_BYTES, SEGMENT_BYTES},
        index::{Pick, Rules},
        peer::Known,
        server::{self, Server},
    },
};

use super::{
    Ready, Shared,
    console::{Console, Next},
    done_listing,
    expose::{Expose, beside, reached},
    home, say_listening, shared_dir, start_failed, start_log, unknown,
};
use crate::{exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime};

const MENU: &str = "register FILE | get FILE | list | quit";

/// An index lists who has a file once that was proven; whoever downloads becomes a seeder
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    Index(IndexArgs),
    Peer(PeerArgs),
}

/// Run the index
#[derive(clap::Args)]
struct IndexArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// How the seeder of a request is chosen
    #[arg(long, value_enum, default_value = "random")]
    pick: PickArg,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
}

/// Run a peer: it registers files, sends them, and gets others
#[derive(clap::Args)]
struct PeerArgs {
    /// Host and port of the index
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Folder to share and to download into
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
    /// Commands, instead of those on standard input
    #[arg(last = true)]
    commands: Vec<String>,
}

/// What programs of this protocol may do differently.
#[derive(clap::Args)]
struct Form {
    /// Bytes of the data in a segment
    #[arg(long, default_value_t = SEGMENT_BYTES, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(512..=i64::from(MAX_SEGMENT_BYTES)))]
    segment: u32,
    /// Take messages that name other addresses than their sender's
    #[arg(long)]
    allow_other_addresses: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PickArg {
    /// Any seeder, all alike
    Random,
    /// The one that was handed out least recently
    RoundRobin,
    /// Any, in proportion to 1 + how often it has brought the file to others
    Credit,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    start_log(globals, out);
    match args.role {
        Role::Index(args) => runtime::block_on(index(args, globals, out)),
        Role::Peer(args) => runtime::block_on(peer(args, globals, out)),
    }
}

async fn index(args: IndexArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let config = server::Config {
        home: home(globals, "napster-index")?,
        listen: args.listen,
        advertise: args.shared.advertise,
        rules: Rules {
            pick: match args.pick {
                PickArg::Random => Pick::Random,
                PickArg::RoundRobin => Pick::RoundRobin,
                PickArg::Credit => Pick::Credit,
            },
            other_addresses: args.form.allow_other_addresses,
        },
        segment_bytes: args.form.segment,
    };
    let journal = args.shared.journal()?;
    let server = Server::start(runtime::world(), journal.clone(), config).await;
    let server = server.map_err(start_failed)?;
    let provider = client::Config {
        server: reached(server.local(), args.shared.advertise).to_string(),
        listen: SocketAddr::new(args.listen.ip(), 0),
        advertise: args.shared.advertise,
        dir: bridge::FOLDER.into(),
        segment_bytes: args.form.segment,
        other_addresses: args.form.allow_other_addresses,
    };
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    say_listening(out, "index", server.local());
    beside(bridge, out, stop.cancelled()).await;
    server.stop().await;
    Ok(Exit::Done)
}

async fn peer(args: PeerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let console = Console::new(&args.commands, MENU)?;
    let config = client::Config {
        server: args.server,
        listen: args.listen,
        advertise: args.shared.advertise,
        dir: shared_dir(args.dir.as_ref())?,
        segment_bytes: args.form.segment,
        other_addresses: args.form.allow_other_addresses,
    };
    let journal = args.shared.journal()?;
    let provider = client::Config {
        listen: SocketAddr::new(config.listen.ip(), 0),
        dir: bridge::FOLDER.into(),
        ..config.clone()
    };
    let client = Client::start(runtime::world(), journal.clone(), config).await;
    let client = client.map_err(start_failed)?;
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    let listen = client.local();
    let ready = Ready::peer(listen, listen, None);
    out.event("ready", &ready, format!("The peer listens on {listen}."));
    let does = async |words: Vec<String>| command(&client, &words, out).await;
    let exit = beside(bridge, out, console.run(out, &stop, does)).await;
    client.stop().await;
    exit
}

async fn command(client: &Client, words: &[String], out: &Output) -> Result<Next, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["register", file] => {
            let known = client.register(file).await.map_err(failed)?;
            let text = format!("{file} is registered.");
            out.event("done", &Done::of("register", file, known), text);
        }
        ["get", file] => {
            let got = client.get(file).await.map_err(failed)?;
            let mut done = Done::of("get", file, got.known);
            done.seeder = Some(got.seeder.to_string());
            out.event("done", &done, format!("{file} has come from {}.", got.seeder));
        }
        ["list"] => {
            let files: Vec<Row> = client.files().into_iter().map(Row::of).collect();
            out.rows(&files, &["file", "size", "sha-256"], |row| {
                vec![
                    row.file.clone(),
                    output::bytes(row.bytes.into()),
                    row.hash.clone(),
                ]
            });
            done_listing("list", out);
        }
        ["quit"] => return Ok(Next::Quit),
        _ => return Err(unknown(&words, MENU)),
    }
    Ok(Next::Command)
}

/// The `done` event of a command.
#[derive(Serialize)]
struct Done<'a> {
    command: &'static str,
    file: &'a str,
    bytes: u32,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seeder: Option<String>,
}

impl<'a> Done<'a> {
    fn of(command: &'static str, file: &'a str, known: Known) -> Self {
        Self {
            command,
            file,
            bytes: known.file_size,
            hash: known.hash.to_string(),
            seeder: None,
        }
    }
}

#[derive(Serialize)]
struct Row {
    file: String,
    bytes: u32,
    hash: String,
}

impl Row {
    fn of((name, known): (FileName, Known)) -> Self {
        Self {
            file: name.to_string(),
            bytes: known.file_size,
            hash: known.hash.to_string(),
        }
    }
}

fn failed(error: CommandError) -> Failure {
    use skep_gateway::napster::peer::Failure as Why;
    let (kind, hint) = match &error {
        CommandError::Name(..) => ("name", "rename the file"),
        CommandError::Unreadable { .. } => ("not_found", "the file must lie directly in --dir"),
        CommandError::TooLarge(_) => ("too_large", "share it with `skep share` instead"),
        CommandError::Exists(_) => ("exists", "move the file away first"),
        CommandError::Busy(_) => ("busy", "wait until the first one ends"),
        CommandError::Failed(_, Why::NotFound) => ("not_found", "somebody has to register it first"),
        CommandError::Failed(_, Why::IndexDown | Why::IndexSilent) => (
            "no_answer",
            "see whether the index runs, and whether it can reach --listen",
        ),
        CommandError::Failed(_, Why::Seeders(_)) => ("failed", "try again when other seeders are there"),
        CommandError::Failed(_, Why::Write(_)) => ("disk", "check the folder and the room on its disk"),
        CommandError::Stopped => ("interrupted", ""),
    };
    Failure::new(kind, error, hint)
}
