//! Who is served next when more is asked for than can be sent: the upload slots of `skep-engine`
//! with a clock and with those who wait.
//!
//! Who gave this peer more is served more, newcomers get a floor, and without contention nobody
//! waits. With a rate, few are served at a time: the order is that of the slots, and not that in which
//! they came to the rate. Nothing is read or sent here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_engine::fairness::{Admission, Chunk, Config, Job, Slots};
use skep_wire::{CHUNK_BYTES, PeerId};
use skep_world::Clock;
use tokio::{sync::oneshot, time};

use crate::limit::RateLimit;

/// Answers that are sent at a time, at most and at least.
const SLOTS: (usize, usize) = (32, 2);
/// With a rate: as many as it sends in this time, if each is a whole chunk.
const AT_A_TIME_S: f64 = 0.25;
/// Answers to one peer that may wait: as many as it has requests on all its connections.
const WAITING_PER_PEER: usize = 160;
/// A slot is given back by who is not the bottleneck; this is for who forgets.
const HOLD: Duration = Duration::from_secs(60);

/// The slots of this peer.
pub(crate) struct Uplink {
    clock: Arc<dyn Clock>,
    rate: Arc<RateLimit>,
    /// Without a rate.
    most: usize,
    state: Mutex<State>,
}

struct State {
    slots: Slots,
    waiting: BTreeMap<Job, oneshot::Sender<()>>,
    last: u64,
}

/// The right to send one answer, until it is dropped.
pub(crate) struct Slot {
    uplink: Arc<Uplink>,
    job: Job,
}

impl Uplink {
    pub(crate) fn new(clock: Arc<dyn Clock>, rate: Arc<RateLimit>) -> Self {
        let config = Config {
            slots: SLOTS.0,
            max_waiting: WAITING_PER_PEER,
            hold: HOLD,
            ..Config::default()
        };
        Self::with(clock, rate, config)
    }

    fn with(clock: Arc<dyn Clock>, rate: Arc<RateLimit>, config: Config) -> Self {
        let most = config.slots;
        let state = State {
            slots: Slots::new(config),
            waiting: BTreeMap::new(),
            last: 0,
        };
        Self {
            clock,
            rate,
            most,
            state: Mutex::new(state),
        }
    }

    /// Waits for the turn of `peer`, which asks for `bytes` of `chunk`. None: too much of it waits already.
    pub(crate) async fn slot(self: &Arc<Self>, peer: PeerId, bytes: u64, chunk: Chunk) -> Option<Slot> {
        let (slot, mut granted) = self.ask(peer, bytes, chunk)?;
        self.advance();
        loop {
            let wakeup = self.next_wakeup();
            tokio::select! {
                biased;
                _ = &mut granted => return Some(slot),
                () = time::sleep(wakeup) => self.advance(),
            }
        }
    }

    /// `bytes` came from `peer` and were what they should be.
    pub(crate) fn received(&self, peer: PeerId, bytes: u64) {
        let now = self.clock.now().mono;
        self.state().slots.handle_received(now, peer, bytes);
    }

    fn ask(
        self: &Arc<Self>,
        peer: PeerId,
        bytes: u64,
        chunk: Chunk,
    ) -> Option<(Slot, oneshot::Receiver<()>)> {
        let now = self.clock.now().mono;
        let mut state = self.state();
        state.last += 1;
        let job = Job { peer, id: state.last };
        if state.slots.handle_ask(now, job, bytes, Some(chunk)) == Admission::TooMany {
            return None;
        }
        let (tell, granted) = oneshot::channel();
        state.waiting.insert(job, tell);
        let uplink = self.clone();
        Some((Slot { uplink, job }, granted))
    }

    /// Grants what can be granted now.
    fn advance(&self) {
        let mut granted = Vec::new();
        let mut state = self.state();
        let slots = self.rate.rate().map_or(self.most, slots_at);
        state.slots.set_slots(slots);
        state.slots.poll(self.clock.now().mono, &mut granted);
        for job in granted {
            if let Some(tell) = state.waiting.remove(&job) {
                let _ = tell.send(());
            }
        }
    }

    fn next_wakeup(&self) -> Duration {
        let now = self.clock.now().mono;
        let at = self.state().slots.next_wakeup(now);
        at.map_or(HOLD, |at| at.saturating_sub(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many answers to send at a time at a rate.
fn slots_at(bytes_per_s: u64) -> usize {
    let chunks = bytes_per_s as f64 * AT_A_TIME_S / CHUNK_BYTES as f64;
    let (most, least) = SLOTS;
    (least..most)
        .find(|&slots| slots as f64 >= chunks)
        .unwrap_or(most)
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.uplink.state();
        state.slots.handle_done(self.job);
        state.waiting.remove(&self.job);
        drop(state);
        self.uplink.advance();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn uplink(slots: usize) -> Arc<Uplink> {
        let config = Config {
            slots,
            hold: HOLD,
            max_waiting: 4,
            ..Config::default()
        };
        let clock = Arc::new(skep_world::simulated::Clock::showing(0));
        let rate = Arc::new(RateLimit::new(clock.clone(), None));
        Arc::new(Uplink::with(clock, rate, config))
    }

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    /// Everybody asks for something else.
    fn chunk_of(number: u8) -> Chunk {
        (skep_wire::BlobId([1; 32]), u64::from(number))
    }

    #[test]
    fn a_rate_is_sent_in_a_few_answers_at_a_time() {
        assert_eq!([1, 20 * MIB, 1 << 40].map(slots_at), [2, 5, 32]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_contention_nobody_waits() {
        let uplink = uplink(2);
        let start = time::Instant::now();
        let _one = uplink.slot(peer(1), MIB, chunk_of(1)).await.unwrap();
        let _two = uplink.slot(peer(2), MIB, chunk_of(2)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_more_is_served_more_and_the_other_is_served_too() {
        let uplink = uplink(1);
        uplink.received(peer(1), 400 * MIB);
        uplink.received(peer(2), 100 * MIB);
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut asking = JoinSet::new();
        for number in [1, 1, 1, 2, 2, 2, 3, 3, 3] {
            let (uplink, served) = (uplink.clone(), served.clone());
            asking.spawn(async move {
                for _ in 0..100 {
                    let slot = uplink.slot(peer(number), MIB, chunk_of(number)).await.unwrap();
                    // So long does it take to send.
                    time::sleep(Duration::from_millis(10)).await;
                    served.lock().unwrap().push(number);
                    drop(slot);
                }
            });
        }
        time::sleep(Duration::from_secs(3)).await;
        asking.shutdown().await;
        let served = served.lock().unwrap();
        let times = |number: u8| served.iter().filter(|&&n| n == number).count();
        let (most, some, floor) = (times(1), times(2), times(3));
        assert!(
            most > 2 * some && some > floor && floor > 10,
            "{most} {some} {floor}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_no_trace() {
        let uplink = uplink(1);
        let held = uplink.slot(peer(1), MIB, chunk_of(1)).await.unwrap();
        let mut asking = JoinSet::new();
        for _ in 0..4 {
            let uplink = uplink.clone();
            asking.spawn(async move { uplink.slot(peer(2), MIB, chunk_of(2)).await.is_some() });
        }
        time::sleep(Duration::from_millis(1)).await;
        assert!(
            uplink.slot(peer(2), MIB, chunk_of(2)).await.is_none(),
            "four wait"
        );
        asking.shutdown().await;
        assert_eq!(uplink.state().waiting.len(), 0);
        drop(held);
        assert!(uplink.slot(peer(2), MIB, chunk_of(2)).await.is_some());
    }
}
