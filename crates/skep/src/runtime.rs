//! The async runtime, the machine, and the signals of a person who wants to stop.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use skep_net::Tls;
use skep_world::World;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Blocking jobs that run at the same time, at least: most of them wait for a disk.
const LEAST_JOBS: usize = 4;

/// Runs `work` to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // The other half of the processors is for what blocks: disk, hashing.
    let workers = (processors() / 2).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|e| Failure::new("internal", format!("no threads can be started: {e}"), ""))?;
    let result = runtime.block_on(work);
    // A blocking read of a terminal or a slow disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}

/// The real machine.
pub(crate) fn world() -> World {
    World::real(Arc::new(Tls), processors().max(LEAST_JOBS))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Cancels the result at the first SIGINT or SIGTERM; the second ends the process at once.
pub(crate) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let failed = |e| Failure::new("internal", format!("signals cannot be heard: {e}"), "");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancel.is_cancelled() {
                std::process::exit(130);
            }
            cancel.cancel();
        }
    });
    Ok(stop)
}

/// Runs `work` until it ends or a person interrupts it.
pub(crate) fn interruptible<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on(async {
        let stop = stop_on_signal()?;
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Failure::interrupted()),
            result = work => result,
        }
    })
}

/// Waits until the process that uses `home` has gone, at most ten seconds.
pub(crate) fn wait_until_unlocked(home: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let Ok(lock) = File::open(home.join("lock")) else {
        return Ok(());
    };
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                let message = "it was told to stop, but still runs";
                return Err(Failure::new(
                    "busy",
                    message,
                    "see its log; kill it if it does not end",
                ));
            }
            _ => return Ok(()),
        }
    }
}
