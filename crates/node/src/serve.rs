//! Answering other peers: bytes, outlines, and what there is to have.
//!
//! Every request names a content; who may not read it is told that it is not here. Bytes are read
//! from disk only when the asker has room for them, and a file that has changed is withdrawn.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use skep_net::{Inbox, Incoming, Link, Responder};
use skep_store::source::SourceError;
use skep_wire::{
    BlobId, PeerId, UNIT_BYTES,
    chunk::UNITS_PER_CHUNK,
    message::{
        Done, Have, HaveMore, KeepHead, Message, NewRevocations, OutlinePage, Ping, Read, Reason, StoreShard,
        WantHave, WantOutline,
    },
};
use tokio::{sync::broadcast::error::RecvError, task::JoinSet, time};

use crate::{
    core::Core,
    hold, holdings,
    shelf::{Body, Item},
};

/// Requests of one link that are worked on at the same time; more wait in the link.
const AT_ONCE: usize = 32;
/// Who takes its bytes so slowly does not keep others from being served.
const SLOT_PATIENCE: Duration = Duration::from_millis(500);
/// The most chunk numbers in one have-update.
const HAVE_MORE: usize = 4096;

/// Shards and heads of one link that are taken, or wait for it, at the same time.
const KEEPING: usize = 32;

/// Subscriptions to what grows, of one link.
const SUBSCRIPTIONS: usize = 64;

/// Answers what comes in on `link` until it closes.
pub(crate) async fn serve(core: Arc<Core>, link: Link, mut inbox: Inbox) {
    let mut answers = JoinSet::new();
    let mut subscriptions = JoinSet::new();
    let mut keeping = JoinSet::new();
    while let Some(incoming) = inbox.recv().await {
        while subscriptions.try_join_next().is_some() {}
        while answers.try_join_next().is_some() {}
        while keeping.try_join_next().is_some() {}
        if incoming.kind == WantHave::KIND {
            if subscriptions.len() < SUBSCRIPTIONS {
                subscriptions.spawn(have(core.clone(), link.clone(), incoming));
            } else {
                incoming
                    .responder
                    .refuse(Reason::Busy, "too many subscriptions")
                    .await;
            }
            continue;
        }
        if [StoreShard::KIND, KeepHead::KIND].contains(&incoming.kind) {
            // While these are answered, more is read on this link: they must not keep that from being answered.
            if keeping.len() < KEEPING {
                keeping.spawn(hold::answer(core.clone(), link.clone(), incoming));
            } else {
                incoming.responder.refuse(Reason::Busy, "too many at once").await;
            }
            continue;
        }
        if answers.len() >= AT_ONCE {
            answers.join_next().await;
        }
        answers.spawn(answer(core.clone(), link.clone(), incoming));
    }
    answers.shutdown().await;
    subscriptions.shutdown().await;
    keeping.shutdown().await;
}

async fn answer(core: Arc<Core>, link: Link, incoming: Incoming) {
    let reader = link.peer();
    match incoming.kind {
        Ping::KIND => incoming.responder.reply(&Done {}).await,
        Read::KIND => match incoming.decode::<Read>() {
            Ok(request) => read(core, reader, request, incoming.responder).await,
            Err(_) => malformed(incoming.responder).await,
        },
        WantOutline::KIND => match incoming.decode::<WantOutline>() {
            Ok(request) => outline(core, reader, request, incoming.responder).await,
            Err(_) => malformed(incoming.responder).await,
        },
        HaveMore::KIND => {
            if let Ok(news) = incoming.decode::<HaveMore>() {
                core.downloads.have_more(reader, &news);
            }
        }
        NewRevocations::KIND => {
            if let Ok(news) = incoming.decode::<NewRevocations>() {
                core.learn_revocations(news.list).await;
            }
        }
        _ => hold::answer(core, link, incoming).await,
    }
}

async fn malformed(responder: Responder) {
    responder
        .refuse(Reason::BadRequest, "the request cannot be read")
        .await;
}

async fn not_here(responder: Responder) {
    responder
        .refuse(Reason::NotFound, "this content is not here")
        .await;
}

async fn read(core: Arc<Core>, reader: PeerId, request: Read, mut responder: Responder) {
    let Some(item) = core.shelf.item_for(request.content, &reader) else {
        return not_here(responder).await;
    };
    if u64::from(request.first_unit) >= UNITS_PER_CHUNK {
        return responder.refuse(Reason::BadRequest, "no such units").await;
    }
    if request.proof {
        return read_proven(core, item, request, responder).await;
    }
    let Some(chunk_bytes) = item.body.chunk_bytes(request.chunk) else {
        return responder.refuse(Reason::BadRequest, "no such chunk").await;
    };
    let start = u64::from(request.first_unit) * UNIT_BYTES;
    let asked = u64::from(request.units) * UNIT_BYTES;
    let mut left = u64::from(chunk_bytes).saturating_sub(start).min(asked);
    let mut unit = request.first_unit;
    if left == 0 {
        let _ = responder.segments(Bytes::new(), true);
        return;
    }
    // What waits for the rate of this one share keeps nobody else from being served.
    item.up.pass(left).await;
    let chunk = (request.content, request.chunk);
    let mut slot = core.uplink.slot(reader, left, chunk).await;
    if slot.is_none() {
        return responder.refuse(Reason::Busy, "too many requests wait").await;
    }
    while left > 0 {
        let want = usize::try_from(left).expect("at most a chunk");
        let room = match time::timeout(SLOT_PATIENCE, responder.credit(want)).await {
            Ok(room) => room,
            Err(_) => {
                slot.take();
                responder.credit(want).await
            }
        };
        let Ok(room) = room else { return };
        let now = whole_units(room, want);
        core.up.pass(now as u64).await;
        let units = u16::try_from((now as u64).div_ceil(UNIT_BYTES)).expect("at most a chunk's");
        let bytes = match read_units(&core, &item, request.chunk, unit, units, now).await {
            Ok(bytes) => bytes,
            Err(error) => return withdraw(core, request.content, error, responder).await,
        };
        left -= now as u64;
        unit += units;
        if responder.segments(bytes, left == 0).is_err() {
            return;
        }
        core.count_served(now as u64);
    }
}

