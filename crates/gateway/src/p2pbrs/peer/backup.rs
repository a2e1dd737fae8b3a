//! `backup FILE`: section 2.2, as its owner.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use skep_engine::directory::placement::Cut;
use skep_wire::RelPath;
use skep_world::{
    File,
    disk::{Open, Stat},
};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    super::{
        checksum::{self, Hasher},
        codec::{Checksum, FileName, Message, PeerList, Rq},
    },
    CommandError, Inner,
    bringing::{Bringing, Errand, Outcome},
    carry::{Carrier, Load},
    is_bounded,
    shelf::Record,
};

/// Connections to each peer of a plan.
const LANES: usize = 3;
/// Connections to all of them together, as far as each has one: every one carries a chunk.
const MOST_LANES: usize = 24;
/// Bytes that are read at once for the checksum of a file.
const READ_BYTES: usize = 1 << 20;
/// The most backups of this run whose plans may still change.
const REMEMBERED: usize = 64;

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The file, as it is sent.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Bytes of each but the last.
    pub chunk_size: u64,
    /// The peers of the plan.
    pub peers: Vec<String>,
}

/// The backups of this run, whose plans the server may change.
#[derive(Default)]
pub(super) struct Backups(BTreeMap<FileName, Arc<Backup>>);

/// One backup.
struct Backup {
    rq: Rq,
    file: FileName,
    cut: Cut,
    source: Source,
    bringing: Mutex<Bringing>,
    /// Something was queued, or came to its end.
    changed: Notify,
}

/// The local file.
struct Source {
    path: PathBuf,
    file: Arc<dyn File>,
    stat: Stat,
}

impl Source {
    /// Whether the bytes are most likely those of the beginning. The file may have lost its name.
    fn is_unchanged(&self) -> bool {
        let same = |now: Stat| (now.size, now.mtime_ns) == (self.stat.size, self.stat.mtime_ns);
        self.file.stat().is_ok_and(same)
    }
}

impl Backup {
    fn bringing(&self) -> MutexGuard<'_, Bringing> {
        self.bringing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another peer has the place: who had it may be silent, but not closed.
    async fn moved(&self, place: usize, address: SocketAddr) {
        loop {
            let changed = self.changed.notified();
            if self
                .bringing()
                .place(place)
                .is_none_or(|now| now.address != address)
            {
                return;
            }
            changed.await;
        }
    }
}

pub(super) async fn run(
    peer: &Arc<Inner>,
    file: &str,
    chunk_size: Option<u64>,
) -> Result<BackedUp, CommandError> {
    let (source, checksum) = open(peer, file).await?;
    let local = source
        .path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(file);
    let file = FileName::encode(local).map_err(|_| CommandError::BadName(local.to_owned()))?;
    let size = source.stat.size;
    let (asked, sum) = (file.clone(), checksum.clone());
    let request = move |rq| Message::BackupReq {
        rq,
        file: asked.clone(),
        size,
        checksum: sum.clone(),
        chunk_size,
    };
    let (rq, peers, chunk_size) = match peer.ask_registered(request).await? {
        Message::BackupPlan {
            rq,
            peers,
            chunk_size,
            ..
        } if is_bounded(chunk_size, size.div_ceil(chunk_size.max(1))) => (rq, peers, chunk_size),
        Message::BackupDenied { reason, .. } => return Err(CommandError::Denied(reason)),
        _ => return Err(CommandError::BadPlan),
    };
    let cut = Cut {
        size,
        chunk_bytes: chunk_size,
    };
    let peers = peer.with_addresses(peers);
    let bringing = Bringing::new(&peers, cut.chunks()).ok_or(CommandError::BadPlan)?;
    let rq = rq.unwrap_or_else(|| peer.number());
    let backup = Arc::new(Backup {
        rq,
        file: file.clone(),
        cut,
        source,
        bringing: Mutex::new(bringing),
        changed: Notify::new(),
    });
    remember(peer, &backup);
    bring(peer, &backup).await?;
    let record = Record {
        file: file.clone(),
        size,
        checksum,
        chunk_size,
    };
    let shelf = peer.shelf.clone();
    let kept = peer.world.work.call(move || shelf.remember(&record)).await;
    kept.map_err(CommandError::Disk)?;
    Ok(BackedUp {
        file: file.to_string(),
        bytes: size,
        chunks: cut.chunks(),
        chunk_size,
        peers: peers.peers.iter().map(|peer| peer.name.to_string()).collect(),
    })
}

fn remember(peer: &Inner, backup: &Arc<Backup>) {
    let mut backups = peer.backups();
    if backups.0.len() >= REMEMBERED {
        backups.0.pop_first();
    }
    backups.0.insert(backup.file.clone(), backup.clone());
}

