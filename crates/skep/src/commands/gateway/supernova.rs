//! `skep gateway supernova`: a tracker of peers with shared folders, and the peers.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use skep_gateway::{
    bridge,
    supernova::{
        book::Settings,
        client::{self, Client, CommandError},
        codec::Host,
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
use crate::{exit::Exit, failure::Failure, globals, globals::Globals, output::Output, runtime};

/// The name under which a gateway gives what is exposed; another one if that is taken.
const PROVIDER: &str = "gateway";

const MENU: &str = "\
Peers Menu:
  peers, list    peers in the network, and the files that they share
  get PEER FILE  a file of another peer
  dir PATH       another shared directory
  exit           leave";
const COMMANDS: &str = "peers | list | get PEER FILE | dir PATH | exit";

/// A tracker knows who shares which folder; peers come and go under their names
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    Tracker(TrackerArgs),
    Peer(PeerArgs),
}

/// Run the tracker; peers.json is in its home
#[derive(clap::Args)]
struct TrackerArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:45000")]
    listen: SocketAddr,
    /// Take peers that listen at another address than they connect from
    #[arg(long)]
    allow_other_addresses: bool,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
}

/// Run a peer; config.json is in its home, and options go before what is said there
#[derive(clap::Args)]
struct PeerArgs {
    /// Host and port of the tracker
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// The peer's name; without one the tracker gives it one
    #[arg(long)]
    name: Option<String>,
    /// Address and port to listen on [default: 127.0.0.1:0]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Folder to share and to download into
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
    /// Commands, instead of those on standard input
    #[arg(last = true)]
    commands: Vec<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    start_log(globals, out);
    match args.role {
        Role::Tracker(args) => runtime::block_on(tracker(args, globals, out)),
        Role::Peer(args) => runtime::block_on(peer(args, globals, out)),
    }
}

async fn tracker(args: TrackerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let config = server::Config {
        home: book_home(globals, "supernova-tracker")?,
        listen: args.listen,
        other_addresses: args.allow_other_addresses,
    };
    let journal = args.shared.journal()?;
    let server = Server::start(runtime::world(), journal.clone(), config).await;
    let server = server.map_err(start_failed)?;
    let provider = client::Config {
        home: home(globals, "supernova-bridge")?,
        server: reached(server.local(), args.shared.advertise).to_string(),
        name: Some(PROVIDER.to_owned()),
        listen: SocketAddr::new(args.listen.ip(), 0),
        advertise: args.shared.advertise,
        dir: bridge::FOLDER.into(),
    };
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    say_listening(out, "tracker", server.local());
    beside(bridge, out, stop.cancelled()).await;
    server.stop().await;
    Ok(Exit::Done)
}

async fn peer(args: PeerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let console = Console::new(&args.commands, MENU)?;
    let config = config(&args, book_home(globals, "supernova-peer")?)?;
    let journal = args.shared.journal()?;
    let provider = client::Config {
        home: home(globals, "supernova-bridge")?,
        name: Some(PROVIDER.to_owned()),
        listen: SocketAddr::new(config.listen.ip(), 0),
        dir: bridge::FOLDER.into(),
        ..config.clone()
    };
    let client = Client::start(runtime::world(), journal.clone(), config).await;
    let mut client = client.map_err(start_failed)?;
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    let listen = client.local();
    let name = client.name().to_string();
    let text = format!("Welcome to the SuperNova network, {name}. The peer listens on {listen}.");
    out.event("ready", &Ready::peer(listen, listen, Some(name)), text);
    let does = async |words: Vec<String>| command(&mut client, &words, out).await;
    let exit = beside(bridge, out, console.run(out, &stop, does)).await;
    client.stop().await;
    exit
}

/// The document's files lie in the home that was named, or in a folder of the role's own.
fn book_home(globals: &Globals, role: &str) -> Result<PathBuf, Failure> {
    match &globals.home {
        Some(home) => globals::absolute(home),
        None => home(globals, role),
    }
}