/// Units with the hashes that prove them: the whole chunk is read for that.
async fn read_proven(core: Arc<Core>, item: Arc<Item>, request: Read, mut responder: Responder) {
    let first = u64::from(request.first_unit);
    let units = first..first + u64::from(request.units);
    let body = item.body.clone();
    let proven = core
        .world
        .work
        .call(move || body.proven(request.chunk, units))
        .await;
    let mut bytes = match proven {
        Ok(Some(bytes)) => Bytes::from(bytes),
        Ok(None) => {
            return responder
                .refuse(Reason::BadRequest, "there is no such proof")
                .await;
        }
        Err(error) => return withdraw(core, request.content, error, responder).await,
    };
    while !bytes.is_empty() {
        let Ok(room) = responder.credit(bytes.len()).await else {
            return;
        };
        let now = bytes.split_to(room.min(bytes.len()));
        let sent = now.len() as u64;
        item.up.pass(sent).await;
        core.up.pass(sent).await;
        if responder.segments(now, bytes.is_empty()).is_err() {
            return;
        }
        core.count_served(sent);
    }
}

/// As much of `room` as ends on a unit, or all that is wanted.
fn whole_units(room: usize, want: usize) -> usize {
    let unit = usize::try_from(UNIT_BYTES).expect("16 KiB");
    if room >= want {
        want
    } else {
        (room - room % unit).max(room.min(unit))
    }
}

/// Reads at once what is in the system's memory, while it is in the processor's caches for the
/// encryption that follows; for the disk it waits on another thread.
async fn read_units(
    core: &Core,
    item: &Arc<Item>,
    chunk: u64,
    unit: u16,
    units: u16,
    bytes: usize,
) -> Result<Bytes, SourceError> {
    let mut out = core.buffers.take(bytes);
    let read = match item.body.read_now(chunk, unit, units, out.as_mut())? {
        Some(read) => read,
        None => {
            let item = item.clone();
            let work = move || (item.body.read_ahead(chunk, unit, units, out.as_mut()), out);
            let (read, back) = core.world.work.call(work).await;
            out = back;
            read?
        }
    };
    if read == bytes {
        Ok(Bytes::from_owner(out))
    } else {
        Err(SourceError::NoSuchChunk(chunk))
    }
}

/// Says that the bytes cannot be had, and stops offering them if that will not change.
async fn withdraw(core: Arc<Core>, content: BlobId, error: SourceError, responder: Responder) {
    match error {
        SourceError::Changed(_) | SourceError::Gone(_) => {
            tracing::info!("withdrawing {content}: {error}");
            responder
                .refuse(Reason::Changed, "the file has changed here")
                .await;
            holdings::lost(&core, content).await;
        }
        SourceError::NotStored(_) => responder.refuse(Reason::NotFound, "this chunk is not here").await,
        error => {
            tracing::warn!("reading {content} failed: {error}");
            responder.refuse(Reason::Internal, "reading failed here").await;
        }
    }
}

async fn outline(core: Arc<Core>, reader: PeerId, request: WantOutline, responder: Responder) {
    let Some(item) = core.shelf.item_for(request.content, &reader) else {
        return not_here(responder).await;
    };
    let body = item.body.clone();
    let page = core
        .world
        .work
        .call(move || body.page(request.object, request.page))
        .await;
    match page {
        Ok(page) => responder.reply(&OutlinePage::from(page)).await,
        Err(error) => {
            tracing::debug!("no outline page for {reader:?}: {error}");
            responder
                .refuse(Reason::NotFound, "this outline page is not here")
                .await;
        }
    }
}

/// Tells what is here, and of a growing content what comes, while link and content last.
async fn have(core: Arc<Core>, link: Link, incoming: Incoming) {
    let request = incoming.decode::<WantHave>();
    let responder = incoming.responder;
    let Ok(request) = request else {
        return malformed(responder).await;
    };
    let Some(item) = core.shelf.item_for(request.content, &link.peer()) else {
        return not_here(responder).await;
    };
    let mut grown = item.grown.subscribe();
    let Some(mut told) = item.body.stored() else {
        return responder
            .reply(&Have {
                complete: true,
                chunks: Vec::new(),
            })
            .await;
    };
    let mut chunks = Vec::new();
    if told.serialize_into(&mut chunks).is_err() || chunks.len() > Have::LIMIT as usize - 64 {
        chunks.clear();
    }
    responder
        .reply(&Have {
            complete: false,
            chunks,
        })
        .await;
    let Body::Growing(partial) = &item.body else {
        return;
    };
    if let Ok(grant) = core.trust.admit(core.unix_s(), link.peer(), link.hello()) {
        core.downloads.met(link.peer(), &grant.name, request.content);
    }
    let partial = Arc::downgrade(partial);
    drop((item, core));
    while !matches!(grown.recv().await, Err(RecvError::Closed)) {
        let Some(now) = partial.upgrade().map(|p| p.stored()) else {
            return;
        };
        let news: Vec<u64> = (&now - &told).into_iter().collect();
        for chunks in news.chunks(HAVE_MORE) {
            let message = HaveMore {
                content: request.content,
                chunks: chunks.to_vec(),
            };
            if link.tell(&message).await.is_err() {
                return;
            }
        }
        told = now;
        time::sleep(Duration::from_millis(100)).await;
    }
}
