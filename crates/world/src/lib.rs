//! The seams between Skep and the machine: clock, randomness, files, connections, blocking work.
//!
//! Each is a narrow trait with one real implementation ([`real`]) and one simulated ([`simulated`]).
//! Connections are authenticated streams: the simulated ones lie above TLS, the real ones are made
//! by `skep-net`. Timers are tokio's own, which the simulation pauses and advances.
//! There are no product words here: no blobs, no shares.

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod disk;
pub mod entropy;
pub mod keyfile;
pub mod network;
pub mod raw;
pub mod real;
#[cfg(feature = "simulated")]
pub mod simulated;
mod whole;
pub mod work;

use std::sync::Arc;

pub use clock::Clock;
pub use disk::{Dir, Disk, File};
pub use entropy::Entropy;
pub use network::{Listener, Network, Stream};
pub use work::Work;

/// One machine, as the programs on it see it. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// What time is it?
    pub clock: Arc<dyn Clock>,
    /// Random bytes fit for keys.
    pub entropy: Arc<dyn Entropy>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// Where blocking work runs.
    pub work: Arc<dyn Work>,
}
