//! Who has which content, and whose turn it is to be handed out.
//!
//! Only verified holders come in here; [`super::claims`] verifies them. Of each content those who
//! are online form a queue, least recently handed out first, which is rotated and never sorted.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, DefaultHasher, Hasher},
    ops::Index,
};

use rand::{Rng, rngs::StdRng};
use skep_wire::{BlobId, message::Triple};

use super::{
    members::Who,
    shares::ShareNo,
    table::{No, Table},
};
use crate::turns::Turns;

/// The most holders handed out at once.
pub(super) const HANDED_OUT: usize = 50;

/// The most triples kept of a content.
const MAX_TRIPLES: usize = 8;

/// With so few triples left, fresh ones are asked for.
const FEW_TRIPLES: usize = 2;

/// A content that is shared.
pub(super) struct Content {
    pub(super) id: BlobId,
    /// The shares that mean it; never empty.
    pub(super) shares: Vec<ShareNo>,
    /// Holders of all of it that are online.
    complete: Turns<Who>,
    /// Holders of a part of it that are online.
    partial: Turns<Who>,
    /// Holders of all of it that are offline, or have yet to say that they still have it.
    absent: Vec<Who>,
    triples: VecDeque<Known>,
}

/// The number of a content.
pub(super) type ContentNo = No<Content>;

/// A triple and who deposited it.
struct Known {
    by: Who,
    triple: Triple,
}

/// What one member has.
#[derive(Default)]
struct Held {
    online: bool,
    /// All of these, verified.
    complete: BTreeSet<ContentNo>,
    /// All of these, verified in the past; it has yet to say that it still has them.
    doubted: BTreeSet<ContentNo>,
    /// Parts of these, verified; only while it is online.
    partial: BTreeSet<ContentNo>,
}

/// How a member stands to a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// It has proven to have all of it.
    Complete,
    /// It had proven that, and has to say that it still does.
    Doubted,
    /// It has proven to have a part of it.
    Partial,
    /// Nothing is proven.
    None,
}

/// Hashes that peers cannot make collide, and that are the same for the same key.
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

/// All contents and their holders.
pub(super) struct Holders {
    contents: Table<Content>,
    /// Only ever asked for one id: its order must not be seen.
    by_id: HashMap<BlobId, ContentNo, Keyed>,
    /// By number of the member.
    held: Vec<Held>,
}

impl Holders {
    pub(super) fn new(hash_key: u64) -> Self {
        Self {
            contents: Table::new(),
            by_id: HashMap::with_hasher(Keyed(hash_key)),
            held: Vec::new(),
        }
    }

    pub(super) fn contents(&self) -> usize {
        self.contents.len()
    }

    pub(super) fn holdings(&self) -> usize {
        self.held
            .iter()
            .map(|held| held.complete.len() + held.doubted.len())
            .sum()
    }

    pub(super) fn find(&self, id: &BlobId) -> Option<&Content> {
        self.by_id.get(id).map(|no| &self.contents[*no])
    }

    /// The number of a content that is shared.
    pub(super) fn no(&self, id: &BlobId) -> Option<ContentNo> {
        self.by_id.get(id).copied()
    }

    /// A share means this content from now on.
    pub(super) fn attach(&mut self, id: BlobId, share: ShareNo) {
        let contents = &mut self.contents;
        let no = *self
            .by_id
            .entry(id)
            .or_insert_with(|| contents.insert(Content::new(id)));
        contents[no].shares.push(share);
    }

    /// A share does not mean this content any more. With its last share a content is forgotten;
    /// returns those who had all of it.
    pub(super) fn detach(&mut self, id: &BlobId, share: ShareNo) -> Vec<Who> {
        let Some(no) = self.no(id) else {
            return Vec::new();
        };
        let content = &mut self.contents[no];
        content.shares.retain(|other| *other != share);
        if !content.shares.is_empty() {
            return Vec::new();
        }
        self.by_id.remove(id);
        let gone = self.contents.remove(no);
        for who in &gone.partial {
            self.held[who.index()].partial.remove(&no);
        }
        let complete: Vec<Who> = gone.complete.into_iter().chain(gone.absent).collect();
        for who in &complete {
            let held = &mut self.held[who.index()];
            held.complete.remove(&no);
            held.doubted.remove(&no);
        }
        complete
    }

