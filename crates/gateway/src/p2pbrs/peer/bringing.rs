//! An owner's backup under way: which chunk goes to which peer, and what becomes of those that fail.
//! Pure: it sees chunk numbers and outcomes, never bytes.
//!
//! Each chunk is queued for a place of the plan, on its way, done, or lost. Three failed attempts at
//! one place and it is queued for the place after it; three more there and it is lost.

use std::{collections::VecDeque, net::SocketAddr};

use super::super::codec::{Listed, Name, PeerList};

/// The most attempts to bring a chunk to one peer.
pub const ATTEMPTS: u32 = 3;

/// A peer of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: Name,
    /// Where it takes chunks.
    pub address: SocketAddr,
}

/// A chunk that is to be brought to a place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand {
    /// Which chunk.
    pub chunk: u64,
    /// The number of the place in the list.
    pub place: usize,
    attempt: u32,
    is_fallback: bool,
}

/// How an errand went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The chunk is stored.
    Stored,
    /// It is not; another attempt may help.
    Failed,
    /// Nobody answers there: nothing that is queued for the place will get there.
    Unreachable,
    /// Another peer has the place by now.
    Moved,
}

/// A backup under way.
#[derive(Debug)]
pub struct Bringing {
    places: Vec<Place>,
    queues: Vec<VecDeque<Errand>>,
    /// Failed attempts in a row to reach a place.
    unreachable: Vec<u32>,
    underway: usize,
    done: Vec<bool>,
    lost: Vec<u64>,
}

impl Bringing {
    /// Chunk `i` of `chunks` to the place `i mod n`, or to those that list it. None if the list has
    /// no addresses, or nobody for chunks that there are.
    #[must_use]
    pub fn new(list: &PeerList, chunks: u64) -> Option<Self> {
        let places = places(list)?;
        if places.is_empty() && chunks > 0 {
            return None;
        }
        let count = usize::try_from(chunks).ok()?;
        let mut bringing = Self {
            queues: vec![VecDeque::new(); places.len()],
            unreachable: vec![0; places.len()],
            places,
            underway: 0,
            done: vec![false; count],
            lost: Vec::new(),
        };
        for chunk in 0..chunks {
            for place in homes(list, chunk) {
                bringing.queue(chunk, place, false);
            }
        }
        Some(bringing)
    }

    /// The server has changed the plan: places that changed get their chunks anew.
    pub fn replan(&mut self, list: &PeerList) {
        let Some(places) = places(list).filter(|places| places.len() == self.places.len()) else {
            return;
        };
        let changed: Vec<usize> = (0..places.len())
            .filter(|n| places.get(*n) != self.places.get(*n))
            .collect();
        self.places = places;
        let chunks = self.done.len() as u64;
        for place in changed {
            if let Some(failures) = self.unreachable.get_mut(place) {
                *failures = 0;
            }
            for chunk in (0..chunks).filter(|chunk| homes(list, *chunk).contains(&place)) {
                self.lost.retain(|lost| *lost != chunk);
                self.queue(chunk, place, false);
            }
        }
    }

