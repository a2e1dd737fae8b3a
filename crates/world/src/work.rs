//! Blocking work: disk and heavy hashing, off the async threads.

use std::{future::Future, pin::Pin};

/// A job that blocks.
pub type Job = Box<dyn FnOnce() + Send>;
/// What a job waits for.
pub type Waited<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs jobs.
pub trait Work: Send + Sync {
    /// Runs `job` and resolves when it has run. The real one MUST bound how many run at once;
    /// the simulated one runs it at once, inline. A job MUST be run even if the future is dropped
    /// after its first poll, and MUST NOT wait for anything but the disk.
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// The same for a job that may [wait](Self::wait), which MUST NOT keep those of [`run`](Self::run) from running,
    /// however long it waits.
    fn run_waiting(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Blocks until `future` resolves. For jobs of [`run_waiting`](Self::run_waiting), and threads that they start.
    fn wait(&self, future: Waited<'_>);
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

    /// The same for a job that may wait.
    ///
    /// # Panics
    /// If the job panics.
    pub async fn call_waiting<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.run_waiting(Box::new(move || {
            let _ = tell.send(job());
        }))
        .await;
        told.await.expect("a blocking job panicked")
    }

    /// Blocks until `future` resolves, and returns what it resolves to. For jobs that may wait.
    ///
    /// # Panics
    /// If the future panics.
    pub fn wait_for<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let mut result = None;
        self.wait(Box::pin(async { result = Some(future.await) }));
        result.expect("it was waited for")
    }
}
