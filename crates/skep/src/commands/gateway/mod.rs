//! `skep gateway DIALECT ROLE`: other people's protocols, in the foreground. One file per dialect.

mod console;
mod content;
mod expose;
mod napster;
mod p2pbrs;
mod supernova;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Subcommand;
use serde::Serialize;
use skep_gateway::{
    console::BadCommand,
    journal::Journal,
    own::StartError,
    strangers::{Cidr, Trust},
};

use crate::{exit::Exit, failure::Failure, globals, globals::Globals, logging, output::Output, runtime};

/// Speak another system's protocol, in any of its roles
///
/// Its programs then work with this one. A peer's role takes one command per line on standard
/// input, or after `--`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    dialect: Dialect,
}

/// Which protocol.
#[derive(Subcommand)]
enum Dialect {
    P2pbrs(p2pbrs::Args),
    Napster(napster::Args),
    Content(content::Args),
    Supernova(supernova::Args),
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    match args.dialect {
        Dialect::P2pbrs(args) => p2pbrs::run(args, globals, out),
        Dialect::Napster(args) => napster::run(args, globals, out),
        Dialect::Content(args) => content::run(args, globals, out),
        Dialect::Supernova(args) => supernova::run(args, globals, out),
    }
}

/// Starts the log. On a terminal a person sees every message, unless that wants to be left alone;
/// elsewhere `-v` asks for them, as nobody may be reading.
pub(crate) fn start_log(globals: &Globals, out: &Output) {
    logging::start(&Globals {
        verbose: globals.verbose || out.is_watched(),
        ..globals.clone()
    });
}

/// What every role of every dialect takes.
#[derive(clap::Args)]
pub(crate) struct Shared {
    /// Address to tell others, when listening on a wildcard
    #[arg(long, value_name = "IP")]
    advertise: Option<IpAddr>,
    /// Also write every message to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Addresses that are exempt from the bounds towards strangers; may be repeated
    #[arg(long, value_name = "CIDR")]
    trust: Vec<Cidr>,
}

impl Shared {
    /// Where messages are written down.
    pub(crate) fn journal(&self) -> Result<Journal, Failure> {
        let open = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path);
        let file = self
            .log
            .as_ref()
            .map(open)
            .transpose()
            .map_err(|e| Failure::usage(format!("the log file cannot be opened: {e}"), "check --log"))?;
        let file = file.map(|file| Box::new(file) as Box<dyn Write + Send>);
        Ok(Journal::new(runtime::world().clock, file))
    }

    /// Whom the bounds towards strangers do not meet.
    pub(crate) fn trust(&self) -> Trust {
        Trust::new(self.trust.clone())
    }
}

/// The folder of a role, in a namespace of its own beneath the home: a native peer may live beside it.
pub(crate) fn home(globals: &Globals, role: &str) -> Result<PathBuf, Failure> {
    Ok(globals.peer_home()?.join("gateway").join(role))
}

/// The folder that a peer shares and downloads into: `--dir`, made if it is missing, or the current one.
pub(crate) fn shared_dir(dir: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let dir = globals::absolute(dir.map_or(".".as_ref(), PathBuf::as_path))?;
    fs::create_dir_all(&dir).map_err(|e| {
        Failure::usage(
            format!("the folder {} cannot be made: {e}", dir.display()),
            "check --dir",
        )
    })?;
    Ok(dir)
}

/// The `ready` event of any role.
#[derive(Serialize)]
pub(crate) struct Ready {
    /// The role's first address; a peer's control address.
    pub(crate) listen: SocketAddr,
    /// Where a peer takes datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) udp: Option<SocketAddr>,
    /// Where a peer takes connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<SocketAddr>,
    /// The peer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

impl Ready {
    /// A server's.
    pub(crate) fn server(listen: SocketAddr) -> Self {
        Self {
            listen,
            udp: None,
            tcp: None,
            name: None,
        }
    }

    /// A peer's.
    pub(crate) fn peer(listen: SocketAddr, tcp: SocketAddr, name: Option<String>) -> Self {
        Self {
            tcp: Some(tcp),
            name,
            ..Self::server(listen)
        }
    }
}

/// For scripts, that a list has ended; a person sees that.
pub(crate) fn done_listing(command: &str, out: &Output) {
    if out.json {
        out.event("done", &serde_json::json!({ "command": command }), "");
    }
}

/// A command that this role does not have, or that is written otherwise.
pub(crate) fn unknown(words: &[&str], known: &'static str) -> Failure {
    console::not_understood(BadCommand::of(words, known))
}

/// Says that a server takes messages from now on.
fn say_listening(out: &Output, role: &str, listen: SocketAddr) {
    let ready = Ready::server(listen);
    out.event("ready", &ready, format!("The {role} listens on {listen}."));
}

/// A role that cannot start.
pub(crate) fn start_failed(error: StartError) -> Failure {
    let (kind, hint) = match &error {
        StartError::Listen { .. } => ("listen", "give another address with --listen"),
        StartError::Server { .. } => ("server", "write it like 192.168.1.5:9000"),
        StartError::Silent { .. } => ("no_answer", "see whether the server runs, and its address"),
        StartError::NotV4 { .. } => ("listen", "give an IPv4 address with --listen or --advertise"),
        StartError::Name { .. } => ("name", "give another name with --name"),
        StartError::Folder { .. } => ("folder", "check --dir, --home and their permissions"),
        StartError::Damaged { .. } => ("damaged", "repair the file, or move it away"),
        StartError::Home(_) => (
            "home",
            "stop the other program, or give this one a --home of its own",
        ),
    };
    Failure::new(kind, error, hint)
}