    fn queue(&mut self, chunk: u64, place: usize, is_fallback: bool) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.push_back(Errand {
                chunk,
                place,
                attempt: 1,
                is_fallback,
            });
        }
    }

    /// The peer at a place.
    #[must_use]
    pub fn place(&self, place: usize) -> Option<&Place> {
        self.places.get(place)
    }

    /// How many places there are.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The next chunk for a place.
    pub fn next(&mut self, place: usize) -> Option<Errand> {
        let errand = self.queues.get_mut(place)?.pop_front()?;
        self.underway += 1;
        Some(errand)
    }

    /// An errand has come to its end.
    pub fn ended(&mut self, errand: Errand, outcome: Outcome) {
        self.underway -= 1;
        match outcome {
            Outcome::Stored => self.stored(errand),
            Outcome::Failed if errand.attempt < ATTEMPTS => self.again(errand),
            Outcome::Failed => self.give_up(errand),
            Outcome::Unreachable => self.not_reached(errand),
            // Those that belong to the place were queued when it changed.
            Outcome::Moved if errand.is_fallback => self.queue(errand.chunk, errand.place, true),
            Outcome::Moved => {}
        }
    }

    fn stored(&mut self, errand: Errand) {
        let index = usize::try_from(errand.chunk).unwrap_or(usize::MAX);
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
        if let Some(failures) = self.unreachable.get_mut(errand.place) {
            *failures = 0;
        }
    }

    fn again(&mut self, errand: Errand) {
        if let Some(queue) = self.queues.get_mut(errand.place) {
            queue.push_front(Errand {
                attempt: errand.attempt + 1,
                ..errand
            });
        }
    }

    /// A place that is not reached three times in a row is given up with all that waits for it.
    fn not_reached(&mut self, errand: Errand) {
        let failures = self
            .unreachable
            .get_mut(errand.place)
            .map_or(ATTEMPTS, |failures| {
                *failures += 1;
                *failures
            });
        if failures < ATTEMPTS {
            return self.again(Errand {
                attempt: errand.attempt - 1,
                ..errand
            });
        }
        let queue = self
            .queues
            .get_mut(errand.place)
            .map(std::mem::take)
            .unwrap_or_default();
        for errand in std::iter::once(errand).chain(queue) {
            self.give_up(errand);
        }
    }

    fn give_up(&mut self, errand: Errand) {
        if errand.is_fallback || self.places.len() < 2 {
            return self.lost.push(errand.chunk);
        }
        self.queue(errand.chunk, (errand.place + 1) % self.places.len(), true);
    }

    /// Whether nothing is queued or on its way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.underway == 0 && self.queues.iter().all(VecDeque::is_empty)
    }

    /// Whether every chunk is stored somewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done.iter().all(|done| *done)
    }

    /// The chunks that are stored nowhere, once it is over.
    #[must_use]
    pub fn lost(&self) -> Vec<u64> {
        (0..)
            .zip(&self.done)
            .filter(|(_, done)| !**done)
            .map(|(chunk, _)| chunk)
            .collect()
    }
}

/// The places where a chunk goes first.
fn homes(list: &PeerList, chunk: u64) -> Vec<usize> {
    let lists = |peer: &Listed| peer.chunks.as_ref().is_some_and(|chunks| chunks.contains(&chunk));
    let listed: Vec<usize> = (0..)
        .zip(&list.peers)
        .filter(|(_, peer)| lists(peer))
        .map(|(n, _)| n)
        .collect();
    if listed.is_empty() && !list.peers.is_empty() {
        let turn = chunk % list.peers.len() as u64;
        return vec![usize::try_from(turn).unwrap_or(0)];
    }
    listed
}

