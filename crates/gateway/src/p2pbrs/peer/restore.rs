//! `restore FILE`: section 2.4, as its owner. Nothing gets its name before its checksum is right.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use skep_wire::{RelPath, path::check_component};
use skep_world::{
    Dir, File,
    disk::{Open, Replace},
};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    super::{
        checksum::{self, Hasher, Kind},
        codec::{Checksum, FileName, Header, Message, PeerList, Shape},
    },
    CommandError, Inner,
    fetching::{Answer, Fetching, Quest},
    is_bounded,
    stream::{PATIENCE, Stream},
};

/// Connections at the same time.
const LANES: usize = 8;
/// Bytes that are read at once for the checksum of a file.
const READ_BYTES: usize = 1 << 20;

/// What a restoration came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The file, as it is sent.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Where it is.
    pub path: PathBuf,
}

pub(super) async fn run(peer: &Arc<Inner>, file: &str) -> Result<Restored, CommandError> {
    let local = check_component(file)
        .ok()
        .and_then(|()| RelPath::parse(file).ok());
    let bad_name = || CommandError::BadName(file.to_owned());
    let local = local.ok_or_else(bad_name)?;
    let file = FileName::encode(file).map_err(|_| bad_name())?;
    let asked = file.clone();
    let request = move |rq| Message::RestoreReq {
        rq,
        file: asked.clone(),
    };
    let (peers, shape) = match peer.ask_registered(request).await? {
        Message::RestorePlan { peers, shape, .. } => (peer.with_addresses(peers), shape),
        Message::RestoreFail { reason, .. } => return Err(CommandError::Denied(reason)),
        _ => return Err(CommandError::BadPlan),
    };
    let shape = match shape {
        Some(shape) => shape,
        None => own_record(peer, &file).await?,
    };
    let rq = peer.number();
    match put_together(peer, &file, local, &peers, &shape).await {
        Ok(restored) => {
            peer.send(&Message::RestoreOk { rq, file }).await;
            Ok(restored)
        }
        Err(error) => {
            let reason = reason(&error).to_owned();
            peer.send(&Message::RestoreFail { rq, file, reason }).await;
            Err(error)
        }
    }
}

fn reason(error: &CommandError) -> &'static str {
    match error {
        CommandError::Unavailable { .. } => "Chunk_Unavailable",
        CommandError::Mismatch(_) => "Checksum_Mismatch",
        CommandError::BadPlan => "Bad_Plan",
        _ => "Local_Error",
    }
}

/// A plan that says no more than the document's is completed from what this peer remembers.
async fn own_record(peer: &Inner, file: &FileName) -> Result<Shape, CommandError> {
    let shelf = peer.shelf.clone();
    let records = peer
        .world
        .work
        .call(move || shelf.records())
        .await
        .map_err(CommandError::Disk)?;
    let record = records
        .into_iter()
        .find(|record| record.file == *file)
        .ok_or(CommandError::BadPlan)?;
    Ok(Shape {
        chunk_size: record.chunk_size,
        chunks: record.size.div_ceil(record.chunk_size.max(1)),
        checksum: record.checksum,
    })
}

/// A restoration under way.
struct Work {
    peer: Arc<Inner>,
    file: FileName,
    shape: Shape,
    target: Arc<dyn File>,
    fetching: Mutex<Fetching>,
    changed: Notify,
}

async fn put_together(
    peer: &Arc<Inner>,
    file: &FileName,
    local: RelPath,
    peers: &PeerList,
    shape: &Shape,
) -> Result<Restored, CommandError> {
    if !is_bounded(shape.chunk_size, shape.chunks) {
        return Err(CommandError::BadPlan);
    }
    let path = peer.config.dir.join(local.as_str());
    let failed = |source| CommandError::File {
        path: path.clone(),
        source,
    };
    let draft =
        RelPath::parse(&format!(".{}.restoring", local.as_str())).map_err(|_| CommandError::BadPlan)?;
    let (disk, folder, name) = (peer.world.disk.clone(), peer.config.dir.clone(), draft.clone());
    let opened = peer.world.work.call(move || {
        let dir = disk.make_dir(&folder)?;
        let target = begin(&*dir, &name)?;
        Ok((dir, target))
    });
    let (dir, target) = opened.await.map_err(failed)?;
    let work = Arc::new(Work {
        peer: peer.clone(),
        file: file.clone(),
        shape: shape.clone(),
        target: target.clone(),
        fetching: Mutex::new(Fetching::new(peers, shape.chunks).ok_or(CommandError::BadPlan)?),
        changed: Notify::new(),
    });
    let fetched = fetch(&work).await;
    let (checksum, ends) = (shape.checksum.clone(), (draft, local));
    let is_fetched = fetched.is_ok();
    let finished = peer
        .world
        .work
        .call(move || finish(&*dir, &*target, &ends.0, &ends.1, &checksum, is_fetched));
    let size = finished.await.map_err(failed)?;
    fetched?;
    let bytes = size.ok_or_else(|| CommandError::Mismatch(file.to_string()))?;
    let chunks = shape.chunks;
    Ok(Restored {
        file: file.to_string(),
        bytes,
        chunks,
        path: path.clone(),
    })
}

