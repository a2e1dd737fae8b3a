//! The bridge: what the native network shares with everyone, provided to the clients of a dialect.
//!
//! A bridge is a peer of the dialect like any other, whose folder is not on a disk: it lists the
//! native network's open shares ([`Exposed`]), under names that fit the dialect ([`Names`]). Nothing
//! is kept here; bytes pass through, verified by the native peer. What is not in that list has no
//! name in that folder, so it cannot be reached: neither shares for certain peers, nor backups.
//!
//! Not here: how the native peer is asked, which is [`Native`]'s, and the dialects.

mod exposed;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::sleep};

pub use self::{
    exposed::{Exposed, FOLDER},
    names::{Fit, Names},
};
use crate::journal::Journal;

/// How often it is looked what the network shares.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most shares that are provided: each may cost a port.
const MAX_SHARES: usize = 512;

/// A file that the native network shares with everyone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// Its name there.
    pub name: String,
    /// The id of its content.
    pub id: String,
    /// Who publishes it.
    pub publisher: String,
    /// Its size.
    pub bytes: u64,
}

/// What [`Native::shares`] comes to.
pub type Shares<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<Share>>> + Send + 'a>>;

/// The native peer, as far as a bridge needs it.
pub trait Native: Send + Sync {
    /// The files that are shared with everyone. It MUST list nothing else.
    fn shares(&self) -> Shares<'_>;
    /// The bytes of a share from `offset` to its end, in order and verified. An error is the last
    /// thing that comes. It MUST NOT block, and stops when nobody receives any more.
    fn read(&self, share: &Share, offset: u64) -> mpsc::Receiver<io::Result<Bytes>>;
}

/// A peer of a dialect whose folder is [`FOLDER`].
pub trait Provider {
    /// What names and files it can have.
    const FIT: Fit;
    /// Provides a file of the folder.
    fn provide(&mut self, name: &str) -> impl Future<Output = Result<(), String>> + Send;
    /// No longer provides it.
    fn withdraw(&mut self, name: &str) -> impl Future<Output = ()> + Send;
    /// Leaves the dialect's network.
    fn leave(self) -> impl Future<Output = ()> + Send;
}

/// A provider, and what it provides.
pub struct Bridge<P> {
    provider: P,
    exposed: Exposed,
    journal: Journal,
    names: Names,
    /// The ids of the contents, by the names under which they are provided.
    provided: BTreeMap<String, String>,
    /// What could not be, and was said to be so.
    failed: BTreeSet<String>,
}

impl<P: Provider> Bridge<P> {
    /// Around a provider that has entered its network.
    #[must_use]
    pub fn new(provider: P, exposed: Exposed, journal: Journal) -> Self {
        Self {
            provider,
            exposed,
            journal,
            names: Names::new(P::FIT),
            provided: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Follows the native network for as long as it is polled; `told` hears of every share, and under
    /// which name it is provided.
    pub async fn run(&mut self, mut told: impl FnMut(&str, &Share)) -> Infallible {
        loop {
            match self.exposed.look().await {
                Ok(shares) => self.follow(shares, &mut told).await,
                // What was listed stays: reading will tell whether it can be had.
                Err(error) => self.journal.note(format_args!("the native network: {error}")),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Leaves the dialect's network.
    pub async fn leave(self) {
        self.provider.leave().await;
    }

    async fn follow(&mut self, mut shares: Vec<Share>, told: &mut impl FnMut(&str, &Share)) {
        shares.retain(|share| share.bytes <= P::FIT.file_bytes);
        shares.sort();
        shares.truncate(MAX_SHARES);
        let files = self.names.assign(&shares);
        self.exposed.set(files.clone());
        let other = |name: &str, id: &str| files.get(name).is_none_or(|share| share.id != id);
        let gone: Vec<String> = self
            .provided
            .extract_if(.., |name, id| other(name, id))
            .map(|(name, _)| name)
            .collect();
        for name in gone {
            self.provider.withdraw(&name).await;
        }
        for (name, share) in files {
            if !self.provided.contains_key(&name) {
                self.provide(name, share, told).await;
            }
        }
    }

    async fn provide(&mut self, name: String, share: Share, told: &mut impl FnMut(&str, &Share)) {
        let Share {
            name: native,
            publisher,
            ..
        } = &share;
        match self.provider.provide(&name).await {
            Ok(()) => {
                self.journal
                    .note(format_args!("{publisher}/{native} is provided as {name}"));
                told(&name, &share);
                self.failed.remove(&name);
                self.provided.insert(name, share.id);
            }
            Err(why) => {
                if self.failed.insert(name.clone()) {
                    self.journal.note(format_args!(
                        "{publisher}/{native} cannot be provided as {name}: {why}"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
