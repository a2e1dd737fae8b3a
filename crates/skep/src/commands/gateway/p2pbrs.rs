//! `skep gateway p2pbrs server` and `skep gateway p2pbrs peer`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use skep_gateway::p2pbrs::{
    checksum,
    codec::{Capacity, Name, Role, Style},
    peer::{
        self, CommandError, Peer,
        command::{Command, MENU},
    },
    server,
    service::{self, Service},
};
use tokio::net::lookup_host;

use super::{
    Ready, Shared,
    console::{Console, Next, not_understood},
    home, say_listening, shared_dir, start_log,
};
use crate::{exit::Exit, failure::Failure, globals::Globals, output::Output, parse, runtime};

/// Backup and recovery among peers (P2PBRS), coordinated by a server
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Part,
}

#[derive(Subcommand)]
enum Part {
    Server(ServerArgs),
    Peer(PeerArgs),
}

/// The server: it knows who holds what, and never sees a byte of it
#[derive(clap::Args)]
struct ServerArgs {
    /// Address and UDP port to listen on
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// On how many peers each chunk belongs
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// How often peers say that they are there; three missed is a failure
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse::duration)]
    heartbeat: Duration,
    /// The most peers that may register
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    max_peers: usize,
    /// After how long without acknowledgement a chunk is given to another peer
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse::duration)]
    ack_timeout: Duration,
    /// How lists of peers are written
    #[arg(long, value_enum, default_value = "colon")]
    peer_list: ListStyle,
    /// Also answer DE-REGISTER, HEARTBEAT and BACKUP_DONE, for clients that wait for it
    #[arg(long)]
    acks: bool,
    #[command(flatten)]
    shared: Shared,
}

/// A peer: an owner of files, a storage node, or both
#[derive(clap::Args)]
struct PeerArgs {
    /// The server
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Name of this peer
    #[arg(long, value_parser = name)]
    name: Name,
    /// OWNER, STORAGE or BOTH
    #[arg(long, default_value = "BOTH", value_parser = role)]
    role: Role,
    /// UDP port; 0 is the same as last time, or any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    udp: u16,
    /// TCP port; 0 is the same as last time, or any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    tcp: u16,
    /// Storage offered to others: a number with B, KB, MB or GB
    #[arg(long, default_value = "1024MB", value_name = "SIZE", value_parser = capacity)]
    capacity: Capacity,
    /// Folder of the files to back up, and into which they are restored [default: the current one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Checksum of files and chunks
    #[arg(long, value_enum, default_value = "crc32")]
    checksum: ChecksumKind,
    /// How often to say that this peer is there
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse::duration)]
    heartbeat: Duration,
    /// Where a peer takes chunks, for servers whose plans have names alone; may be repeated
    #[arg(long, value_name = "NAME=IP:PORT", value_parser = known)]
    know: Vec<(Name, SocketAddr)>,
    #[command(flatten)]
    shared: Shared,
    /// Commands instead of those on standard input: the words of one, or one per quoted argument
    #[arg(last = true, value_name = "COMMAND")]
    commands: Vec<String>,
}

/// How lists of peers are written.
#[derive(Clone, Copy, ValueEnum)]
enum ListStyle {
    /// `[B:10.0.0.2:6002,C:10.0.0.3:6003]`
    Colon,
    /// `[B@10.0.0.2:6002:0,2;C@10.0.0.3:6003:1]`
    At,
    /// `[B, C]`
    Names,
}

/// A checksum of the document.
#[derive(Clone, Copy, ValueEnum)]
enum ChecksumKind {
    Crc32,
    Md5,
    Sha1,
}

fn name(text: &str) -> Result<Name, &'static str> {
    let wrong = "a name has 1 to 64 letters, digits, '_', '.' or '-'";
    text.parse().map_err(|_| wrong)
}

fn role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_| "a role is OWNER, STORAGE or BOTH")
}

