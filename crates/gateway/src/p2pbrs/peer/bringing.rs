//! An owner's backup under way: which chunk goes to which peer, and what becomes of those that fail.
//! Pure: it sees chunk numbers and outcomes, never bytes.
//!
//! Each chunk is queued for a place of the plan, on its way, done, or lost. Three failed attempts at
//! one place and it is queued for the place after it; three more there and it is lost.
//!
//! Chunks that nobody has tried yet are not counted out: a file may have a million of them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

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
    homes: Homes,
    queues: Vec<Queue>,
    /// Failed attempts in a row to reach a place.
    unreachable: Vec<u32>,
    underway: usize,
    done: Done,
}

/// What is still to be brought to a place, in this order.
#[derive(Debug, Clone, Default)]
struct Queue {
    /// What was tried already.
    again: VecDeque<Errand>,
    /// Chunks that nobody has tried: those of the place, and of one that was given up.
    runs: Vec<Run>,
    /// Chunks that failed at the place before this one.
    fallbacks: VecDeque<u64>,
}

/// All chunks that belong to a place, from one of them on.
#[derive(Debug, Clone, Copy)]
struct Run {
    of: usize,
    next: u64,
    is_fallback: bool,
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
        let mut bringing = Self {
            homes: Homes::new(list, chunks),
            queues: vec![Queue::default(); places.len()],
            unreachable: vec![0; places.len()],
            places,
            underway: 0,
            done: Done::new(chunks)?,
        };
        (0..bringing.places.len()).for_each(|place| bringing.begin(place));
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
        self.homes = Homes::new(list, self.homes.chunks);
        for place in changed {
            if let Some(failures) = self.unreachable.get_mut(place) {
                *failures = 0;
            }
            self.begin(place);
        }
    }

    /// Queues all chunks of a place for it.
    fn begin(&mut self, place: usize) {
        self.queue_run(place, place, 0, false);
    }

    /// Queues the chunks that belong to `of`, from `next` on, for a place; once, not twice.
    fn queue_run(&mut self, place: usize, of: usize, next: u64, is_fallback: bool) {
        let Some(queue) = self.queues.get_mut(place) else {
            return;
        };
        queue
            .runs
            .retain(|run| (run.of, run.is_fallback) != (of, is_fallback));
        if let Some(next) = self.homes.next(of, next) {
            queue.runs.push(Run {
                of,
                next,
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
        let queue = self.queues.get_mut(place)?;
        let first = |chunk, is_fallback| Errand {
            chunk,
            place,
            attempt: 1,
            is_fallback,
        };
        let errand = match (queue.again.pop_front(), queue.runs.first_mut()) {
            (Some(errand), _) => errand,
            (None, Some(run)) => {
                let errand = first(run.next, run.is_fallback);
                match self.homes.next(run.of, run.next + 1) {
                    Some(next) => run.next = next,
                    None => drop(queue.runs.remove(0)),
                }
                errand
            }
            (None, None) => first(queue.fallbacks.pop_front()?, true),
        };
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
            Outcome::Moved if errand.is_fallback => self.fall_back(errand.chunk, errand.place),
            Outcome::Moved => {}
        }
    }

    fn stored(&mut self, errand: Errand) {
        self.done.set(errand.chunk);
        if let Some(failures) = self.unreachable.get_mut(errand.place) {
            *failures = 0;
        }
    }

    fn again(&mut self, errand: Errand) {
        if let Some(queue) = self.queues.get_mut(errand.place) {
            queue.again.push_front(Errand {
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
        let queue = self.queues.get_mut(errand.place).map(std::mem::take);
        let Queue { again, runs, .. } = queue.unwrap_or_default();
        for errand in std::iter::once(errand).chain(again) {
            self.give_up(errand);
        }
        let next_place = self.after(errand.place);
        for run in runs.into_iter().filter(|run| !run.is_fallback) {
            if let Some(place) = next_place {
                self.queue_run(place, run.of, run.next, true);
            }
        }
    }

    /// The place after this one; none if there is no other.
    fn after(&self, place: usize) -> Option<usize> {
        (self.places.len() > 1).then(|| (place + 1) % self.places.len())
    }

    /// A chunk that fails as a fallback, too, is lost: it will never be done.
    fn give_up(&mut self, errand: Errand) {
        if let Some(place) = self.after(errand.place).filter(|_| !errand.is_fallback) {
            self.fall_back(errand.chunk, place);
        }
    }

    fn fall_back(&mut self, chunk: u64, place: usize) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.fallbacks.push_back(chunk);
        }
    }

    /// Whether nothing is queued or on its way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_empty =
            |queue: &Queue| queue.again.is_empty() && queue.runs.is_empty() && queue.fallbacks.is_empty();
        self.underway == 0 && self.queues.iter().all(is_empty)
    }

    /// Whether every chunk is stored somewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done.missing == 0
    }

    /// How many chunks are stored nowhere: once it is over, those are lost.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.done.missing
    }
}

