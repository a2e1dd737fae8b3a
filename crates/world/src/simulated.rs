//! A world of its own: disks, clocks, randomness, blocking work and connections, all from a seed.
//!
//! For tests only. It runs in one thread, on tokio's paused time.

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod machine;
pub mod net;
pub mod trace;
pub mod work;

pub use clock::Clock;
pub use disk::{Crash, Disk, Fault};
pub use entropy::Entropy;
pub use machine::{Machine, Universe};
pub use net::{Net, Route};
pub use trace::Trace;
pub use work::Work;
