//! How far the reading of a file or folder is, and how it is stopped.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::api::types::Progress;

/// How far a scan is; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Scanning {
    /// Bytes read so far.
    pub bytes: AtomicU64,
    /// Set to stop it.
    pub stop: AtomicBool,
}

impl Scanning {
    /// Stops the scan when the result is dropped.
    pub(crate) fn stop_on_drop(self: Arc<Self>) -> impl Drop {
        struct Stop(Arc<Scanning>);
        impl Drop for Stop {
            fn drop(&mut self) {
                self.0.stop.store(true, Ordering::Relaxed);
            }
        }
        Stop(self)
    }

    /// Tells how far it is, for ever.
    pub(crate) async fn tell(&self, progress: &watch::Sender<Progress>) -> Infallible {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let bytes = self.bytes.load(Ordering::Relaxed);
            let rate = (bytes - before) * 5;
            before = bytes;
            progress.send_replace(Progress {
                bytes,
                rate,
                state: "reading".to_owned(),
                ..Progress::default()
            });
        }
    }
}