/// The server has changed the plan of a backup of this run. Returns whether there is one.
pub(super) fn follow(peer: &Arc<Inner>, file: &FileName, peers: &PeerList) -> bool {
    let peers = peer.with_addresses(peers.clone());
    let Some(backup) = peer.backups().0.get(file).cloned() else {
        return false;
    };
    let was_over = {
        let mut bringing = backup.bringing();
        let was_over = bringing.is_over();
        bringing.replan(&peers);
        was_over && !bringing.is_over()
    };
    backup.changed.notify_waiters();
    if was_over {
        let again = peer.clone();
        peer.spawn(async move {
            if let Err(error) = bring(&again, &backup).await {
                again.journal.note(error);
            }
        });
    }
    true
}

/// Brings the chunks where they belong, and reports to the server when all are there.
async fn bring(peer: &Arc<Inner>, backup: &Arc<Backup>) -> Result<(), CommandError> {
    let places = backup.bringing().places();
    let mut lanes = JoinSet::new();
    for place in 0..places {
        for _ in 0..(MOST_LANES / places).clamp(1, LANES) {
            lanes.spawn(lane(peer.clone(), backup.clone(), place));
        }
    }
    while lanes.join_next().await.is_some() {}
    let (lost, chunks) = {
        let bringing = backup.bringing();
        (bringing.missing(), backup.cut.chunks())
    };
    if lost > 0 {
        return Err(CommandError::Lost {
            file: backup.file.to_string(),
            lost,
            chunks,
        });
    }
    if !backup.source.is_unchanged() {
        return Err(CommandError::Changed(backup.source.path.clone()));
    }
    let (rq, file) = (peer.number(), backup.file.clone());
    peer.send(&Message::BackupDone { rq, file }).await;
    Ok(())
}

/// Brings what is queued for one place, until nothing is left anywhere.
async fn lane(peer: Arc<Inner>, backup: Arc<Backup>, place: usize) {
    let mut carrier: Option<Carrier> = None;
    loop {
        let changed = backup.changed.notified();
        let (errand, address, is_over) = {
            let mut bringing = backup.bringing();
            let address = bringing.place(place).map(|place| place.address);
            (bringing.next(place), address, bringing.is_over())
        };
        match (errand, address) {
            (Some(errand), Some(address)) => {
                let fits = carrier.take().filter(|carrier| carrier.to() == address);
                let mut used = fits.unwrap_or_else(|| Carrier::new(peer.clone(), address));
                let outcome = tokio::select! {
                    biased;
                    outcome = run_errand(&peer, &backup, &mut used, errand) => outcome,
                    () = backup.moved(place, address) => Outcome::Moved,
                };
                if outcome == Outcome::Moved {
                    let ip = address.ip().to_canonical();
                    peer.waiting().not_for_chunk(ip, &backup.file, errand.chunk);
                }
                carrier = Some(used);
                backup.bringing().ended(errand, outcome);
                backup.changed.notify_waiters();
            }
            _ if is_over => return,
            _ => changed.await,
        }
    }
}

async fn run_errand(peer: &Inner, backup: &Backup, carrier: &mut Carrier, errand: Errand) -> Outcome {
    let (file, cut, chunk) = (backup.source.file.clone(), backup.cut, errand.chunk);
    let kind = peer.config.checksum;
    let read = peer.world.work.call(move || {
        let mut bytes = vec![0; usize::try_from(cut.len(chunk)).unwrap_or(0)];
        file.read_exact_at(chunk * cut.chunk_bytes, &mut bytes)?;
        Ok::<_, io::Error>((checksum::of(kind, &bytes), bytes))
    });
    match read.await {
        Ok((checksum, bytes)) => {
            let (rq, file) = (backup.rq.clone(), backup.file.clone());
            let load = Load {
                rq,
                file,
                chunk,
                bytes: bytes.into(),
                checksum,
            };
            carrier.bring(&load).await
        }
        Err(error) => {
            peer.journal.note(format_args!(
                "{} cannot be read: {error}",
                backup.source.path.display()
            ));
            Outcome::Failed
        }
    }
}

/// Opens a local file and computes its checksum.
async fn open(peer: &Inner, file: &str) -> Result<(Source, Checksum), CommandError> {
    let path = peer.config.dir.join(file);
    let (disk, kind, at) = (peer.world.disk.clone(), peer.config.checksum, path.clone());
    let opened = peer.world.work.call(move || {
        let opened = open_at(&*disk, &at)?;
        let stat = opened.stat()?;
        let mut hasher = Hasher::new(kind);
        let mut buffer = vec![0; READ_BYTES];
        let mut offset = 0;
        while offset < stat.size {
            let read = opened.read_at(offset, &mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            offset += read as u64;
        }
        Ok((opened, stat, hasher.finish()))
    });
    match opened.await {
        Ok((file, stat, checksum)) => Ok((Source { path, file, stat }, checksum)),
        Err(source) => Err(CommandError::File { path, source }),
    }
}

/// The person named the path: links in it are followed, but not the last one.
fn open_at(disk: &dyn skep_world::Disk, path: &Path) -> io::Result<Arc<dyn File>> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.and_then(|name| RelPath::parse(name).ok());
    let (Some(folder), Some(name)) = (path.parent(), name) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    disk.dir(folder)?.open(&name, Open::Read)
}
