//! Blocking jobs, each run at once where it is asked for: one at a time, in one order.
//!
//! A job that waits for others has a stack of its own, which is that of a thread. It and the simulation take turns: one
//! of them stands still while the other runs, so the same seed gives the same order all the same.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
};

use tokio::runtime::Handle;

use crate::work::{Job, Waited};

/// The stacks of jobs that wait.
const STACK_BYTES: usize = 8 << 20;

/// Runs jobs inline.
#[derive(Debug, Clone, Copy)]
pub struct Work;

impl crate::Work for Work {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { job() })
    }

    fn run_waiting(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let running = Running::start(job);
            // A task, as the job goes on if nobody waits for it any more. It ends at the latest with the runtime.
            let _ = tokio::spawn(poll_fn(move |context| running.go_on(context.waker()))).await;
        })
    }

    fn wait(&self, mut future: Waited<'_>) {
        let turns = TURNS.with_borrow(Clone::clone);
        let turns = turns.expect("only jobs that were started to wait do");
        loop {
            let waker = turns.waker();
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => return,
                Poll::Pending => turns.rest(),
            }
        }
    }
}

thread_local! {
    /// Of the job that runs on this thread.
    static TURNS: RefCell<Option<Arc<Turns>>> = const { RefCell::new(None) };
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Job,
    Simulation,
    /// The job has ended.
    Ended,
    /// The simulation has: what is left of the job unwinds.
    Over,
}

struct Turns {
    now: Mutex<(Turn, Waker)>,
    changed: Condvar,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, (Turn, Waker)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> Waker {
        self.lock().1.clone()
    }

    /// Gives the turn away. Returns whose it is when it is not theirs any more.
    fn give(&self, to: Turn) -> Turn {
        let mut now = self.lock();
        now.0 = to;
        self.changed.notify_all();
        while now.0 == to {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        now.0
    }

    /// The job has to wait.
    fn rest(&self) {
        if self.give(Turn::Simulation) == Turn::Over {
            resume_unwind(Box::new("the simulation is over"));
        }
    }

    /// What the job's thread does, from its first turn on.
    fn play(self: Arc<Self>, job: Job) {
        let mut now = self.lock();
        while now.0 == Turn::Simulation {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let is_over = now.0 == Turn::Over;
        drop(now);
        if !is_over {
            TURNS.set(Some(self.clone()));
            // Who waits for the job learns of a panic by never getting a result.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
        self.lock().0 = Turn::Ended;
        self.changed.notify_all();
    }
}

/// A job on its thread.
struct Running {
    turns: Arc<Turns>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(job: Job) -> Self {
        let turns = Arc::new(Turns {
            now: Mutex::new((Turn::Simulation, Waker::noop().clone())),
            changed: Condvar::new(),
        });
        let (own, runtime) = (turns.clone(), Handle::current());
        let play = move || {
            // Its timers are those of the simulation.
            let _entered = runtime.enter();
            own.play(job);
        };
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(play);
        let thread = Some(thread.expect("a thread can be started"));
        Self { turns, thread }
    }

    /// Lets the job go on until it waits or ends.
    fn go_on(&self, waker: &Waker) -> Poll<()> {
        self.turns.lock().1 = waker.clone();
        match self.turns.give(Turn::Job) {
            Turn::Simulation => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut now = self.turns.lock();
        if now.0 != Turn::Ended {
            now.0 = Turn::Over;
            self.turns.changed.notify_all();
        }
        drop(now);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn work() -> Arc<dyn crate::Work> {
        Arc::new(Work)
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_waits_in_simulated_time_while_others_go_on() {
        let (work, began) = (work(), Instant::now());
        let inner = work.clone();
        let job = work.call_waiting(move || {
            inner.wait_for(sleep(Duration::from_secs(60)));
            inner.wait_for(async { began.elapsed() })
        });
        let other = async {
            sleep(Duration::from_secs(10)).await;
            began.elapsed()
        };
        let (job, other) = tokio::join!(job, other);
        assert_eq!((job.as_secs(), other.as_secs()), (60, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_goes_on_when_nobody_waits_for_it() {
        let (work, (tell, told)) = (work(), tokio::sync::oneshot::channel());
        let inner = work.clone();
        let job = work.call_waiting(move || {
            inner.wait_for(sleep(Duration::from_secs(60)));
            let _ = tell.send(());
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), job).await.is_err());
        told.await.expect("it has run to its end");
    }

    #[test]
    fn a_job_that_waits_for_ever_ends_with_the_simulation() {
        let (work, dropped) = (work(), Arc::new(()));
        let inside = dropped.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let inner = work.clone();
            let job = work.call_waiting(move || {
                let _inside = inside;
                inner.wait_for(std::future::pending::<()>());
            });
            assert!(tokio::time::timeout(Duration::from_secs(1), job).await.is_err());
        });
        drop(runtime);
        assert_eq!(Arc::strong_count(&dropped), 1);
    }
}