fn capacity(text: &str) -> Result<Capacity, &'static str> {
    let wrong = "a capacity is a whole number with B, KB, MB or GB, such as 512MB";
    text.parse().map_err(|_| wrong)
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    start_log(globals, out);
    match args.role {
        Part::Server(args) => serve(args, globals, out),
        Part::Peer(args) => take_part(args, globals, out),
    }
}

fn serve(args: ServerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = home(globals, "p2pbrs-server")?;
    let journal = args.shared.journal()?;
    let config = server::Config {
        heartbeat: args.heartbeat,
        max_peers: args.max_peers,
        replicas: usize::from(args.replicas),
        ack_timeout: args.ack_timeout,
        acks: args.acks,
        style: args.peer_list.into(),
        trust: args.shared.trust(),
    };
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        let service = Service::start(runtime::world(), &home, args.listen, config, journal).await;
        let service = service.map_err(not_served)?;
        say_listening(out, "server", service.listen());
        let ended = service.run(&stop).await;
        ended.map_err(|e| Failure::new("stopped", e, "see the log above"))?;
        Ok(Exit::Done)
    })
}

fn not_served(error: service::StartError) -> Failure {
    match &error {
        service::StartError::Home(_) => {
            Failure::new("home", error, "check the home; another server may use it")
        }
        service::StartError::Listen { .. } => {
            Failure::new("listen", error, "give another address with --listen")
        }
    }
}

fn take_part(args: PeerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = home(globals, &format!("p2pbrs-peer-{}", args.name))?;
    let dir = shared_dir(args.dir.as_ref())?;
    let journal = args.shared.journal()?;
    let console = Console::new(&args.commands, MENU)?;
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        let config = peer::Config {
            home,
            dir,
            server: resolve(&args.server).await?,
            name: args.name.clone(),
            role: args.role,
            udp: args.udp,
            tcp: args.tcp,
            advertise: args.shared.advertise,
            capacity: args.capacity,
            checksum: args.checksum.into(),
            heartbeat: args.heartbeat,
            known: args.know,
        };
        let peer = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::interrupted()),
            peer = Peer::start(runtime::world(), config, journal) => peer.map_err(not_started)?,
        };
        say_ready(&peer, &args.name, out);
        let exit = console
            .run(out, &stop, async |words| obey(&peer, &words, out).await)
            .await;
        peer.stop().await;
        exit
    })
}

fn known(text: &str) -> Result<(Name, SocketAddr), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(name, at)| Some((name.parse().ok()?, at.parse().ok()?)));
    parsed.ok_or_else(|| format!("{text:?} is not NAME=IP:PORT"))
}

async fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| {
        Failure::usage(
            format!("the server {server} is not known: {why}"),
            "write HOST:PORT",
        )
    };
    let mut found = lookup_host(server).await.map_err(|e| unknown(e.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("it has no address".to_owned()))
}

fn not_started(error: peer::StartError) -> Failure {
    match &error {
        peer::StartError::Home { .. } => Failure::new("home", error, "check --home; another peer may use it"),
        peer::StartError::Listen(_) => Failure::new("listen", error, "give other ports with --udp and --tcp"),
        peer::StartError::Register(why) => Failure::new(
            why.kind(),
            &error,
            "check --server, and whether another peer has the name",
        ),
    }
}

fn say_ready(peer: &Peer, name: &Name, out: &Output) {
    let peer::Ready { udp, tcp } = peer.ready();
    let ready = Ready {
        listen: udp,
        udp: Some(udp),
        tcp: Some(tcp),
        name: Some(name.to_string()),
    };
    out.event(
        "ready",
        &ready,
        format!("{name} is registered. It listens on {udp} (UDP) and {tcp} (TCP)."),
    );
}

/// The `done` event of a command.
#[derive(Serialize)]
struct Done<T> {
    command: &'static str,
    #[serde(flatten)]
    what: T,
}

fn done<T: Serialize>(out: &Output, command: &'static str, what: T, text: String) {
    out.event("done", &Done { command, what }, text);
}

