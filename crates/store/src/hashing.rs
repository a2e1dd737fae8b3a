//! How the hashing of many bytes is done: by how many threads, who is told, when it stops.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// For one long piece of work; the caller's thread is one of the workers.
#[derive(Clone, Copy)]
pub struct Hashing<'a> {
    /// Threads to hash with. One: all is done by the caller's thread, in an order that is always the same.
    pub workers: usize,
    /// Told the number of bytes that were read since it was last told.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Set by somebody else: stop soon, with an error that says so.
    pub stop: &'a AtomicBool,
}

/// The work was stopped before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

impl Hashing<'_> {
    /// An error once the work is to stop.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        Ok(())
    }

    /// Does `job` for each item, and returns what came of it, in order. A job is lent a buffer that its
    /// worker uses again. After an error no new job starts.
    pub(crate) fn each<I, T, E>(
        &self,
        items: I,
        job: impl Fn(I::Item, &mut Vec<u8>) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E>
    where
        I: Iterator + Send,
        T: Send,
        E: From<Stopped> + Send,
    {
        let queue = Mutex::new(items.enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let failed = AtomicBool::new(false);
        let work = || {
            let (mut buffer, mut done) = (Vec::new(), Vec::new());
            while !failed.load(Ordering::Relaxed) {
                self.check()?;
                let Some((at, item)) = next() else { break };
                let result = job(item, &mut buffer).inspect_err(|_| failed.store(true, Ordering::Relaxed));
                done.push((at, result?));
            }
            Ok(done)
        };
        in_order(run(self.workers, &work))
    }
}

/// Runs `work` on `workers` threads at once, this one included.
fn run<R: Send>(workers: usize, work: &(impl Fn() -> R + Sync)) -> Vec<R> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut results = vec![work()];
        results.extend(
            others
                .into_iter()
                .map(|other| other.join().expect("no job panics")),
        );
        results
    })
}

fn in_order<T, E>(parts: Vec<Result<Vec<(usize, T)>, E>>) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    for part in parts {
        all.append(&mut part?);
    }
    all.sort_unstable_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Failed {
        At(usize),
        Stopped,
    }

    impl From<Stopped> for Failed {
        fn from(_: Stopped) -> Self {
            Self::Stopped
        }
    }

    fn each(workers: usize, stop: bool, bad: usize) -> Result<Vec<usize>, Failed> {
        let stop = AtomicBool::new(stop);
        let hashing = Hashing {
            workers,
            progress: &|_| {},
            stop: &stop,
        };
        hashing.each(0..100, |at, _| {
            if at == bad {
                Err(Failed::At(at))
            } else {
                Ok(at * 2)
            }
        })
    }

    #[test]
    fn results_are_in_order_however_many_workers() {
        for workers in [0, 1, 2, 7] {
            assert_eq!(
                each(workers, false, 1000).unwrap(),
                (0..100).map(|n| n * 2).collect::<Vec<_>>()
            );
            assert_eq!(each(workers, false, 50).unwrap_err(), Failed::At(50));
            assert_eq!(each(workers, true, 1000).unwrap_err(), Failed::Stopped);
        }
    }
}
