//! The server: who is registered, who holds which chunk of which file, and what is to be done when
//! somebody fails. It never sees a byte of a file.
//!
//! A state machine without I/O: datagrams and the time come in, changes of facts and datagrams go out
//! into the caller's batch. The caller sends nothing of a batch before its changes are durable.

mod backup;
mod facts;
mod files;
mod orders;
mod peers;
mod registering;
mod repair;
mod repeats;
mod restore;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use skep_engine::directory::Liveness;

use self::{
    facts::Fact,
    files::{Backup, BackupNo, Files},
    orders::{Order, Orders},
    peers::{PeerNo, Peers},
    repair::Repairs,
    repeats::Repeats,
};
use super::codec::{Malformed, Message, Rq, Style};
use crate::{
    keep::{Batch, Facts},
    strangers::{Strangers, Trust},
};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often peers are to be heard from; three missed is a failure.
    pub heartbeat: Duration,
    /// The most peers that are registered.
    pub max_peers: usize,
    /// On how many peers each chunk belongs.
    pub replicas: usize,
    /// After so long without acknowledgement a chunk is given to another peer.
    pub ack_timeout: Duration,
    /// Also answer what the document leaves without an answer.
    pub acks: bool,
    /// How lists of peers are written.
    pub style: Style,
    /// Who is exempt from the bounds towards strangers.
    pub trust: Trust,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            max_peers: 10_000,
            replicas: 1,
            ack_timeout: Duration::from_secs(30),
            acks: false,
            style: Style::default(),
            trust: Trust::default(),
        }
    }
}

/// What a server wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A datagram is to be sent.
    Send {
        /// To whom.
        to: SocketAddr,
        /// Its text.
        text: String,
    },
    /// A person may want to know this.
    Note(String),
}

/// What a server wants: facts changed, then all else done.
pub type Effects = Batch<Output>;

/// The server.
pub struct Server {
    config: Config,
    peers: Peers,
    files: Files,
    orders: Orders,
    repairs: Repairs,
    /// Who has chunks of which backup to acknowledge.
    waits: Liveness<(BackupNo, PeerNo)>,
    repeats: Repeats,
    strangers: Strangers,
    /// The last number given to a request of the server.
    last_rq: u64,
}

/// One datagram, while it is handled.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    now: Duration,
    from: SocketAddr,
    bytes: &'a [u8],
}

impl Server {
    /// A server with what was kept. `first_rq` is where its own numbers begin: those of an earlier
    /// run must not come again soon.
    #[must_use]
    pub fn new(config: Config, now: Duration, first_rq: u64, facts: Facts) -> Self {
        let mut server = Self {
            peers: Peers::new(config.heartbeat, config.max_peers),
            files: Files::default(),
            orders: Orders::default(),
            repairs: Repairs::default(),
            waits: Liveness::new(config.ack_timeout),
            repeats: Repeats::default(),
            strangers: Strangers::new(config.trust.clone()),
            last_rq: first_rq,
            config,
        };
        server.restore(now, facts);
        server
    }

    fn restore(&mut self, now: Duration, facts: Facts) {
        let mut held = Vec::new();
        let mut plans = BTreeMap::new();
        for (key, value) in facts {
            match facts::read(&key, &value) {
                Some(Fact::Peer(no, peer)) => self.peers.restore(now, no, peer),
                Some(Fact::Plan(no, plan)) => drop(plans.insert(no, plan)),
                Some(Fact::Held(no, chunk, who)) => held.push((no, chunk, who)),
                None => tracing::warn!("a fact of the server makes no sense and is passed over"),
            }
        }
        for (no, plan) in plans {
            let rq = self.number();
            self.files.insert(no, Backup::new(plan, rq));
        }
        for (no, chunk, who) in held {
            self.note_holder(no, chunk, who);
        }
        self.resume(now);
    }

    /// Takes in a datagram.
    pub fn handle(&mut self, now: Duration, from: SocketAddr, bytes: &[u8], effects: &mut Effects) {
        let call = Call { now, from, bytes };
        if let Some(answer) = self.repeats.answer(now, from, bytes) {
            let answer = answer.to_vec();
            return answer
                .into_iter()
                .for_each(|text| self.reply_text(call, text, effects));
        }
        let before = effects.outputs.len();
        let is_remembered = match Message::decode(bytes) {
            Ok(message) => self.dispatch(call, message, effects),
            Err(Malformed { denial }) => {
                denial
                    .into_iter()
                    .for_each(|denial| self.reply(call, denial, effects));
                false
            }
        };
        if is_remembered {
            let said = effects
                .outputs
                .iter()
                .skip(before)
                .filter_map(|output| match output {
                    Output::Send { to, text } if *to == from => Some(text.clone()),
                    _ => None,
                });
            let answer = said.collect();
            self.repeats.remember(now, from, bytes, answer);
        }
    }

    /// Does what the time has come for.
    pub fn poll(&mut self, now: Duration, effects: &mut Effects) {
        for who in self.peers.failed(now) {
            self.fail(now, who, effects);
        }
        for (backup, who) in self.waits.silent(now) {
            // It may just have been asked to take over from another one.
            if !self.waits.is_alive(&(backup, who)) {
                self.give_up_on(now, backup, who, effects);
            }
        }
        self.repair(now);
        let (files, peers) = (&self.files, &self.peers);
        let due = self.orders.due(now, |order| is_needed(files, peers, order));
        for order in due {
            self.send(order, effects);
        }
    }