    /// How a member stands to a content.
    pub(super) fn tie(&self, who: Who, id: &BlobId) -> Tie {
        let Some(no) = self.no(id) else {
            return Tie::None;
        };
        let held = &self.held[who.index()];
        if held.complete.contains(&no) {
            Tie::Complete
        } else if held.doubted.contains(&no) {
            Tie::Doubted
        } else if held.partial.contains(&no) {
            Tie::Partial
        } else {
            Tie::None
        }
    }

    /// The member has proven to have this content, or a part of it. Its turn to be handed out comes
    /// first. Returns whether this is a new holding of all of it. A content that is not shared is not listed.
    pub(super) fn list(&mut self, who: Who, id: &BlobId, complete: bool) -> bool {
        let Some(no) = self.no(id) else {
            return false;
        };
        let tie = self.tie(who, id);
        match (tie, complete) {
            (Tie::Complete, _) | (Tie::Partial, false) => return false,
            _ => self.unlist(who, id),
        }
        let held = &mut self.held[who.index()];
        let content = &mut self.contents[no];
        match (complete, held.online) {
            (true, true) => content.complete.come(who),
            (true, false) => content.absent.push(who),
            (false, true) => content.partial.come(who),
            (false, false) => return false,
        }
        if complete {
            &mut held.complete
        } else {
            &mut held.partial
        }
        .insert(no);
        complete && tie != Tie::Doubted
    }

    /// The member has the content no more.
    pub(super) fn unlist(&mut self, who: Who, id: &BlobId) {
        let Some(no) = self.no(id) else {
            return;
        };
        let held = &mut self.held[who.index()];
        held.complete.remove(&no);
        held.doubted.remove(&no);
        held.partial.remove(&no);
        let content = &mut self.contents[no];
        content.complete.go(&who);
        content.partial.go(&who);
        content.absent.retain(|other| *other != who);
        content.triples.retain(|known| known.by != who);
    }

    /// The member has nothing any more. Returns what it had all of.
    pub(super) fn unlist_all(&mut self, who: Who) -> Vec<BlobId> {
        let ids = |set: &BTreeSet<ContentNo>| set.iter().map(|no| self.contents[*no].id).collect::<Vec<_>>();
        let held = &self.held[who.index()];
        let complete = [ids(&held.complete), ids(&held.doubted)].concat();
        for id in ids(&held.partial).iter().chain(&complete) {
            self.unlist(who, id);
        }
        complete
    }

    /// The member is there: what it has is handed out.
    pub(super) fn come(&mut self, who: Who) {
        let held = &mut self.held[who.index()];
        if std::mem::replace(&mut held.online, true) {
            return;
        }
        for no in &self.held[who.index()].complete {
            let content = &mut self.contents[*no];
            content.absent.retain(|other| *other != who);
            content.complete.come(who);
        }
    }

    /// The member is not there any more: what it has is not handed out, and parts are forgotten.
    pub(super) fn go(&mut self, who: Who) {
        let held = &mut self.held[who.index()];
        held.online = false;
        for no in std::mem::take(&mut held.partial) {
            self.contents[no].partial.go(&who);
        }
        for no in &self.held[who.index()].complete {
            let content = &mut self.contents[*no];
            content.complete.go(&who);
            content.absent.push(who);
        }
    }

