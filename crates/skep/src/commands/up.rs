//! `skep up`: the peer, in the foreground or detached.

use std::{
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use skep_node::{Config, Node, api};
use skep_wire::{PeerName, ticket::Ticket};
use tokio::net::TcpListener;

use super::invite::RoleArg;
use crate::{
    detach, exit::Exit, failure::Failure, globals, globals::Globals, logging, output, output::Output, parse,
    runtime,
};

/// Run this machine's peer: it shares, serves and fetches
///
/// A machine joins once, with a ticket from `skep invite`; after that `skep up` is enough.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Join a network: a ticket, @FILE with one, or - to read it from standard input
    #[arg(long, value_name = "TICKET|@FILE|-")]
    join: Option<String>,
    /// Name of this peer in the network [default: peer_N]
    #[arg(long, value_name = "NAME")]
    name: Option<PeerName>,
    /// Address and port to listen on; port 0 is any, and the same as last time if that is free
    #[arg(long, default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// Host that others dial, if it is not the address that the coordinator sees
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Role, as wide as the ticket or narrower
    #[arg(long)]
    role: Option<RoleArg>,
    /// Space offered to others [default: a tenth of what is free, at most 100GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    capacity: Option<u64>,
    /// Space that stays free on the home's disk, whatever is offered
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse::bytes)]
    min_free: u64,
    /// Space that one owner's backups may take here [default: a quarter of what is offered]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    owner_quota: Option<u64>,
    /// How long condemned parts of backups stay
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse::duration)]
    grace: Duration,
    /// In what time all that this peer keeps for others is read once; what has rotten is made anew by others
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse::duration)]
    scrub_every: Duration,
    /// Where this machine stands, so that backups are spread over sites
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Publish each entry of this folder and follow its changes; may be repeated
    #[arg(long = "share", value_name = "DIR")]
    shares: Vec<PathBuf>,
    /// The most bytes per second to others
    #[arg(long, value_name = "RATE", value_parser = parse::rate)]
    up_rate: Option<u64>,
    /// The most bytes per second from others
    #[arg(long, value_name = "RATE", value_parser = parse::rate)]
    down_rate: Option<u64>,
    /// Also open the local API on this loopback address, for whoever knows the token in the home
    #[arg(long, value_name = "ADDRESS", value_parser = parse::loopback)]
    api: Option<SocketAddr>,
    /// Go on in the background; `skep down` stops it
    #[arg(long)]
    detach: bool,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = globals.peer_home()?;
    if args.detach {
        return detach::start(&home, out);
    }
    let messages = logging::start(globals);
    let api_at = args.api;
    let config = config(args, home.clone())?;
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        let node = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::interrupted()),
            node = Node::start(runtime::world(), config) => node.map_err(api::types::ErrorBody::from)?,
        };
        let socket = home.join(api::SOCKET);
        let listener = api::bind(&socket).map_err(no_api)?;
        let server = api::Server::new(node.clone(), messages, stop);
        let mut opened = None;
        if let Some(at) = api_at {
            let (listener, token) = open_loopback(&home, at).await.map_err(no_api)?;
            opened = Some(listener.local_addr().map_err(no_api)?.to_string());
            tokio::spawn(server.clone().serve_loopback(listener, token));
        }
        say_ready(&node, opened, out);
        let served = server.serve_local(listener).await;
        let _ = std::fs::remove_file(&socket);
        node.stop().await;
        served.map_err(no_api)?;
        Ok(Exit::Done)
    })
}

fn no_api(error: std::io::Error) -> Failure {
    Failure::new(
        "home",
        format!("the local API cannot be opened: {error}"),
        "check the home, and --api",
    )
}

/// A new token with each start; only this user can read it.
async fn open_loopback(home: &Path, at: SocketAddr) -> std::io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind(at).await?;
    let secret = runtime::world().entropy.bytes32();
    let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = home.join(api::TOKEN_FILE);
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(token.as_bytes())?;
    Ok((listener, token))
}

fn config(args: Args, home: PathBuf) -> Result<Config, Failure> {
    let mut config = Config::new(home, args.listen);
    config.ticket = args.join.as_deref().map(ticket).transpose()?;
    config.name = args.name;
    config.role = args.role.map(Into::into);
    config.advertise = args.advertise;
    config.capacity_bytes = args.capacity;
    config.min_free_bytes = args.min_free;
    config.owner_quota_bytes = args.owner_quota;
    config.grace = args.grace;
    config.scrub_every = args.scrub_every;
    config.site = args.site;
    config.zone = jiff::tz::TimeZone::system();
    config.watch = args
        .shares
        .iter()
        .map(|path| globals::absolute(path))
        .collect::<Result<_, _>>()?;
    config.up_rate = args.up_rate;
    config.down_rate = args.down_rate;
    for folder in &config.watch {
        if !folder.is_dir() {
            let message = format!("{} is not a folder", folder.display());
            return Err(Failure::usage(
                message,
                "--share takes a folder; `skep share` publishes a single file",
            ));
        }
    }
    Ok(config)
}

/// A ticket, from where it was said to be.
fn ticket(text: &str) -> Result<Ticket, Failure> {
    let read = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|e| {
            Failure::usage(
                format!("the ticket file {file} cannot be read: {e}"),
                "check the path",
            )
        })?,
        None if text == "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|e| Failure::usage(format!("no ticket came on standard input: {e}"), ""))?,
        None => text.to_owned(),
    };
    let ticket = read.trim().parse();
    ticket.map_err(|e| {
        Failure::usage(
            e,
            "ask for a ticket with `skep invite` where the coordinator runs",
        )
    })
}

fn say_ready(node: &Node, api: Option<String>, out: &Output) {
    let ready = api::types::Ready { api, ..node.ready() };
    let again = if ready.returning {
        "Welcome back"
    } else {
        "Welcome"
    };
    let text = format!("{again}, {}. This peer listens on {}.", ready.name, ready.listen);
    out.event("ready", &ready, text);
    let status = node.status();
    if !status.connected {
        out.note("The coordinator cannot be reached just now; this peer goes on trying.");
    }
    if status.capacity > 0 {
        out.note(format!(
            "It offers {} to others (--capacity).",
            output::bytes(status.capacity)
        ));
    }
    out.note("Share with `skep share PATH`, get with `skep get NAME`. Stop with Ctrl-C.");
}
