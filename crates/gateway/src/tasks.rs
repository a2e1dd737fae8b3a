//! The tasks of a role, and how they end: together, and none of them outlives it.

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tasks that end together. Cheap to clone: all clones stand for the same tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it is done, or all are to end.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Runs `work`, which looks at [`Self::stop`] itself, to its end.
    pub(crate) fn spawn_whole(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Runs `work` on a thread that may be blocked. It has to look at [`Self::stop`] itself.
    pub(crate) fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.tracker.spawn_blocking(work)
    }

    /// Some of these tasks, which can also be told to end by themselves.
    pub(crate) fn some(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            stop: self.stop.child_token(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Cancelled when they are to end.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Ends them all, and returns when they have ended.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_end_together_and_some_of_them_alone() {
        let tasks = Tasks::default();
        let some = tasks.some();
        tasks.spawn(std::future::pending());
        some.spawn(std::future::pending());
        assert_eq!(tasks.len(), 2);
        some.stop().cancel();
        while tasks.len() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(!tasks.stop().is_cancelled());
        tasks.end().await;
        assert_eq!(tasks.len(), 0);
    }
}