    /// BLAKE3 of the ids of what the member has all of, ascending, concatenated.
    pub(super) fn digest(&self, who: Who) -> [u8; 32] {
        let complete = &self.held[who.index()].complete;
        let mut ids: Vec<BlobId> = complete.iter().map(|no| self.contents[*no].id).collect();
        ids.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for id in ids {
            hasher.update(id.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// What the member has is not what was thought: all is doubted until it says what it has.
    pub(super) fn doubt(&mut self, who: Who) {
        let held = &mut self.held[who.index()];
        let (online, complete) = (held.online, std::mem::take(&mut held.complete));
        held.doubted.extend(&complete);
        for no in complete.into_iter().filter(|_| online) {
            let content = &mut self.contents[no];
            content.complete.go(&who);
            content.absent.push(who);
        }
    }

    /// What was doubted and never said again is forgotten. Returns it.
    pub(super) fn settle_doubts(&mut self, who: Who) -> Vec<BlobId> {
        let doubted = std::mem::take(&mut self.held[who.index()].doubted);
        let forgotten = doubted.into_iter().map(|no| {
            let content = &mut self.contents[no];
            content.absent.retain(|other| *other != who);
            content.triples.retain(|known| known.by != who);
            content.id
        });
        forgotten.collect()
    }

    /// At most [`HANDED_OUT`] holders that are online, without the asker: those of all of it, then
    /// those of a part, each least recently handed out first. They go to the end of their queue.
    pub(super) fn hand_out(&mut self, no: ContentNo, asker: Who, mut each: impl FnMut(Who, bool)) {
        let content = &mut self.contents[no];
        let is_asker = |who: &Who| *who == asker;
        let complete = &mut content.complete;
        let room = complete.hand_out(HANDED_OUT, is_asker, |who| each(*who, true));
        content.partial.hand_out(room, is_asker, |who| each(*who, false));
    }

    /// Keeps a verified holder's triples; the oldest make room.
    pub(super) fn deposit(&mut self, id: &BlobId, by: Who, triples: Vec<Triple>) {
        let Some(no) = self.no(id) else {
            return;
        };
        let known = &mut self.contents[no].triples;
        known.extend(triples.into_iter().map(|triple| Known { by, triple }));
        known.drain(..known.len().saturating_sub(MAX_TRIPLES));
        known.shrink_to(MAX_TRIPLES);
    }

    /// A triple to ask of a newcomer. It is not asked again, but for the last one, which is better than none.
    pub(super) fn take_triple(&mut self, id: &BlobId) -> Option<Triple> {
        let no = self.no(id)?;
        let known = &mut self.contents[no].triples;
        if let [last] = known.make_contiguous() {
            return Some(last.triple.clone());
        }
        known.pop_front().map(|known| known.triple)
    }

    /// Some holder of all of it that is online, to be asked for triples; never the same for long.
    pub(super) fn witness(&self, id: &BlobId, other_than: Who, rng: &mut StdRng) -> Option<Who> {
        let complete = &self.find(id)?.complete;
        let start = if complete.is_empty() {
            0
        } else {
            rng.random_range(0..complete.len())
        };
        complete.iter_from(start).copied().find(|who| *who != other_than)
    }

    /// Adds the next member, who is offline and has nothing.
    pub(super) fn add(&mut self) {
        self.held.push(Held::default());
    }
}

impl Index<ContentNo> for Holders {
    type Output = Content;

    fn index(&self, no: ContentNo) -> &Content {
        &self.contents[no]
    }
}

impl Content {
    fn new(id: BlobId) -> Self {
        Self {
            id,
            shares: Vec::new(),
            complete: Turns::new(),
            partial: Turns::new(),
            absent: Vec::new(),
            triples: VecDeque::new(),
        }
    }

    /// How many that are online have all of it.
    pub(super) fn online(&self) -> usize {
        self.complete.len()
    }

    /// How many a lookup hands out at most.
    pub(super) fn on_offer(&self) -> usize {
        HANDED_OUT.min(self.complete.len() + self.partial.len())
    }

    /// Whether anybody, there or not, has proven to have all of it.
    pub(super) fn is_held(&self) -> bool {
        self.complete.len() + self.absent.len() > 0
    }

    /// Whether a newcomer can be asked at once.
    pub(super) fn has_triples(&self) -> bool {
        !self.triples.is_empty()
    }

    /// Whether triples run out.
    pub(super) fn lacks_triples(&self) -> bool {
        self.triples.len() <= FEW_TRIPLES
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const ID: BlobId = BlobId([1; 32]);
    const NOBODY: u32 = 1000;

    /// One content and so many members, who are online and have all of it, the first listed first.
    fn holders(members: u32) -> Holders {
        let mut holders = Holders::new(7);
        holders.attach(ID, ShareNo::of(0));
        for _ in 0..members {
            holders.add();
        }
        for n in (0..members).rev() {
            holders.come(Who::of(n));
            assert!(holders.list(Who::of(n), &ID, true));
        }
        holders
    }

    fn hand_out(holders: &mut Holders, asker: u32) -> Vec<usize> {
        let mut given = Vec::new();
        let no = holders.no(&ID).unwrap();
        holders.hand_out(no, Who::of(asker), |who, _| given.push(who.index()));
        given
    }

    fn range(first: usize, end: usize) -> Vec<usize> {
        (first..end).collect()
    }

    #[test]
    fn more_than_fit_take_turns_and_the_asker_is_passed_over() {
        let mut holders = holders(60);
        assert_eq!(hand_out(&mut holders, NOBODY), range(0, 50));
        assert_eq!(
            hand_out(&mut holders, 55),
            [range(50, 55), range(56, 60), range(0, 41)].concat()
        );
        assert_eq!(hand_out(&mut holders, NOBODY)[..10], range(41, 51));
    }

    #[test]
    fn whoever_comes_is_first_and_parts_are_last() {
        let mut holders = holders(4);
        holders.unlist(Who::of(0), &ID);
        assert!(!holders.list(Who::of(0), &ID, false));
        let no = holders.no(&ID).unwrap();
        assert_eq!(holders[no].on_offer(), 4);
        assert_eq!(hand_out(&mut holders, NOBODY), [1, 2, 3, 0]);
        holders.go(Who::of(1));
        assert_eq!(hand_out(&mut holders, NOBODY), [2, 3, 0]);
        holders.come(Who::of(1));
        assert_eq!(hand_out(&mut holders, NOBODY), [1, 3, 2, 0]);
        holders.go(Who::of(0));
        holders.come(Who::of(0));
        assert_eq!(holders.tie(Who::of(0), &ID), Tie::None);
    }

    #[test]
    fn doubts_are_cleared_by_saying_it_again_or_settled() {
        let mut holders = holders(2);
        for n in 0..2 {
            holders.doubt(Who::of(n));
        }
        assert_eq!((hand_out(&mut holders, NOBODY), holders.holdings()), (vec![], 2));
        assert!(!holders.list(Who::of(0), &ID, true), "it is no new holding");
        assert_eq!(hand_out(&mut holders, NOBODY), [0]);
        assert_eq!(holders.settle_doubts(Who::of(0)), []);
        assert_eq!(holders.settle_doubts(Who::of(1)), [ID]);
        assert_eq!(holders.holdings(), 1);
    }

    #[test]
    fn the_last_share_takes_the_content_along() {
        let mut holders = holders(3);
        holders.go(Who::of(2));
        holders.attach(ID, ShareNo::of(1));
        assert_eq!(holders.detach(&ID, ShareNo::of(0)).len(), 0);
        assert_eq!(holders.detach(&ID, ShareNo::of(1)).len(), 3);
        assert_eq!((holders.contents(), holders.holdings()), (0, 0));
        assert!(!holders.list(Who::of(0), &ID, true), "it is not shared");
    }

    #[test]
    fn triples_are_bounded_asked_once_and_go_with_their_holder() {
        let triple = |n| Triple {
            nonce: [n; 32],
            leaf: 0,
            answer: [0; 32],
        };
        let mut holders = holders(2);
        holders.deposit(&ID, Who::of(0), (0..3).map(triple).collect());
        holders.deposit(&ID, Who::of(1), (3..11).map(triple).collect());
        for n in 3..10 {
            assert_eq!(holders.take_triple(&ID), Some(triple(n)), "the oldest made room");
        }
        assert!(holders.find(&ID).unwrap().lacks_triples());
        assert_eq!(
            holders.take_triple(&ID),
            holders.take_triple(&ID),
            "the last one stays"
        );
        holders.unlist(Who::of(1), &ID);
        assert_eq!(holders.take_triple(&ID), None);
    }

    #[test]
    fn a_witness_is_online_and_another() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut holders = holders(2);
        for _ in 0..10 {
            assert!(holders.witness(&ID, Who::of(0), &mut rng) == Some(Who::of(1)));
        }
        holders.go(Who::of(1));
        assert!(holders.witness(&ID, Who::of(0), &mut rng).is_none());
    }
}
