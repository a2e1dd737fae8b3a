//! `skep invite`: a ticket for one more machine.

use std::time::Duration;

use clap::ValueEnum;
use skep_coordinator::api::{Invite, Invited};
use skep_wire::record::Role;

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, parse, runtime};

/// Make a ticket with which a machine joins the network
///
/// Run it where the coordinator runs. The ticket is a secret until it is used.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The widest role that it allows
    #[arg(long, default_value = "both")]
    role: RoleArg,
    /// How long it holds
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = parse::duration)]
    expires: Duration,
    /// How many machines may join with it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    uses: u32,
}

/// What a peer does in the network.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Shares, backs up, and keeps what others back up
    Both,
    /// Shares and backs up; keeps nothing for others
    Owner,
    /// Keeps what others back up
    Storage,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Both => Self::Both,
            RoleArg::Owner => Self::Owner,
            RoleArg::Storage => Self::Storage,
        }
    }
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::coordinator(&globals.coordinator_home()?);
    let request = Invite {
        role: args.role.into(),
        expires_s: args.expires.as_secs().max(1),
        uses: args.uses,
    };
    let invited: Invited = runtime::block_on(client.post("/v1/invite", &request))?;
    out.event("ticket", &invited, &invited.ticket);
    Ok(Exit::Done)
}
