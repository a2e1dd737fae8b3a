//! Holders that are played by hand: one of them may be honest.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use skep_net::{Inbox, Limits, Link, Responder};
use skep_wire::{
    BlobId, CHUNK_BYTES, PeerName, SigningKey, UNIT_BYTES,
    chunk::{Check, hash_chunk},
    frame::{Header, REPLY},
    message::{
        Done, Have, HaveMore, Hello, Holder, Lane, Message as _, OutlinePage, Read, Reason, WantHave,
        WantOutline,
    },
    outline::Outline,
    proof,
    record::{Content, ContentKind},
};
use skep_world::Stream;
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::sleep};

use crate::realm::{Realm, address, endpoint, hello, keyed};

/// Bytes of a chunk.
const CHUNK: usize = 1 << 20;

/// What is downloaded: some chunks, and its outline.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) bytes: Bytes,
    outline: Arc<Outline>,
}

/// What a holder does to who asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Nothing: it is honest.
    None,
    /// Flips a bit of each answer.
    WrongBytes,
    /// Gives the bytes of the chunk beside it.
    AnotherChunk,
    /// Ends each answer early.
    TooFew,
    /// Gives more than was asked for.
    TooMany,
    /// Forges the outline.
    WrongOutline,
    /// Has nothing of what it is said to have.
    Denies,
    /// Never answers.
    Silent,
    /// A byte per second.
    Crawls,
    /// Answers with messages of another kind.
    Nonsense,
    /// Never answers, and says over and over that it has more.
    Babbles,
    /// Sends answers without end to what nobody asked.
    Unasked,
}

impl Mischief {
    pub(crate) const ALL: [Self; 11] = [
        Self::WrongBytes,
        Self::AnotherChunk,
        Self::TooFew,
        Self::TooMany,
        Self::WrongOutline,
        Self::Denies,
        Self::Silent,
        Self::Crawls,
        Self::Nonsense,
        Self::Babbles,
        Self::Unasked,
    ];
}

impl Blob {
    /// Every byte differs from the one a chunk later.
    pub(crate) fn new(chunks: u64) -> Self {
        let len = usize::try_from(chunks * CHUNK_BYTES).unwrap() - 777;
        let byte = |at: usize| u8::try_from((at * 7 + at / CHUNK) % 251).unwrap();
        let bytes: Bytes = (0..len).map(byte).collect();
        let leaves = bytes
            .chunks(CHUNK)
            .zip(0..)
            .map(|(chunk, n)| hash_chunk(n, chunk));
        let outline = Outline::new(len as u64, leaves.collect()).unwrap();
        Self {
            bytes,
            outline: Arc::new(outline),
        }
    }

    pub(crate) fn content(&self) -> Content {
        Content {
            id: self.id(),
            size: self.bytes.len() as u64,
            kind: ContentKind::File,
        }
    }

    fn id(&self) -> BlobId {
        self.outline.root()
    }

    fn chunk(&self, number: u64) -> Bytes {
        let from = usize::try_from(number * CHUNK_BYTES)
            .unwrap()
            .min(self.bytes.len());
        self.bytes.slice(from..self.bytes.len().min(from + CHUNK))
    }

    /// What an honest holder answers.
    fn part(&self, read: &Read) -> Vec<u8> {
        let chunk = self.chunk(read.chunk);
        let (first, units) = (u64::from(read.first_unit), u64::from(read.units));
        let from = usize::try_from(first * UNIT_BYTES).unwrap().min(chunk.len());
        let to = usize::try_from((first + units) * UNIT_BYTES)
            .unwrap()
            .min(chunk.len());
        let mut answer = Vec::new();
        if read.proof {
            let check = Check::Piece {
                hash: hash_chunk(read.chunk, &chunk),
                index: read.chunk,
                len: u32::try_from(chunk.len()).unwrap(),
            };
            let last = (chunk.len() as u64).div_ceil(UNIT_BYTES);
            let proof = proof::prove(&check, &chunk, &(first..(first + units).min(last))).unwrap();
            answer.extend(proof.concat());
        }
        answer.extend(&chunk[from..to]);
        answer
    }
}

