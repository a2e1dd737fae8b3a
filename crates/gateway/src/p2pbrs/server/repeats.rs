//! Requests that were answered lately: a repetition gets the same answer, and has no second effect.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

/// How long a request is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The most requests that are remembered; the oldest make room.
const MOST: usize = 1 << 15;
/// The most bytes of answers that are remembered.
const ANSWER_BYTES: usize = 4 << 20;

/// A request: where it came from, and a hash of its text.
type Key = (SocketAddr, [u8; 16]);

/// Answered requests, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    answers: BTreeMap<Key, (Duration, Vec<String>)>,
    order: VecDeque<(Duration, Key)>,
    bytes: usize,
}

impl Repeats {
    /// What a request was answered, if it was answered lately.
    pub(super) fn answer(&mut self, now: Duration, from: SocketAddr, text: &[u8]) -> Option<&[String]> {
        let at = |(at, _): &(Duration, Key)| *at + REMEMBERED <= now;
        while self.order.front().is_some_and(at) {
            self.drop_oldest();
        }
        let (_, answer) = self.answers.get(&key(from, text))?;
        Some(answer)
    }

    /// Remembers how a request was answered.
    pub(super) fn remember(&mut self, now: Duration, from: SocketAddr, text: &[u8], answer: Vec<String>) {
        let key = key(from, text);
        self.bytes += size(&answer);
        self.order.push_back((now, key));
        if let Some((_, former)) = self.answers.insert(key, (now, answer)) {
            self.bytes -= size(&former);
        }
        while self.order.len() > MOST || self.bytes > ANSWER_BYTES {
            self.drop_oldest();
        }
    }

    /// Whoever sent from there has left: what it said means nothing any more.
    pub(super) fn forget(&mut self, from: SocketAddr) {
        let of_it = (from, [0; 16])..=(from, [0xff; 16]);
        let keys: Vec<Key> = self.answers.range(of_it).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn drop_oldest(&mut self) {
        let Some((at, key)) = self.order.pop_front() else {
            return;
        };
        // It may have been said again since.
        if self.answers.get(&key).is_some_and(|(since, _)| *since == at) {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((_, answer)) = self.answers.remove(key) {
            self.bytes -= size(&answer);
        }
    }
}

fn key(from: SocketAddr, text: &[u8]) -> Key {
    let hash = blake3::hash(text);
    let mut short = [0; 16];
    for (to, byte) in short.iter_mut().zip(hash.as_bytes()) {
        *to = *byte;
    }
    (from, short)
}

fn size(answer: &[String]) -> usize {
    answer.iter().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn a_repetition_is_known_for_a_minute_and_from_the_same_address_only() {
        let mut repeats = Repeats::default();
        let answer = vec!["REGISTERED 1".to_owned()];
        repeats.remember(Duration::ZERO, from(1), b"REGISTER 1", answer.clone());
        let soon = REMEMBERED - Duration::from_secs(1);
        assert_eq!(
            repeats.answer(soon, from(1), b"REGISTER 1"),
            Some(answer.as_slice())
        );
        assert_eq!(repeats.answer(soon, from(2), b"REGISTER 1"), None);
        assert_eq!(repeats.answer(REMEMBERED, from(1), b"REGISTER 1"), None);
        assert_eq!((repeats.answers.len(), repeats.bytes), (0, 0));
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let mut repeats = Repeats::default();
        repeats.remember(Duration::ZERO, from(1), b"a", vec![]);
        repeats.remember(Duration::ZERO, from(2), b"a", vec![]);
        repeats.forget(from(1));
        assert!(repeats.answer(Duration::ZERO, from(1), b"a").is_none());
        assert!(repeats.answer(Duration::ZERO, from(2), b"a").is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::default();
        for n in 0..100_000u32 {
            let answer = vec!["x".repeat(300)];
            repeats.remember(Duration::ZERO, from(1), &n.to_be_bytes(), answer);
        }
        assert!(repeats.answers.len() <= MOST && repeats.bytes <= ANSWER_BYTES);
    }
}
