//! Blocking jobs on tokio's blocking threads, only so many at once; the rest wait in a queue.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot, task::spawn_blocking};

use crate::work::{Job, Waited};

/// Runs jobs on blocking threads, first come, first served. Those that may wait have threads of their own.
#[derive(Clone)]
pub struct Work {
    jobs: Pool,
    waiting_jobs: Pool,
}

/// Threads for jobs of one sort.
#[derive(Clone)]
struct Pool {
    most: usize,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    threads: usize,
    /// Of who brought the last job.
    runtime: Option<Handle>,
}

impl Work {
    /// At most `jobs` (but at least one) of each sort run at once.
    #[must_use]
    pub fn bounded(jobs: usize) -> Self {
        Self {
            jobs: Pool::bounded(jobs),
            waiting_jobs: Pool::bounded(jobs),
        }
    }
}

impl Pool {
    fn bounded(jobs: usize) -> Self {
        Self {
            most: jobs.max(1),
            queue: Arc::default(),
        }
    }

    /// Queues `job` and sees to it that a thread will get there.
    fn submit(&self, job: Job) {
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(job);
        queue.runtime = Some(Handle::current());
        if queue.threads < self.most {
            queue.threads += 1;
            let queue = Arc::clone(&self.queue);
            spawn_blocking(move || drain(&queue));
        }
    }

    async fn run(&self, job: Job) {
        let (tell, told) = oneshot::channel::<()>();
        self.submit(Box::new(move || {
            // Also dropped, and so told, when the job panics.
            let _tell = tell;
            job();
        }));
        let _ = told.await;
    }
}

impl crate::Work for Work {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.jobs.run(job))
    }

    fn run_waiting(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.waiting_jobs.run(job))
    }

    fn wait(&self, future: Waited<'_>) {
        let runtime = lock(&self.waiting_jobs.queue).runtime.clone();
        runtime
            .expect("only jobs wait, and one was brought")
            .block_on(future);
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what waits until nothing does.
fn drain(queue: &Mutex<Queue>) {
    while let Some(job) = next(queue) {
        // The caller learns of a panic by never getting a result; the other jobs go on.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// The next job; if there is none, this thread counts as gone.
fn next(queue: &Mutex<Queue>) -> Option<Job> {
    let mut queue = lock(queue);
    let job = queue.waiting.pop_front();
    if job.is_none() {
        queue.threads -= 1;
    }
    job
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Waker},
    };

    use super::*;

    fn work(jobs: usize) -> Arc<dyn crate::Work> {
        Arc::new(Work::bounded(jobs))
    }

    #[tokio::test]
    async fn results_come_back() {
        assert_eq!(work(2).call(|| 6 * 7).await, 42);
    }

    #[tokio::test]
    async fn no_more_than_the_bound_run_at_once() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = work(3);
        let mut jobs = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let (work, running, most) = (Arc::clone(&work), Arc::clone(&running), Arc::clone(&most));
            jobs.spawn(async move {
                work.call(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                })
                .await;
            });
        }
        assert_eq!(jobs.join_all().await.len(), 60);
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn jobs_run_although_their_future_was_dropped() {
        let work = work(1);
        let gate = Arc::new(Barrier::new(2));
        let (first, count) = (Arc::clone(&gate), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let mut blocked = work.run(Box::new(move || {
            first.wait();
        }));
        let mut dropped = work.run(Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(blocked.as_mut().poll(&mut context).is_pending());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop((blocked, dropped));
        gate.wait();
        work.call(|| ()).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_panic_reaches_its_caller_and_nobody_else() {
        let work = work(1);
        let failing = Arc::clone(&work);
        let failed = tokio::spawn(async move { failing.call(|| panic!("on purpose")).await }).await;
        assert!(failed.is_err_and(|e| e.is_panic()));
        assert_eq!(work.call(|| 1).await, 1);
    }

    #[tokio::test]
    async fn jobs_that_wait_leave_the_others_their_threads() {
        let work = work(1);
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let inner = work.clone();
        let waiting = tokio::spawn(async move {
            let job = inner.clone();
            inner.call_waiting(move || job.wait_for(gone)).await
        });
        assert_eq!(work.call(|| 1).await, 1);
        go.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