/// Starts a holder, and has the coordinator tell of it.
pub(crate) async fn start(realm: &Realm, n: u8, blob: &Blob, mischief: Mischief, serving: &mut JoinSet<()>) {
    let (key, name) = (keyed(n), format!("holder-{n}"));
    realm.says().holders.push(Holder {
        peer: key.peer_id(),
        name: PeerName::parse(&name).unwrap(),
        address: Some(endpoint(address(n))),
        complete: true,
    });
    let grant = realm.grant(&key, &name);
    let world = realm.universe.machine(address(n).ip()).boot();
    let listener = world.network.listen(&key, address(n)).await.unwrap();
    let blob = blob.clone();
    serving.spawn(async move {
        // It is in the world as long as it serves.
        let (_world, mut talks) = (world, JoinSet::new());
        while let Ok(stream) = listener.accept().await {
            let (hello, blob) = (hello(Some(grant.clone())), blob.clone());
            talks.spawn(async move {
                if mischief == Mischief::Unasked {
                    return answer_nobody(stream, &hello).await;
                }
                if let Ok((link, inbox)) = Link::open(stream, hello, Limits::of(Lane::Bulk)).await {
                    tokio::select! {
                        () = serve(inbox, blob.clone(), mischief) => {}
                        () = babble(&link, &blob), if mischief == Mischief::Babbles => {}
                    }
                }
            });
        }
    });
}

async fn serve(mut inbox: Inbox, blob: Blob, mischief: Mischief) {
    let mut answers = JoinSet::new();
    while let Some(incoming) = inbox.recv().await {
        let blob = blob.clone();
        match incoming.kind {
            WantHave::KIND => {
                incoming
                    .responder
                    .reply(&Have {
                        complete: true,
                        chunks: vec![],
                    })
                    .await
            }
            WantOutline::KIND => {
                let want: WantOutline = incoming.decode().unwrap();
                outline(&blob, want.page, incoming.responder, mischief).await;
            }
            Read::KIND => {
                let read: Read = incoming.decode().unwrap();
                answers.spawn(answer(blob, read, incoming.responder, mischief));
            }
            _ => incoming.responder.unsupported().await,
        }
    }
}

/// Until nobody hears it any more.
async fn babble(link: &Link, blob: &Blob) {
    let more = HaveMore {
        content: blob.id(),
        chunks: vec![0, 1],
    };
    while link.tell(&more).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Says hello, and then done, done, done.
async fn answer_nobody(mut stream: Stream, hello: &Hello) {
    let frame = |kind, request, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap();
        let header = Header {
            length,
            kind,
            request,
        };
        [&header.encode()[..], body].concat()
    };
    let mut bytes = frame(Hello::KIND, 0, &hello.encode());
    for request in 1..REPLY {
        bytes.extend(frame(Done::KIND, request | REPLY, &[]));
        if stream.writer.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
        sleep(Duration::from_millis(10)).await;
    }
}

async fn outline(blob: &Blob, page: u32, responder: Responder, mischief: Mischief) {
    let page = blob.outline.page(page.into()).unwrap();
    let mut leaves: Vec<[u8; 32]> = page.leaves.iter().map(|leaf| leaf.0).collect();
    if mischief == Mischief::WrongOutline {
        leaves.swap(0, 1);
    }
    responder
        .reply(&OutlinePage {
            leaves,
            path: page.path,
        })
        .await;
}

async fn answer(blob: Blob, mut read: Read, mut responder: Responder, mischief: Mischief) {
    if mischief == Mischief::AnotherChunk {
        read.chunk ^= 1;
    }
    let mut bytes = blob.part(&read);
    match mischief {
        Mischief::None | Mischief::AnotherChunk | Mischief::WrongOutline => {}
        Mischief::WrongBytes => *bytes.last_mut().unwrap() ^= 1,
        Mischief::TooFew => bytes.truncate(bytes.len() - 1),
        Mischief::TooMany => bytes.extend([7; 100]),
        Mischief::Denies => return responder.refuse(Reason::NotFound, "not here").await,
        Mischief::Silent | Mischief::Babbles | Mischief::Unasked => return std::future::pending().await,
        Mischief::Nonsense => return responder.reply(&WantHave { content: blob.id() }).await,
        Mischief::Crawls => {
            for byte in bytes {
                let granted = responder.credit(1).await;
                let sent = granted.and_then(|_| responder.segments(vec![byte].into(), false));
                if sent.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
            return;
        }
    }
    let _ = responder.bulk(bytes.into()).await;
}

/// Who publishes the file.
pub(crate) fn publisher() -> Arc<SigningKey> {
    keyed(50)
}
