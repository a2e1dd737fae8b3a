//! A restoration under way: which chunk is asked of which peer next. Pure.
//!
//! A chunk is asked of the peers that list it, or of `list[i mod n]`, then of the others. One that
//! has it not is not asked again; a damaged answer is asked for three times.

use std::{collections::VecDeque, net::SocketAddr, ops::Range};

use super::super::codec::{Listed, PeerList};

/// The most attempts to get a chunk whole from one peer.
const ATTEMPTS: u32 = 3;

/// A chunk to be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quest {
    /// Which chunk.
    pub chunk: u64,
    /// Of whom.
    pub address: SocketAddr,
    place: usize,
    /// How many places were asked before.
    turn: usize,
    attempt: u32,
}

/// How a quest went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The chunk is here.
    Got,
    /// It was damaged, or broke off.
    Damaged,
    /// The peer has it not.
    Missing,
    /// The peer does not answer.
    Unreachable,
}

/// A restoration under way.
#[derive(Debug)]
pub struct Fetching {
    places: Vec<(SocketAddr, Vec<u64>)>,
    dead: Vec<bool>,
    /// Those that nobody was asked for.
    rest: Range<u64>,
    /// Those that were asked for in vain.
    queue: VecDeque<Quest>,
    underway: usize,
    failed: Option<u64>,
}

impl Fetching {
    /// Chunks `0..chunks` from the peers of a plan. None if it has no addresses.
    #[must_use]
    pub fn new(list: &PeerList, chunks: u64) -> Option<Self> {
        let place = |peer: &Listed| Some((peer.address?, peer.chunks.clone().unwrap_or_default()));
        let places: Vec<_> = list.peers.iter().map(place).collect::<Option<_>>()?;
        Some(Self {
            dead: vec![false; places.len()],
            places,
            rest: 0..chunks,
            queue: VecDeque::new(),
            underway: 0,
            failed: None,
        })
    }

    /// Queues a chunk for the next place in its order that answers.
    fn ask(&mut self, chunk: u64, turn: usize) {
        let order = self.order(chunk);
        let alive = order
            .iter()
            .enumerate()
            .skip(turn)
            .find(|(_, place)| self.dead.get(**place) == Some(&false));
        let found = alive.and_then(|(turn, place)| Some((turn, *place, self.places.get(*place)?.0)));
        match found {
            Some((turn, place, address)) => {
                self.queue.push_back(Quest {
                    chunk,
                    address,
                    place,
                    turn,
                    attempt: 1,
                });
            }
            None => self.failed = self.failed.or(Some(chunk)),
        }
    }

    /// The places in the order in which they are asked for a chunk.
    fn order(&self, chunk: u64) -> Vec<usize> {
        let n = self.places.len();
        let first = usize::try_from(chunk % (n as u64).max(1)).unwrap_or(0);
        let mut order: Vec<usize> = (0..n).map(|k| (first + k) % n).collect();
        let lists = |place: &usize| {
            self.places
                .get(*place)
                .is_some_and(|(_, chunks)| chunks.contains(&chunk))
        };
        order.sort_by_key(|place| !lists(place));
        order
    }

    /// The next chunk to ask for.
    pub fn next_quest(&mut self) -> Option<Quest> {
        if self.queue.is_empty() {
            let chunk = self.rest.next()?;
            self.ask(chunk, 0);
        }
        let quest = self.queue.pop_front()?;
        self.underway += 1;
        Some(quest)
    }

    /// A quest has come to its end.
    pub fn ended(&mut self, quest: Quest, answer: Answer) {
        self.underway -= 1;
        match answer {
            Answer::Got => {}
            Answer::Damaged if quest.attempt < ATTEMPTS => {
                self.queue.push_back(Quest {
                    attempt: quest.attempt + 1,
                    ..quest
                });
            }
            Answer::Damaged | Answer::Missing => self.ask(quest.chunk, quest.turn + 1),
            Answer::Unreachable => {
                if let Some(dead) = self.dead.get_mut(quest.place) {
                    *dead = true;
                }
                self.ask(quest.chunk, quest.turn + 1);
            }
        }
    }

    /// The first chunk that nobody gives; then there is no use in going on.
    #[must_use]
    pub fn failed(&self) -> Option<u64> {
        self.failed
    }

    /// Whether nothing is queued or under way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.underway == 0 && self.queue.is_empty() && self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(
        list: &str,
        chunks: u64,
        answers: impl Fn(u64, u16, u32) -> Answer,
    ) -> (Vec<(u64, u16)>, Option<u64>) {
        let mut fetching = Fetching::new(&list.parse().unwrap(), chunks).unwrap();
        let mut asked = Vec::new();
        while let Some(quest) = fetching.next_quest() {
            asked.push((quest.chunk, quest.address.port()));
            fetching.ended(quest, answers(quest.chunk, quest.address.port(), quest.attempt));
        }
        assert!(fetching.is_over() || fetching.failed().is_some());
        (asked, fetching.failed())
    }

    #[test]
    fn chunks_are_asked_of_the_peers_in_turn_and_then_of_the_others() {
        let list = "[B:10.0.0.1:1,C:10.0.0.1:2]";
        assert_eq!(
            play(list, 3, |_, _, _| Answer::Got),
            (vec![(0, 1), (1, 2), (2, 1)], None)
        );
        let missing = |_, port, _| if port == 1 { Answer::Missing } else { Answer::Got };
        assert_eq!(play(list, 1, missing), (vec![(0, 1), (0, 2)], None));
        assert_eq!(play(list, 1, |_, _, _| Answer::Missing).1, Some(0));
    }

    #[test]
    fn those_that_list_a_chunk_are_asked_first() {
        let list = "[B@10.0.0.1:1:1;C@10.0.0.1:2:0]";
        assert_eq!(play(list, 2, |_, _, _| Answer::Got), (vec![(0, 2), (1, 1)], None));
    }

    #[test]
    fn damage_is_asked_for_three_times_and_the_dead_not_again() {
        let list = "[B:10.0.0.1:1,C:10.0.0.1:2]";
        let damaged = |_, port, _| if port == 1 { Answer::Damaged } else { Answer::Got };
        assert_eq!(play(list, 1, damaged).0, [(0, 1), (0, 1), (0, 1), (0, 2)]);
        let healed = |_, _, attempt| if attempt < 3 { Answer::Damaged } else { Answer::Got };
        assert_eq!(play(list, 1, healed).0, [(0, 1), (0, 1), (0, 1)]);
        let dead = |_, port, _| {
            if port == 1 {
                Answer::Unreachable
            } else {
                Answer::Got
            }
        };
        let (asked, failed) = play(list, 6, dead);
        assert_eq!(
            (asked.iter().filter(|(_, port)| *port == 1).count(), failed),
            (1, None)
        );
        assert_eq!(play("[]", 1, dead), (vec![], Some(0)));
    }
}