/// A new file for what comes; what an earlier attempt left is removed.
fn begin(dir: &dyn Dir, draft: &RelPath) -> io::Result<Arc<dyn File>> {
    match dir.remove_file(draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    dir.open(draft, Open::CreateNew)
}

/// Gives the file its name, if all came and its checksum is right; else removes it. Returns its size.
fn finish(
    dir: &dyn Dir,
    target: &dyn File,
    draft: &RelPath,
    local: &RelPath,
    checksum: &Checksum,
    is_fetched: bool,
) -> io::Result<Option<u64>> {
    if !is_fetched || !has(target, checksum)? {
        dir.remove_file(draft)?;
        return Ok(None);
    }
    target.sync()?;
    set_aside(dir, local, checksum)?;
    dir.rename(draft, local, Replace::Allow)?;
    dir.sync(None)?;
    Ok(Some(target.stat()?.size))
}

/// A different file that has the name already is kept under another one.
fn set_aside(dir: &dyn Dir, local: &RelPath, checksum: &Checksum) -> io::Result<()> {
    let is_the_same = match dir.open(local, Open::Read) {
        Ok(there) => has(&*there, checksum)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if is_the_same {
        return Ok(());
    }
    for n in 1.. {
        let other = RelPath::parse(&format!("{local}.before-restore-{n}")).map_err(io::Error::other)?;
        match dir.rename(local, &other, Replace::Never) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed,
        }
    }
    Ok(())
}

fn has(file: &dyn File, expected: &Checksum) -> io::Result<bool> {
    let mut hasher = Hasher::new(Kind::of(expected));
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Ok(checksum::same(&hasher.finish(), expected));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        offset += read as u64;
    }
}

async fn fetch(work: &Arc<Work>) -> Result<(), CommandError> {
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(lane(work.clone()));
    }
    let mut outcome = Ok(());
    while let Some(ended) = lanes.join_next().await {
        if let Ok(Err(error)) = ended {
            outcome = Err(error);
        }
    }
    outcome?;
    match work
        .fetching
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .failed()
    {
        Some(chunk) => Err(CommandError::Unavailable {
            file: work.file.to_string(),
            chunk,
        }),
        None => Ok(()),
    }
}

async fn lane(work: Arc<Work>) -> Result<(), CommandError> {
    loop {
        let changed = work.changed.notified();
        let (quest, is_over) = {
            let mut fetching = work.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            if fetching.failed().is_some() {
                return Ok(());
            }
            (fetching.next_quest(), fetching.is_over())
        };
        let Some(quest) = quest else {
            if is_over {
                return Ok(());
            }
            changed.await;
            continue;
        };
        let answer = get(&work, quest).await;
        let answer = match answer {
            Ok(bytes) => {
                keep(&work, quest.chunk, bytes).await?;
                Answer::Got
            }
            Err(answer) => answer,
        };
        work.fetching
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended(quest, answer);
        work.changed.notify_waiters();
    }
}

/// `GET_CHUNK`
async fn get(work: &Work, quest: Quest) -> Result<Vec<u8>, Answer> {
    let journal = work.peer.journal.clone();
    let connected = Stream::connect(quest.address, journal).await;
    let mut stream = connected.map_err(|error| complain(work, quest.address, &error, Answer::Unreachable))?;
    let (rq, file, chunk) = (work.peer.number(), work.file.clone(), quest.chunk);
    let broken = |error: &io::Error| complain(work, quest.address, error, Answer::Damaged);
    stream
        .send(&Header::GetChunk { rq, file, chunk }, &[])
        .await
        .map_err(|e| broken(&e))?;
    let header = stream.header_in(PATIENCE).await.map_err(|e| broken(&e))?;
    let checksum = match header {
        Some(Header::ChunkData {
            file,
            chunk,
            checksum,
            ..
        }) if file == work.file && chunk == quest.chunk => checksum,
        Some(Header::ChunkError { .. }) => return Err(Answer::Missing),
        _ => return Err(Answer::Damaged),
    };
    let bytes = stream
        .up_to(work.shape.chunk_size)
        .await
        .map_err(|e| broken(&e))?;
    let is_last = chunk + 1 == work.shape.chunks;
    let is_whole = !bytes.is_empty() && (is_last || bytes.len() as u64 == work.shape.chunk_size);
    let is_right = checksum.is_none_or(|checksum| checksum::matches(&checksum, &bytes));
    if is_whole && is_right {
        Ok(bytes)
    } else {
        Err(Answer::Damaged)
    }
}

fn complain(work: &Work, from: SocketAddr, error: &io::Error, answer: Answer) -> Answer {
    work.peer.journal.note(format_args!(
        "a chunk of {} did not come from {from}: {error}",
        work.file
    ));
    answer
}

async fn keep(work: &Work, chunk: u64, bytes: Vec<u8>) -> Result<(), CommandError> {
    let (target, offset) = (work.target.clone(), chunk * work.shape.chunk_size);
    let written = work
        .peer
        .world
        .work
        .call(move || target.write_at(offset, &bytes))
        .await;
    written.map_err(|source| CommandError::File {
        path: work.peer.config.dir.clone(),
        source,
    })
}