async fn obey(peer: &Peer, words: &[String], out: &Output) -> Result<Next, Failure> {
    match Command::parse(words).map_err(not_understood)? {
        Command::Backup { file, chunk_size } => {
            let it = peer.backup(&file, chunk_size).await.map_err(failed)?;
            let text = format!(
                "BACKUP_DONE {} {} chunks on {}",
                it.file,
                it.chunks,
                it.peers.join(", ")
            );
            done(out, "backup", it, text);
        }
        Command::Restore { file } => {
            let it = peer.restore(&file).await.map_err(failed)?;
            let text = format!(
                "RESTORE_OK {} {} bytes in {}",
                it.file,
                it.bytes,
                it.path.display()
            );
            done(out, "restore", it, text);
        }
        Command::List => list(peer, out).await?,
        Command::Deregister => {
            peer.deregister().await.map_err(failed)?;
            done(out, "deregister", (), "DE-REGISTERED".to_owned());
        }
        Command::Quit => return Ok(Next::Quit),
    }
    Ok(Next::Command)
}

/// What `list` tells of the peer itself.
#[derive(Serialize)]
struct Holding {
    files: Vec<Listed>,
    chunks: usize,
    bytes: u64,
}

/// One backup of this peer.
#[derive(Serialize)]
struct Listed {
    file: String,
    bytes: u64,
    chunk_size: u64,
    checksum: String,
}

async fn list(peer: &Peer, out: &Output) -> Result<(), Failure> {
    let (records, chunks, bytes) = peer.list().await.map_err(failed)?;
    let files: Vec<Listed> = records
        .into_iter()
        .map(|record| Listed {
            file: record.file.to_string(),
            bytes: record.size,
            chunk_size: record.chunk_size,
            checksum: record.checksum.to_string(),
        })
        .collect();
    let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    let text = format!(
        "backed up: [{}]; holds {chunks} chunks, {bytes} bytes",
        names.join(", ")
    );
    done(out, "list", Holding { files, chunks, bytes }, text);
    Ok(())
}

fn failed(error: CommandError) -> Failure {
    let hint = match &error {
        CommandError::NoAnswer => "check --server, and whether the server runs",
        CommandError::Denied(reason) => denied(reason),
        CommandError::BadName(_) => "name a file in the peer's folder, without a path",
        CommandError::File { .. } => "check the name, and the peer's folder (--dir)",
        CommandError::Disk(_) => "check the disk and the permissions of the home",
        CommandError::Changed(_) | CommandError::Busy(_) => "back it up again when it is not being written",
        CommandError::BadPlan => {
            "the server may speak another form of the protocol: see its messages with -v"
        }
        CommandError::Lost { .. } | CommandError::Unavailable { .. } => {
            "see with -v which peers do not answer, and try again when they are back"
        }
        CommandError::Mismatch(_) => "some peer holds other bytes than it was given; back the file up again",
    };
    Failure::new(error.kind(), &error, hint)
}

/// What a person can do about a denial.
fn denied(reason: &str) -> &'static str {
    match reason {
        "No_Storage" => "wait for storage peers with enough room, or start some",
        "Storage_Role" => "start this peer with --role BOTH",
        "File_Name_In_Use" => "another owner at this address has a file of that name: give it another name",
        "No_Such_File" => "see with `list` what this peer has backed up",
        _ => "see the messages with -v, and the server's log",
    }
}

impl From<ListStyle> for Style {
    fn from(style: ListStyle) -> Self {
        match style {
            ListStyle::Colon => Self::Colon,
            ListStyle::At => Self::At,
            ListStyle::Names => Self::Names,
        }
    }
}

impl From<ChecksumKind> for checksum::Kind {
    fn from(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Crc32 => Self::Crc32,
            ChecksumKind::Md5 => Self::Md5,
            ChecksumKind::Sha1 => Self::Sha1,
        }
    }
}
