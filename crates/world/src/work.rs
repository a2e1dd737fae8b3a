//! Blocking work: disk and heavy hashing, off the async threads.

use std::{future::Future, pin::Pin};

/// A job that blocks.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs.
pub trait Work: Send + Sync {
    /// Runs `job` and resolves when it has run. The real one MUST bound how many run at once;
    /// the simulated one runs it at once, inline. A job MUST be run even if the future is dropped
    /// after its first poll.
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl dyn Work {
    /// Runs `job` and returns what it returns.
    ///
    /// # Panics
    /// If the job panics.
    pub async fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.run(Box::new(move || {
            let _ = tell.send(job());
        }))
        .await;
        told.await.expect("a blocking job panicked")
    }
}