fn places(list: &PeerList) -> Option<Vec<Place>> {
    let place = |peer: &Listed| {
        let name = peer.name.clone();
        Some(Place {
            name,
            address: peer.address?,
        })
    };
    list.peers.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bringing(list: &str, chunks: u64) -> Bringing {
        Bringing::new(&list.parse().unwrap(), chunks).unwrap()
    }

    /// Plays it to its end; returns (chunk, name) in the order of the attempts.
    fn play(bringing: &mut Bringing, goes: impl Fn(u64, &str) -> Outcome) -> Vec<(u64, String)> {
        let mut attempts = Vec::new();
        while !bringing.is_over() {
            for place in 0..bringing.places() {
                if let Some(errand) = bringing.next(place) {
                    let name = bringing.place(place).unwrap().name.as_str().to_owned();
                    bringing.ended(errand, goes(errand.chunk, &name));
                    attempts.push((errand.chunk, name));
                }
            }
        }
        attempts
    }

    fn attempts(all: &[(u64, &str)]) -> Vec<(u64, String)> {
        all.iter()
            .map(|(chunk, name)| (*chunk, (*name).to_owned()))
            .collect()
    }

    #[test]
    fn chunks_go_to_the_peers_in_turn_or_to_those_that_list_them() {
        let mut in_turn = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 3);
        let gone = play(&mut in_turn, |_, _| Outcome::Stored);
        assert_eq!(gone, attempts(&[(0, "B"), (1, "C"), (2, "B")]));
        let mut listed = bringing("[B@10.0.0.2:1:0,1;C@10.0.0.3:1:1]", 2);
        let gone = play(&mut listed, |_, _| Outcome::Stored);
        assert_eq!(gone, attempts(&[(0, "B"), (1, "C"), (1, "B")]));
        assert!(in_turn.is_complete() && listed.is_complete());
    }

    #[test]
    fn three_attempts_then_the_fallback_then_lost() {
        let mut one = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 1);
        let gone = play(&mut one, |_, name| {
            if name == "B" {
                Outcome::Failed
            } else {
                Outcome::Stored
            }
        });
        assert_eq!(gone, attempts(&[(0, "B"), (0, "B"), (0, "B"), (0, "C")]));
        assert!(one.is_complete());
        let mut two = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 2);
        let gone = play(&mut two, |chunk, _| {
            if chunk == 0 {
                Outcome::Failed
            } else {
                Outcome::Stored
            }
        });
        assert_eq!(gone.iter().filter(|(chunk, _)| *chunk == 0).count(), 6);
        assert!(!two.is_complete());
        assert_eq!(two.lost(), [0]);
    }

    #[test]
    fn who_cannot_be_reached_is_given_up_with_all_its_chunks() {
        let mut many = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 100);
        let gone = play(&mut many, |_, name| {
            if name == "B" {
                Outcome::Unreachable
            } else {
                Outcome::Stored
            }
        });
        assert_eq!(gone.iter().filter(|(_, name)| name == "B").count(), 3);
        assert!(many.is_complete());
        let mut alone = bringing("[B:10.0.0.2:1]", 2);
        play(&mut alone, |_, _| Outcome::Unreachable);
        assert_eq!(alone.lost(), [0, 1]);
    }

    #[test]
    fn a_changed_plan_brings_what_belongs_to_the_changed_places() {
        let mut two = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 4);
        play(&mut two, |_, _| Outcome::Stored);
        two.replan(&"[B:10.0.0.2:1,D:10.0.0.4:1]".parse().unwrap());
        let gone = play(&mut two, |_, _| Outcome::Stored);
        assert_eq!(gone, attempts(&[(1, "D"), (3, "D")]));
    }

    #[test]
    fn what_is_on_its_way_when_its_place_changes_is_brought_to_the_new_one() {
        let mut two = bringing("[B:10.0.0.2:1,C:10.0.0.3:1]", 3);
        let own = two.next(0).unwrap();
        for _ in 0..ATTEMPTS {
            let other = two.next(1).unwrap();
            two.ended(other, Outcome::Failed);
        }
        let second = two.next(0).unwrap();
        let fallback = two.next(0).unwrap();
        two.replan(&"[D:10.0.0.4:1,C:10.0.0.3:1]".parse().unwrap());
        for errand in [own, second, fallback] {
            two.ended(errand, Outcome::Moved);
        }
        let gone = play(&mut two, |_, _| Outcome::Stored);
        assert_eq!(gone, attempts(&[(0, "D"), (2, "D"), (1, "D")]));
        assert!(two.is_complete());
    }

    #[test]
    fn an_empty_file_has_nothing_to_bring() {
        let empty = bringing("[]", 0);
        assert!(empty.is_over() && empty.is_complete());
        assert!(Bringing::new(&"[]".parse().unwrap(), 1).is_none());
        assert!(Bringing::new(&"[B, C]".parse().unwrap(), 1).is_none());
    }
}