    /// When [`Self::poll`] is to be called next.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        let repair = self.repairs.next_wakeup();
        let times = [
            self.peers.next_wakeup(),
            self.waits.next_wakeup(),
            self.orders.next_wakeup(),
            repair,
        ];
        times.into_iter().flatten().min()
    }

    /// How many peers are registered.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.peers.registered()
    }

    /// Handles a message. Returns whether a repetition of it is to be answered alike: not of those
    /// that may come at any time and have the same effect twice.
    fn dispatch(&mut self, call: Call<'_>, message: Message, effects: &mut Effects) -> bool {
        match message {
            Message::Register { .. } | Message::DeRegister { .. } | Message::Heartbeat { .. } => {
                return self.attend(call, message, effects);
            }
            Message::BackupReq { .. } => self.handle_backup_req(call, message, effects),
            Message::BackupDone { rq, file } => self.handle_backup_done(call, rq, file, effects),
            Message::StoreAck { file, chunk, .. } => {
                self.handle_store_ack(call, &file, chunk, effects);
                return false;
            }
            Message::RestoreReq { rq, file } => self.handle_restore_req(call, rq, file, effects),
            // The owner's reports are for the person who reads the journal, where they stand already.
            Message::RestoreOk { .. } | Message::RestoreFail { .. } => {}
            _ => return false,
        }
        true
    }

    /// Answers a datagram.
    fn reply(&mut self, call: Call<'_>, message: Message, effects: &mut Effects) {
        self.reply_text(call, message.encode(), effects);
    }

    fn reply_text(&mut self, call: Call<'_>, text: String, effects: &mut Effects) {
        let is_known = self.peers.at(call.from).is_some();
        let strangers = &mut self.strangers;
        if is_known || strangers.may_answer(call.now, call.from.ip(), call.bytes.len(), text.len()) {
            let to = call.from;
            effects.outputs.push(Output::Send { to, text });
        }
    }

    /// The next number of a request of the server.
    fn number(&mut self) -> u64 {
        self.last_rq += 1;
        self.last_rq
    }

    /// Sends an order to whom it is for.
    fn send(&self, order: Order, effects: &mut Effects) {
        let (to, message) = match order {
            Order::Task { backup, to } => (to, self.storage_task(backup)),
            Order::Store {
                backup,
                chunk,
                to,
                from,
                rq,
            } => (to, self.store_req(backup, chunk, from, rq)),
            Order::Replicate {
                backup,
                chunk,
                from,
                to,
                rq,
            } => (from, self.replicate_req(backup, chunk, to, rq)),
            Order::Plan { backup } => {
                let Some(found) = self.files.get(backup) else {
                    return;
                };
                (found.plan.owner, Some(self.backup_plan(found)))
            }
        };
        if let (Some(peer), Some(message)) = (self.peers.get(to), message) {
            let (to, text) = (peer.endpoint, message.encode());
            effects.outputs.push(Output::Send { to, text });
        }
    }

    fn storage_task(&self, backup: BackupNo) -> Option<Message> {
        let found = self.files.get(backup)?;
        let owner = self.peers.get(found.plan.owner)?;
        Some(Message::StorageTask {
            rq: Rq::from(found.rq),
            file: found.plan.file.clone(),
            chunk_size: found.plan.chunk_bytes,
            owner: owner.name.clone(),
            bringer: Some(owner.bringer()),
        })
    }

    fn store_req(&self, backup: BackupNo, chunk: u64, from: PeerNo, rq: u64) -> Option<Message> {
        let found = self.files.get(backup)?;
        Some(Message::StoreReq {
            rq: Rq::from(rq),
            file: found.plan.file.clone(),
            chunk,
            owner: self.peers.get(found.plan.owner)?.name.clone(),
            bringer: self.peers.get(from).map(peers::Peer::bringer),
        })
    }
}

/// Whether an order is to be sent (again): not when it was done in the meantime.
fn is_needed(files: &Files, peers: &Peers, order: &Order) -> bool {
    match *order {
        Order::Task { backup, to } => {
            files.get(backup).is_some_and(|backup| !backup.plan.complete)
                && !files.held_by(to).contains(&backup)
        }
        Order::Store {
            backup, chunk, to, ..
        } => files.get(backup).is_some_and(|backup| {
            let Some(chunk) = backup.chunk(chunk) else {
                return false;
            };
            let is_spare = !chunk.awaited.contains(&to) && chunk.holders.len() < backup.plan.replicas;
            chunk.awaited.contains(&to) || (is_spare && !backup.plan.complete)
        }),
        Order::Replicate {
            backup,
            chunk,
            from,
            to,
            ..
        } => {
            let chunk = files.get(backup).and_then(|backup| backup.chunk(chunk));
            chunk.is_some_and(|chunk| chunk.awaited.contains(&to)) && peers.live(from).is_some()
        }
        Order::Plan { backup } => files.get(backup).is_some_and(|backup| !backup.plan.complete),
    }
}