/// What the options say, then what the former `config.json` says.
fn config(args: &PeerArgs, home: PathBuf) -> Result<client::Config, Failure> {
    let former = client::former_settings(&runtime::world(), &home).map_err(start_failed)?;
    let former = former.unwrap_or_default();
    let server = args.server.clone().or_else(|| tracker_of(&former));
    let server = server.ok_or_else(|| Failure::usage("no tracker is known", "say --server HOST:PORT"))?;
    let dir = args
        .dir
        .clone()
        .or_else(|| some(&former.shared_dir).map(PathBuf::from));
    Ok(client::Config {
        home,
        server,
        name: args.name.clone().or_else(|| some(&former.user)),
        listen: args.listen.unwrap_or_else(|| listen_of(&former)),
        advertise: args.shared.advertise,
        dir: shared_dir(dir.as_ref())?,
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn tracker_of(former: &Settings) -> Option<String> {
    let host = some(&former.tracker_ip)?;
    (former.tracker_port != 0).then(|| format!("{host}:{}", former.tracker_port))
}

fn listen_of(former: &Settings) -> SocketAddr {
    let host = Host::parse(&former.listening_ip).map_or(IpAddr::from([127, 0, 0, 1]), |host| host.0);
    SocketAddr::new(host, former.listening_port)
}

async fn command(client: &mut Client, words: &[String], out: &Output) -> Result<Next, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["peers"] => {
            let peers = client.peers().await.map_err(failed)?;
            let peers: Vec<PeerRow> = peers.into_iter().map(PeerRow::of).collect();
            out.rows(&peers, &["peer", "address", "files"], |row| {
                vec![row.peer.clone(), row.address.clone(), row.files.to_string()]
            });
            done_listing("peers", out);
        }
        ["list"] => {
            let files = client.list().await.map_err(failed)?;
            let row = |(peer, file): &(_, _)| FileRow {
                peer: format!("{peer}"),
                file: format!("{file}"),
            };
            let files: Vec<FileRow> = files.iter().map(row).collect();
            out.rows(&files, &["peer", "file"], |row| {
                vec![row.peer.clone(), row.file.clone()]
            });
            done_listing("list", out);
        }
        ["get", peer, file] => {
            let bytes = client.get(peer, file).await.map_err(failed)?;
            let done = serde_json::json!({ "command": "get", "peer": peer, "file": file, "bytes": bytes });
            out.event("done", &done, format!("{file} has come from {peer}."));
        }
        ["dir", path] => {
            share(client, path.as_ref()).await?;
            let done = serde_json::json!({ "command": "dir", "dir": path });
            out.event("done", &done, format!("{path} is shared."));
        }
        ["exit"] => return Ok(Next::Quit),
        _ => return Err(unknown(&words, COMMANDS)),
    }
    Ok(Next::Command)
}

async fn share(client: &mut Client, path: &Path) -> Result<(), Failure> {
    let dir = globals::absolute(path)?;
    fs::metadata(&dir).map_err(|e| {
        let message = format!("the folder {} cannot be shared: {e}", dir.display());
        Failure::new("folder", message, "name a folder that exists")
    })?;
    client.share(&dir).await.map_err(start_failed)
}

#[derive(Serialize)]
struct PeerRow {
    peer: String,
    address: String,
    files: usize,
}

impl PeerRow {
    fn of(other: client::Other) -> Self {
        Self {
            peer: other.name.to_string(),
            address: other.at.map(|at| at.to_string()).unwrap_or_default(),
            files: other.files,
        }
    }
}

#[derive(Serialize)]
struct FileRow {
    peer: String,
    file: String,
}

fn failed(error: CommandError) -> Failure {
    let (kind, hint) = match &error {
        CommandError::Name(_) => ("name", "see `list` for what there is"),
        CommandError::Tracker(_) => ("no_answer", "see whether the tracker runs; it is tried again"),
        CommandError::Refused(_) => ("refused", "see `list` for what there is"),
        CommandError::Unexpected(_) => ("failed", "the other side speaks something else"),
        CommandError::Peer { .. } => ("failed", "see `peers` for who is there"),
        CommandError::Exists(_) => ("exists", "move the file away first"),
        CommandError::Local(..) => ("disk", "check the folder and the room on its disk"),
    };
    Failure::new(kind, error, hint)
}
