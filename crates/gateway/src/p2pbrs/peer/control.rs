//! The datagrams of a peer: what the server asks of it, and what it asks of the server.
//!
//! It obeys its server's address alone. From others it takes `CHUNK_OK` and `CHUNK_ERROR`, if it
//! waits for them from there.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    super::codec::{DATAGRAM_BYTES, FileName, Message, Rq},
    CommandError, Inner, backup, carry,
    storage::ChunkName,
};
use crate::journal::{Over, Way};

/// When a request is sent again, and how long the last one is waited for.
const AGAIN: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(4),
];
/// Orders that are remembered, so that a repetition has no second effect.
const REMEMBERED: usize = 4096;

/// Who has answered about a chunk, and how.
pub(super) type ChunkAnswer = Result<(), String>;

/// Who waits for which datagram.
#[derive(Default)]
pub(super) struct Waiting {
    /// By the number of the request.
    answers: BTreeMap<Rq, mpsc::Sender<Message>>,
    /// By who has the chunk.
    chunks: BTreeMap<(IpAddr, FileName, u64), mpsc::Sender<ChunkAnswer>>,
    /// The last orders.
    orders: VecDeque<String>,
}

impl Waiting {
    /// Whether this order came lately. It is remembered.
    fn is_repetition(&mut self, text: String) -> bool {
        if self.orders.contains(&text) {
            return true;
        }
        self.orders.push_back(text);
        if self.orders.len() > REMEMBERED {
            self.orders.pop_front();
        }
        false
    }

    /// From now on datagrams about that chunk from there go into the result.
    pub(super) fn for_chunk(
        &mut self,
        from: IpAddr,
        file: &FileName,
        chunk: u64,
    ) -> mpsc::Receiver<ChunkAnswer> {
        let (sender, receiver) = mpsc::channel(4);
        self.chunks.insert((from, file.clone(), chunk), sender);
        receiver
    }

    pub(super) fn not_for_chunk(&mut self, from: IpAddr, file: &FileName, chunk: u64) {
        self.chunks.remove(&(from, file.clone(), chunk));
    }
}

/// Takes in datagrams, for as long as it is polled.
pub(super) async fn read_datagrams(peer: Arc<Inner>) {
    let mut datagram = [0; DATAGRAM_BYTES + 1];
    loop {
        // An error is about an earlier datagram that did not arrive.
        let Ok((size, from)) = peer.socket.recv_from(&mut datagram).await else {
            continue;
        };
        let bytes = datagram.get(..size).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        peer.journal.message(Way::Received, Over::Udp, from, &text);
        let Ok(message) = Message::decode(bytes) else {
            continue;
        };
        if same(from, peer.config.server) {
            obey(&peer, message, &text).await;
        } else {
            take_chunk_answer(&peer, from, message);
        }
    }
}

/// One address may be written as IPv4 or as IPv6.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

fn take_chunk_answer(peer: &Inner, from: SocketAddr, message: Message) {
    let (file, chunk, answer) = match message {
        Message::ChunkOk { file, chunk, .. } => (file, chunk, Ok(())),
        Message::ChunkError {
            file, chunk, reason, ..
        } => (file, chunk, Err(reason)),
        _ => return,
    };
    let waiting = peer.waiting();
    if let Some(sender) = waiting.chunks.get(&(from.ip().to_canonical(), file, chunk)) {
        // Who has its answer already does not wait any more.
        let _ = sender.try_send(answer);
    }
}

/// Does what the server says.
async fn obey(peer: &Arc<Inner>, message: Message, text: &str) {
    match message {
        Message::StorageTask {
            rq,
            file,
            owner,
            bringer,
            ..
        } => {
            peer.storage().handle_task(rq, file, owner, bringer);
            peer.announced.notify_waiters();
        }
        Message::StoreReq { .. } => expect_chunk(peer, message).await,
        Message::ReplicateReq {
            rq,
            file,
            chunk,
            target,
        } => {
            if !peer.waiting().is_repetition(text.to_owned()) {
                peer.spawn(carry::replicate(peer.clone(), rq, file, chunk, target));
            }
        }
        Message::BackupPlan {
            rq,
            file,
            peers,
            chunk_size,
        } => {
            let is_awaited = rq
                .as_ref()
                .is_some_and(|rq| peer.waiting().answers.contains_key(rq));
            if !is_awaited && backup::follow(peer, &file, &peers) {
                return;
            }
            answer(
                peer,
                Message::BackupPlan {
                    rq,
                    file,
                    peers,
                    chunk_size,
                },
            );
        }
        message => answer(peer, message),
    }
}

