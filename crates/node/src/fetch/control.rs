//! What a person wants of a download, and what it says of itself.
//!
//! The strings between the one who commands, the one who watches, and the tasks that do it. No
//! decisions are made here.

use std::sync::Arc;

use skep_world::Clock;
use tokio::sync::watch;

use super::error::GetError;
use crate::{
    api::types::{GetDone, Progress},
    limit::RateLimit,
};

/// How a download ended.
pub(crate) type Outcome = Result<GetDone, Arc<GetError>>;

/// What is wanted of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That it goes on.
    Run,
    /// That it asks for nothing more until it is told to.
    Pause,
    /// That it ends, and that nothing of it is left.
    Cancel,
}

/// What a download is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Looking at what is here.
    Preparing,
    /// Getting chunks.
    Downloading,
    /// Nothing, as was wished.
    Paused,
    /// Nothing until there is room on the disk.
    WaitingForSpace,
    /// Nothing until somebody comes who has what is missing.
    WaitingForHolders,
    /// Nothing: it cannot go on by itself.
    Failed,
    /// It is over, and nobody was told yet.
    Done,
}

impl Doing {
    /// For people and scripts.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Downloading => "downloading",
            Self::Paused => "paused",
            Self::WaitingForSpace => "waiting for space",
            Self::WaitingForHolders => "waiting for holders",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }
}

/// What a download can be doing, in words.
pub(crate) const STATES: [&str; 7] = [
    Doing::Preparing.words(),
    Doing::Downloading.words(),
    Doing::Paused.words(),
    Doing::WaitingForSpace.words(),
    Doing::WaitingForHolders.words(),
    Doing::Failed.words(),
    Doing::Done.words(),
];

/// The strings of one download.
pub(crate) struct Control {
    wish: watch::Sender<Wish>,
    progress: watch::Sender<Progress>,
    outcome: watch::Sender<Option<Outcome>>,
    /// Counts how often somebody asked for it.
    calls: watch::Sender<u64>,
    /// Its own limit, beside the one for all.
    pub(crate) down: RateLimit,
}

impl Control {
    pub(crate) fn new(clock: Arc<dyn Clock>, wish: Wish, down_rate: Option<u64>) -> Self {
        let control = Self {
            wish: watch::Sender::new(wish),
            progress: watch::Sender::default(),
            outcome: watch::Sender::default(),
            calls: watch::Sender::default(),
            down: RateLimit::new(clock, down_rate),
        };
        control.say(if wish == Wish::Run {
            Doing::Preparing
        } else {
            Doing::Paused
        });
        control
    }

    /// What is wanted now.
    pub(crate) fn wished(&self) -> Wish {
        *self.wish.borrow()
    }

    /// What is wanted, as it changes.
    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    /// Waits until this is wanted.
    pub(crate) async fn until(&self, wish: Wish) {
        let mut wishes = self.wish.subscribe();
        let _ = wishes.wait_for(|now| *now == wish).await;
    }

    /// Wants something else. Who cancels does not change their mind.
    pub(crate) fn set(&self, wish: Wish) {
        self.wish.send_if_modified(|now| {
            let changed = *now != wish && *now != Wish::Cancel;
            if changed {
                *now = wish;
            }
            changed
        });
    }

    /// Somebody asks for it anew: holders are looked for at once, and costs are counted from here.
    pub(crate) fn call(&self) {
        self.calls.send_modify(|calls| *calls += 1);
    }

    /// Tells when somebody asks anew.
    pub(crate) fn calls(&self) -> watch::Receiver<u64> {
        self.calls.subscribe()
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// How far it is, as it changes.
    pub(crate) fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Says how far it is.
    pub(crate) fn tell(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Says what it is doing, at the same place as before.
    pub(crate) fn say(&self, doing: Doing) {
        self.progress.send_modify(|progress| {
            doing.words().clone_into(&mut progress.state);
            if doing != Doing::Downloading {
                progress.rate = 0;
            }
        });
    }

    /// Says that all of it is here.
    pub(crate) fn say_done(&self, bytes: u64) {
        self.progress.send_modify(|progress| {
            progress.total = progress.total.max(bytes);
            progress.bytes = progress.total;
        });
        self.say(Doing::Done);
    }

    /// Whether somebody waits for the end.
    pub(crate) fn is_watched(&self) -> bool {
        self.outcome.receiver_count() > 0
    }

    /// Waits for the end.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Outcome>> {
        self.outcome.subscribe()
    }

    /// Tells who waits that it has ended, or (none) that it begins again.
    pub(crate) fn end(&self, outcome: Option<Outcome>) {
        self.outcome.send_replace(outcome);
    }
}
