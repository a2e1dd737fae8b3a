//! `skep peers revoke`: a lost machine is shut out, of the network and of its owner's backups.

use serde::Serialize;
use skep_coordinator::api::{Revoke, Status};
use skep_node::api::types::{DeviceLine, RevokeDone, RevokeRequest};

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime, words};

/// Shut a lost or stolen machine out, for good
///
/// On another device of its owner: it loses its part in the owner's backups. The 24 words are asked for. What was
/// backed up stays readable on the devices that are left; what is backed up from now on, the lost one cannot read.
///
/// Where the coordinator runs: nobody in the network talks to it any more.
///
/// On a machine where both run, both are done. If it was stolen, do both.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the machine, or of an owner's device the beginning of its key
    name: String,
    /// File with the words, or - to read them from standard input [default: typed on the terminal, not shown]
    #[arg(long, value_name = "FILE|-")]
    phrase_file: Option<String>,
}

/// How much of a key stands for it.
const SHORTEST_ID: usize = 8;

/// What was done.
#[derive(Serialize)]
struct Done {
    name: String,
    /// It was shut out of the network.
    network: bool,
    /// It was shut out of the owner's backups.
    backups: Option<RevokeDone>,
}

pub(super) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let is_coordinator = is_coordinator(globals)?;
    let backups = match is_device(&args, globals, is_coordinator)? {
        true => Some(from_backups(&args, globals)?),
        false => None,
    };
    if let Some(done) = &backups {
        out.note(format!(
            "{} has no part in the backups any more. What was backed up stays; from now on another key is used.",
            done.name
        ));
    }
    if is_coordinator {
        let name = args.name.clone();
        let client = Client::coordinator(&globals.coordinator_home()?);
        let _: serde_json::Value = runtime::block_on(client.post("/v1/revoke", &Revoke { name }))?;
        out.note(format!("Nobody in the network talks to {} any more.", args.name));
    }
    let text = format!("{} is revoked.", args.name);
    let done = Done {
        name: args.name,
        network: is_coordinator,
        backups,
    };
    out.event("done", &done, text);
    Ok(Exit::Done)
}

/// Whether a coordinator runs here.
fn is_coordinator(globals: &Globals) -> Result<bool, Failure> {
    let client = Client::coordinator(&globals.coordinator_home()?);
    Ok(runtime::block_on(client.get::<Status>("/v1/status")).is_ok())
}

/// Whether it is a device of the owner of the peer that runs here. If not, there has to be a coordinator.
fn is_device(args: &Args, globals: &Globals, is_coordinator: bool) -> Result<bool, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let devices: Vec<DeviceLine> = match runtime::block_on(client.get("/v1/devices")) {
        Err(_) if is_coordinator && args.phrase_file.is_none() => return Ok(false),
        devices => devices?,
    };
    let is_meant = |device: &DeviceLine| {
        device.name == args.name || device.id.starts_with(&args.name) && args.name.len() >= SHORTEST_ID
    };
    if devices.iter().any(is_meant) {
        return Ok(true);
    }
    if is_coordinator && args.phrase_file.is_none() {
        return Ok(false);
    }
    let names: Vec<&str> = devices.iter().map(|device| &*device.name).collect();
    Err(Failure::new(
        "not_found",
        format!(
            "the owner has no device {}; there are: {}",
            args.name,
            names.join(", ")
        ),
        "where the coordinator runs, `skep peers revoke` shuts any peer out of the network",
    ))
}

fn from_backups(args: &Args, globals: &Globals) -> Result<RevokeDone, Failure> {
    let request = RevokeRequest {
        name: args.name.clone(),
        phrase: words::read(args.phrase_file.as_deref())?.phrase,
    };
    let client = Client::peer(&globals.peer_home()?);
    runtime::block_on(client.post("/v1/devices/revoke", &request))
}