/// `STORE_REQ`: if the chunk has come already, the acknowledgement was lost, and is given again.
async fn expect_chunk(peer: &Inner, message: Message) {
    let Message::StoreReq {
        rq,
        file,
        chunk,
        owner,
        bringer,
    } = message
    else {
        return;
    };
    let name = ChunkName {
        owner,
        file: file.clone(),
        chunk,
    };
    let here = peer.storage().handle_store_req(name, bringer);
    peer.announced.notify_waiters();
    if let Some(size) = here {
        peer.send(&Message::StoreAck {
            rq,
            file,
            chunk,
            size: Some(size),
        })
        .await;
    }
}

/// Hands an answer to who waits for it.
fn answer(peer: &Inner, message: Message) {
    let waiting = peer.waiting();
    let sender = match (number(&message), &message) {
        (Some(rq), _) => waiting.answers.get(rq),
        // The document's example of a plan has no number: whoever asked last gets it.
        (None, Message::BackupPlan { .. } | Message::RestorePlan { .. }) => {
            waiting.answers.values().next_back()
        }
        // Acknowledgements that nobody waits for.
        _ => None,
    };
    if let Some(sender) = sender {
        // A second answer to the same request says nothing new.
        let _ = sender.try_send(message);
    }
}

fn number(message: &Message) -> Option<&Rq> {
    match message {
        Message::Registered { rq }
        | Message::RegisterDenied { rq, .. }
        | Message::DeRegistered { rq }
        | Message::BackupDenied { rq, .. }
        | Message::RestoreFail { rq, .. } => Some(rq),
        Message::BackupPlan { rq, .. } | Message::RestorePlan { rq, .. } => rq.as_ref(),
        _ => None,
    }
}

/// Says that this peer is there, for as long as it is polled.
pub(super) async fn send_heartbeats(peer: Arc<Inner>) {
    while peer.belongs.load(Ordering::Relaxed) {
        let chunks = peer.storage().chunks() as u64;
        let heartbeat = Message::Heartbeat {
            rq: peer.number(),
            name: peer.config.name.clone(),
            chunks,
            timestamp: peer.world.clock.now().unix_s.to_string(),
        };
        peer.send(&heartbeat).await;
        sleep(peer.config.heartbeat).await;
    }
}

impl Inner {
    /// Sends a datagram to the server.
    pub(super) async fn send(&self, message: &Message) {
        self.send_to(self.config.server, message).await;
    }

    pub(super) async fn send_to(&self, to: SocketAddr, message: &Message) {
        let text = message.encode();
        self.journal.message(Way::Sent, Over::Udp, to, &text);
        if let Err(error) = self.socket.send_to(text.as_bytes(), to).await {
            self.journal.note(format_args!("not sent to {to}: {error}"));
        }
    }

    /// Asks the server, again and again, until it answers.
    pub(super) async fn ask(&self, rq: &Rq, message: &Message) -> Result<Message, CommandError> {
        let (sender, mut answers) = mpsc::channel(1);
        self.waiting().answers.insert(rq.clone(), sender);
        let mut answered = None;
        for patience in AGAIN {
            self.send(message).await;
            if let Ok(answer) = timeout(patience, answers.recv()).await {
                answered = answer;
                break;
            }
        }
        self.waiting().answers.remove(rq);
        answered.ok_or(CommandError::NoAnswer)
    }

    /// Section 2.1.
    pub(super) async fn register(&self) -> Result<(), CommandError> {
        let rq = self.number();
        match self.ask(&rq, &self.registration(rq.clone())).await? {
            Message::Registered { .. } => Ok(()),
            Message::RegisterDenied { reason, .. } => Err(CommandError::Denied(reason)),
            _ => Err(CommandError::BadPlan),
        }
    }

    pub(super) async fn deregister(&self) -> Result<(), CommandError> {
        let (rq, name) = (self.number(), self.config.name.clone());
        self.belongs.store(false, Ordering::Relaxed);
        self.send(&Message::DeRegister { rq, name }).await;
        Ok(())
    }

    /// Asks the server something that a registered peer may ask: if it has forgotten this one,
    /// registers again first.
    pub(super) async fn ask_registered(
        &self,
        message: impl Fn(Rq) -> Message,
    ) -> Result<Message, CommandError> {
        let rq = self.number();
        let answer = self.ask(&rq, &message(rq.clone())).await?;
        let reason = match &answer {
            Message::BackupDenied { reason, .. } | Message::RestoreFail { reason, .. } => reason,
            _ => return Ok(answer),
        };
        if reason != "Not_Registered" || !self.belongs.load(Ordering::Relaxed) {
            return Ok(answer);
        }
        self.register().await?;
        let rq = self.number();
        self.ask(&rq, &message(rq.clone())).await
    }
}
