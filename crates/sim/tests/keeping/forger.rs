//! A coordinator that lies about the heads of backups to a whole peer, and does everything else as it should.
//!
//! It is played by somebody between the peer and an honest one, who has the keys of both and changes what passes.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use skep_node::{
    Config, Node,
    api::types::{BackupRequest, RestoreRequest},
};
use skep_wire::{
    RelPath, Signed, SigningKey,
    backup::Head,
    frame::{HEADER_BYTES, Header},
    message::{Endpoint, HeadIs, KeepHead, Message as _, OwnerStands},
};
use skep_world::{
    Disk as _, Stream, keyfile,
    simulated::{Disk, Machine},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    task::JoinSet,
};

use crate::town::Town;

const FILE: &str = "/work/file";

/// What it says of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing but the truth.
    None,
    /// The first head is the newest.
    RollsBack,
    /// There is neither roster nor head.
    Withholds,
    /// There is a newer head, and that is the first one.
    PlaysBack,
    /// There is a newer head, which somebody else has signed.
    Forges,
}

/// The liar.
struct Forger {
    lie: Mutex<Lie>,
    /// All heads that were told.
    heads: Mutex<Vec<Signed<Head>>>,
}

impl Forger {
    fn lies(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    fn heard_of_peer(&self, kind: u16, body: Vec<u8>) -> Vec<u8> {
        if kind == KeepHead::KIND {
            let KeepHead { head } = KeepHead::decode(&body).unwrap();
            self.heads.lock().unwrap().push(head);
        }
        body
    }

    fn told_to_peer(&self, kind: u16, body: Vec<u8>) -> Vec<u8> {
        let lie = *self.lie.lock().unwrap();
        match kind {
            OwnerStands::KIND => standing(lie, OwnerStands::decode(&body).unwrap()).encode(),
            HeadIs::KIND => self.head(lie, HeadIs::decode(&body).unwrap()).encode(),
            _ => body,
        }
    }

    fn head(&self, lie: Lie, mut told: HeadIs) -> HeadIs {
        match lie {
            Lie::PlaysBack => told.head = self.heads.lock().unwrap()[0].clone(),
            Lie::Forges => {
                let mut head = told.head.peek().unwrap();
                head.number += 1;
                told.head = Signed::new(&head, &SigningKey::from_seed([66; 32]));
            }
            Lie::None | Lie::RollsBack | Lie::Withholds => {}
        }
        told
    }

    /// Between a peer and the honest one.
    async fn relay(&self, peer: Stream, honest: Stream) {
        let up = pass(peer.reader, honest.writer, |kind, body| {
            self.heard_of_peer(kind, body)
        });
        let down = pass(honest.reader, peer.writer, |kind, body| {
            self.told_to_peer(kind, body)
        });
        let _ = tokio::try_join!(up, down);
    }
}

fn standing(lie: Lie, mut told: OwnerStands) -> OwnerStands {
    match lie {
        Lie::None => {}
        Lie::RollsBack => told.heads.iter_mut().for_each(|at| at.number = 1),
        Lie::Withholds => {
            told = OwnerStands {
                roster: None,
                heads: vec![],
            }
        }
        Lie::PlaysBack | Lie::Forges => told.heads.iter_mut().for_each(|at| at.number += 1),
    }
    told
}

/// Passes frames on, with whatever is made of their bodies.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    change: impl Fn(u16, Vec<u8>) -> Vec<u8>,
) -> io::Result<()> {
    loop {
        let mut bytes = [0; HEADER_BYTES];
        from.read_exact(&mut bytes).await?;
        let header = Header::decode(bytes);
        let mut body = vec![0; header.length as usize];
        from.read_exact(&mut body).await?;
        let body = change(header.kind, body);
        let length = u32::try_from(body.len()).unwrap();
        to.write_all(&Header { length, ..header }.encode()).await?;
        to.write_all(&body).await?;
        to.flush().await?;
    }
}

/// A peer that backs up, and believes that the forger is its coordinator.
struct Victim {
    machine: Machine,
    node: Node,
    forger: Arc<Forger>,
    restored: u32,
    _serving: JoinSet<()>,
}

