//! The coordinator's index: who is in the network, what is shared, who has it, who is there.
//!
//! A pure state machine. [`Index::handle`] takes an [`Event`] and appends to [`Effects`] what is to
//! be committed and then sent; [`Index::poll`] does what is due by time alone. The caller owns
//! clocks, connections and the ledger. Contents and backups are not seen here, only ids and sizes.

mod effect;
mod event;

use std::{sync::Arc, time::Duration};

pub use effect::{Change, CommandReply, Denial, Effects, InvitationRow, Order, Output, Reply};
pub use event::{CallId, Command, Event, OrderId, OrderReply, Request, RequestError, SessionId};
use skep_wire::{Moment, Signed, SigningKey, record::Revocations};
use thiserror::Error;

/// How an index is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Signs grants and revocations. Its public half is the network's id.
    pub network_key: Arc<SigningKey>,
    /// How many peers the network takes.
    pub max_peers: u32,
    /// How often a peer is to be heard from; after three times this it is offline.
    pub heartbeat: Duration,
    /// After how long an offline peer counts as failed.
    pub failed_after: Duration,
}

/// A fact from the ledger that cannot be read: the ledger is damaged, or of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the fact {key:02x?} cannot be read: {problem}")]
pub struct RestoreError {
    /// Its key.
    pub key: Vec<u8>,
    /// What is wrong.
    pub problem: &'static str,
}

/// How many there are, for status and logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Peers of the network.
    pub peers: usize,
    /// Of these, online.
    pub online: usize,
    /// Shares that are not withdrawn.
    pub shares: usize,
    /// Contents that some peer has.
    pub contents: usize,
    /// Pairs of a content and a verified holder of all of it, online or not.
    pub holdings: usize,
    /// Invitations that still hold.
    pub invitations: usize,
}

/// The index.
pub struct Index {}

impl Index {
    /// The index of a new network.
    ///
    /// `seed` decides which holders are sampled; it need not be secret, but must not be guessable by peers.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let _ = (config, seed);
        todo!()
    }

    /// The index of a network of which these facts are known, in any order. Everybody is offline at first.
    ///
    /// # Errors
    /// [`RestoreError`] when a fact cannot be read; nothing is guessed.
    pub fn restore(
        config: Config,
        seed: [u8; 32],
        now: Moment,
        facts: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RestoreError> {
        let _ = (config, seed, now, facts.into_iter());
        todo!()
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Moment, event: Event, effects: &mut Effects) {
        let _ = (now, event, effects);
        todo!()
    }

    /// Does what is due by now: marks silent peers offline, sweeps what has expired.
    pub fn poll(&mut self, now: Moment, effects: &mut Effects) {
        let _ = (now, effects);
        todo!()
    }

    /// When, on the monotonic clock, [`Index::poll`] has something to do; none: not before the next event.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        todo!()
    }

    /// The newest list of revocations; its number goes into the coordinator's hello.
    #[must_use]
    pub fn revocations(&self) -> Option<&Signed<Revocations>> {
        todo!()
    }

    /// How many there are of everything.
    #[must_use]
    pub fn summary(&self) -> Summary {
        todo!()
    }
}
