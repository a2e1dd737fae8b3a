//! Connections that have not shown yet what they are worth: only so many at once.
//!
//! When there is no room, the oldest of them has to go, so that those who say nothing, or one byte
//! at a time, never keep others out. A guest that has done what is expected may settle and then
//! stays. What is read from a connection, and for how long, is its reader's business.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// A pause when there are no more descriptors: others are about to be closed.
pub(crate) const BREATH: Duration = Duration::from_millis(20);

/// Those who came in, by the order in which they did.
#[derive(Debug, Clone)]
pub struct Guests {
    most: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

/// One of them. It has left when this is dropped.
#[derive(Debug)]
pub struct Guest {
    number: u64,
    inside: Arc<Mutex<Inside>>,
    gone: CancellationToken,
}

impl Guests {
    /// At most so many at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            inside: Arc::default(),
        }
    }

    /// Lets one in; the oldest goes if there are too many.
    #[must_use]
    pub fn enter(&self) -> Guest {
        let mut inside = locked(&self.inside);
        if inside.waiting.len() >= self.most
            && let Some((_, oldest)) = inside.waiting.pop_first()
        {
            oldest.cancel();
        }
        let (number, gone) = (inside.next, CancellationToken::new());
        inside.next += 1;
        inside.waiting.insert(number, gone.clone());
        let inside = self.inside.clone();
        Guest { number, inside, gone }
    }
}

impl Guest {
    /// It has done what is expected: it need not go for others.
    pub fn settle(&self) {
        locked(&self.inside).waiting.remove(&self.number);
    }

    /// Does `work`, unless the guest has to go before it is done.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => None,
            done = work => Some(done),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Takes connections from now on; each is served by a task of its own.
pub(crate) fn receive<F>(
    listener: TcpListener,
    tasks: &Tasks,
    serve: impl Fn(TcpStream, SocketAddr) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let served = tasks.clone();
    tasks.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => served.spawn(serve(stream, from)),
                // Either it was that connection's fault, or a descriptor is free again soon.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    });
}

fn locked(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_goes_unless_it_has_settled() {
        let guests = Guests::new(2);
        let (settled, oldest, newer) = {
            let settled = guests.enter();
            settled.settle();
            (settled, guests.enter(), guests.enter())
        };
        let newest = guests.enter();
        assert_eq!(oldest.during(std::future::pending::<()>()).await, None);
        for guest in [&settled, &newer, &newest] {
            assert_eq!(guest.during(async { 1 }).await, Some(1));
        }
        drop(newest);
        let _next = guests.enter();
        assert_eq!(newer.during(async { 1 }).await, Some(1), "there was room again");
    }
}