impl Victim {
    async fn join(town: &Town) -> Self {
        let (machine, forger) = (
            town.universe.machine([10, 0, 3, 1].into()),
            Arc::new(Forger {
                lie: Mutex::new(Lie::None),
                heads: Mutex::default(),
            }),
        );
        let at = SocketAddr::from(([10, 0, 3, 2], 7700));
        let serving = serve(town, at, machine.disk().clone(), forger.clone()).await;
        let mut ticket = town.ticket.clone();
        ticket.coordinators = vec![Endpoint {
            host: at.ip().to_string(),
            port: at.port(),
        }];
        let mut machine = machine;
        let config = Config {
            ticket: Some(ticket),
            capacity_bytes: Some(0),
            workers: 1,
            in_order: true,
            ..Config::new(PathBuf::from("/home"), SocketAddr::new(machine.ip(), 0))
        };
        let node = Node::start(machine.boot(), config).await.unwrap();
        Self {
            machine,
            node,
            forger,
            restored: 0,
            _serving: serving,
        }
    }

    /// Makes a snapshot of a file with these bytes.
    async fn back_up(&self, bytes: &[u8]) -> String {
        self.machine.disk().write(Path::new(FILE), bytes).unwrap();
        let request = BackupRequest {
            paths: vec![FILE.into()],
            ..BackupRequest::default()
        };
        self.node.back_up(request).await.unwrap().snapshot
    }

    async fn snapshots(&self) -> Vec<String> {
        let lines = self.node.snapshots().await.unwrap();
        lines.into_iter().map(|line| line.id).collect()
    }

    /// The file as it is in a snapshot.
    async fn restore(&mut self, snapshot: &str) -> Vec<u8> {
        self.restored += 1;
        let to = PathBuf::from(format!("/restored/{}", self.restored));
        let request = RestoreRequest {
            snapshot: snapshot.to_owned(),
            to: Some(to.clone()),
            beside: None,
            path: None,
            overwrite: false,
        };
        let done = self.node.restore(request).await.unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        self.machine.disk().read(&to.join(&FILE[1..])).unwrap()
    }
}

/// Relays whoever comes, who is the peer with this disk.
async fn serve(town: &Town, at: SocketAddr, victim: Disk, forger: Arc<Forger>) -> JoinSet<()> {
    let world = town.universe.machine(at.ip()).boot();
    let (key, honest) = (town.coordinator_key.clone(), town.ticket.coordinators[0].clone());
    let listener = world.network.listen(&key, at).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut relays = JoinSet::new();
        while let Ok(peer) = listener.accept().await {
            let victims_key = key_of(&victim, "/home");
            let to = world.network.dial(&victims_key, &honest, None).await.unwrap();
            let forger = forger.clone();
            relays.spawn(async move { forger.relay(peer, to).await });
        }
    });
    serving
}

/// The key in a home.
pub(crate) fn key_of(disk: &Disk, home: &str) -> Arc<SigningKey> {
    let dir = disk.dir(Path::new(home)).unwrap();
    let key = keyfile::read(&*dir, &RelPath::parse("key").unwrap()).unwrap();
    Arc::new(key.expect("there is one"))
}

/// What a peer says aloud.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_lies_about_heads_is_not_believed_and_nothing_is_lost() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    let _heard = tracing::subscriber::set_default(subscriber);
    let town = Town::with_keepers(3).await;
    let mut victim = Victim::join(&town).await;
    let mut made = vec![
        (victim.back_up(b"first").await, b"first".to_vec()),
        (victim.back_up(b"second").await, b"second".to_vec()),
    ];
    let lies = [
        (
            Lie::RollsBack,
            "the coordinator knows an older state of the backups",
        ),
        (Lie::Withholds, ""),
        (
            Lie::PlaysBack,
            "the coordinator has a head of a backup that cannot be believed",
        ),
        (
            Lie::Forges,
            "the coordinator has a head of a backup that cannot be believed",
        ),
    ];
    for (lie, warning) in lies {
        victim.forger.lies(lie);
        log.take();
        let ids: Vec<String> = made.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(victim.snapshots().await, ids, "{lie:?}");
        let heard = log.take();
        assert!(heard.contains(warning), "{lie:?}: {heard}");
        assert_eq!(victim.restore("latest").await, made.last().unwrap().1, "{lie:?}");
        assert_eq!(victim.restore(&made[0].0).await, b"first", "{lie:?}");
        let bytes = format!("{lie:?}").into_bytes();
        made.push((victim.back_up(&bytes).await, bytes));
    }
    victim.forger.lies(Lie::None);
    for (id, bytes) in made {
        assert_eq!(victim.restore(&id).await, bytes);
    }
    victim.node.stop().await;
    town.stop().await;
}