/// Where chunks belong.
#[derive(Debug)]
struct Homes {
    places: u64,
    chunks: u64,
    /// The places of those that a list counts out.
    listed: BTreeMap<u64, Vec<usize>>,
}

impl Homes {
    fn new(list: &PeerList, chunks: u64) -> Self {
        let mut listed = BTreeMap::<u64, Vec<usize>>::new();
        for (place, peer) in list.peers.iter().enumerate() {
            for chunk in peer.chunks.iter().flatten() {
                listed.entry(*chunk).or_default().push(place);
            }
        }
        let places = list.peers.len() as u64;
        Self {
            places,
            chunks,
            listed,
        }
    }

    /// The first chunk that belongs to a place, from `from` on.
    fn next(&self, place: usize, from: u64) -> Option<u64> {
        let listed = self
            .listed
            .range(from..)
            .find(|(_, places)| places.contains(&place));
        let listed = listed.map(|(chunk, _)| *chunk);
        let step = usize::try_from(self.places).ok().filter(|step| *step > 0)?;
        let first = from + (place as u64 + self.places - from % self.places) % self.places;
        let in_turn = (first..self.chunks)
            .step_by(step)
            .find(|chunk| !self.listed.contains_key(chunk));
        listed
            .into_iter()
            .chain(in_turn)
            .min()
            .filter(|chunk| *chunk < self.chunks)
    }
}

/// Which chunks are stored somewhere, a bit for each.
#[derive(Debug)]
struct Done {
    bits: Vec<u64>,
    missing: u64,
}

impl Done {
    fn new(chunks: u64) -> Option<Self> {
        let words = usize::try_from(chunks.div_ceil(64)).ok()?;
        Some(Self {
            bits: vec![0; words],
            missing: chunks,
        })
    }

    fn set(&mut self, chunk: u64) {
        let word = usize::try_from(chunk / 64)
            .ok()
            .and_then(|n| self.bits.get_mut(n));
        let mask = 1 << (chunk % 64);
        if let Some(word) = word.filter(|word| **word & mask == 0) {
            *word |= mask;
            self.missing -= 1;
        }
    }
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
        assert_eq!(two.missing(), 1);
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
        assert_eq!(alone.missing(), 2);
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

    /// However many chunks there are: what is kept is a bit for each, and what was tried.
    #[test]
    fn a_million_chunks_are_brought_in_turn_without_being_counted_out() {
        let chunks = 1 << 20;
        let mut many = bringing("[B:10.0.0.2:1,C:10.0.0.3:1,D:10.0.0.4:1]", chunks);
        let gone = play(&mut many, |_, _| Outcome::Stored);
        assert!(many.is_complete());
        assert_eq!(gone.len() as u64, chunks);
        let kept = |queue: &Queue| queue.again.capacity() + queue.fallbacks.capacity();
        assert_eq!(many.queues.iter().map(kept).sum::<usize>(), 0);
    }

    #[test]
    fn chunks_beyond_the_file_are_not_brought_though_a_list_has_them() {
        let mut two = bringing("[B@10.0.0.2:1:0,7,18446744073709551615;C@10.0.0.3:1:1]", 3);
        let gone = play(&mut two, |_, _| Outcome::Stored);
        assert_eq!(gone, attempts(&[(0, "B"), (1, "C"), (2, "B")]));
    }

    #[test]
    fn an_empty_file_has_nothing_to_bring() {
        let empty = bringing("[]", 0);
        assert!(empty.is_over() && empty.is_complete());
        assert!(Bringing::new(&"[]".parse().unwrap(), 1).is_none());
        assert!(Bringing::new(&"[B, C]".parse().unwrap(), 1).is_none());
    }
}
