//! Work that one hands out and others do: on threads, or in one order where there must be one.

use std::{
    io,
    sync::{
        Mutex,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use super::lock;

/// Room for the folders inside each other that who hands out is in.
const STACK_BYTES: usize = 16 << 20;

/// How many do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crew {
    /// Threads; 0: who hands out does it all, at once.
    pub(crate) threads: usize,
    /// Jobs that wait for them.
    pub(crate) queued: usize,
}

impl Crew {
    /// Runs `hand_out` on a thread of its own, and does what it hands out. Every thread has what `hand` gives it.
    ///
    /// # Errors
    /// When there is no thread to be had for `hand_out`.
    pub(super) fn work<J: Send, H: FnMut(J)>(
        self,
        hand_out: impl FnOnce(&mut dyn FnMut(J)) + Send,
        hand: impl Fn() -> H + Sync,
    ) -> io::Result<()> {
        if self.threads == 0 {
            hand_out(&mut hand());
            return Ok(());
        }
        let (jobs, queue) = sync_channel(self.queued);
        let queue = Mutex::new(queue);
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| do_all(&queue, hand()));
            }
            // If there is no thread to be had, the queue is closed and the others go.
            let first = thread::Builder::new().stack_size(STACK_BYTES);
            let give = move || {
                hand_out(&mut |job| {
                    // Nobody is there to take it only when all has failed already.
                    let _ = jobs.send(job);
                });
            };
            first.spawn_scoped(scope, give).map(drop)
        })
    }
}

fn do_all<J>(queue: &Mutex<Receiver<J>>, mut hand: impl FnMut(J)) {
    loop {
        let job = lock(queue).recv();
        let Ok(job) = job else { return };
        hand(job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn everything_is_done_with_and_without_threads() {
        for threads in [0, 1, 5] {
            let done = AtomicUsize::new(0);
            let crew = Crew { threads, queued: 2 };
            let hand = || {
                |job: usize| {
                    done.fetch_add(job, Ordering::Relaxed);
                }
            };
            crew.work(|give| (0..100).for_each(give), hand).unwrap();
            assert_eq!(done.into_inner(), 4950);
        }
    }
}
