//! How far a backup or a restore is, and how it is stopped.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time};

use crate::api::types::Progress;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Counts what was done; read by whoever shows it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl Meter {
    /// So many more bytes are done.
    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are to be done.
    pub(super) fn expect(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that are done.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Stops the work.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the work shall stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Stops the work when the result is dropped.
    pub(crate) fn stop_on_drop(self: Arc<Self>) -> impl Drop {
        struct Stop(Arc<Meter>);
        impl Drop for Stop {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        Stop(self)
    }

    /// Tells how far it is, for ever.
    pub(crate) async fn tell(&self, state: &str, progress: &watch::Sender<Progress>) -> Infallible {
        let mut before = 0;
        loop {
            time::sleep(TELL_EVERY).await;
            let bytes = self.bytes();
            let rate = (bytes - before) * 5;
            before = bytes;
            progress.send_replace(Progress {
                bytes,
                total: self.total.load(Ordering::Relaxed),
                rate,
                state: state.to_owned(),
                ..Progress::default()
            });
        }
    }
}
