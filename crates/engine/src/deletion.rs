//! What a holder may delete of an owner's packs, and when.
//!
//! Only what a device with the right to prune has condemned, after a grace that is counted here, from
//! receipt, while this holder runs: neither a clock that was set nor a machine that was off shortens
//! it. A condemnation is void when it is canceled, when its device loses the right (so what a stolen
//! machine condemned is saved by revoking it), and while the newest head of any listed device needs the
//! pack. If this holder does not have the list of a head that it has seen, it deletes nothing.
//!
//! It also keeps the word that others have what is here of a pack, which is one part too many. That too waits for its
//! grace; whether it holds then is the caller's to find out.
//!
//! Checking signatures is the caller's: see `skep_wire::backup::open`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use skep_wire::{
    PackId, PeerId,
    backup::{Cancelation, Condemnation, Rights, Roster, Surplus},
    bounded,
};

/// The most packs that are condemned before they are here.
const MAX_ABSENT: usize = 1 << 16;
/// The most cancelations that are remembered for condemnations that have not come yet.
const MAX_PARDONS: usize = 1 << 16;

/// Everything about the deletion of one owner's packs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docket {
    /// What is condemned, and by whom.
    sentences: Sentences,
    /// The highest number of a condemnation of each device: lower ones are replays.
    seen: BTreeMap<PeerId, u64>,
    /// Up to which number a device's condemnations of a pack are canceled.
    pardons: BTreeMap<(PeerId, PackId), u64>,
    /// The number of the newest head of each device.
    heads: BTreeMap<PeerId, u64>,
    /// Packs of which the part here is one too many, and who said so.
    surplus: Sentences,
    /// The highest number of such a word of each device.
    relieved: BTreeMap<PeerId, u64>,
    /// The packs that these heads need; not kept here, but told again after a restart.
    #[serde(skip)]
    lists: BTreeMap<PeerId, (u64, BTreeSet<PackId>)>,
}

/// By pack and device.
type Sentences = BTreeMap<PackId, BTreeMap<PeerId, Sentence>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sentence {
    /// Of the condemnation.
    number: u64,
    /// Of the grace.
    left: Duration,
}

impl Docket {
    /// A docket as bytes, without the lists of heads.
    ///
    /// # Panics
    /// Never: dockets encode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("dockets encode")
    }

    /// Reads what [`Docket::encode`] made; none if it is not that. Nothing is due before [`Docket::listed`] has told
    /// the lists of all heads again.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        // The first ones ended before what is surplus.
        bounded::whole(bytes).or_else(|| bounded::whole(&[bytes, &[0, 0]].concat()))
    }

    /// Takes a condemnation, also for packs that are not here: one may be on its way, and nobody says it again. A replay
    /// is ignored.
    pub fn condemn(&mut self, word: &Condemnation, grace: Duration, is_here: impl Fn(&PackId) -> bool) {
        let seen = self.seen.entry(word.device).or_default();
        if word.number <= *seen {
            return;
        }
        *seen = word.number;
        for pack in &word.packs {
            if !is_here(pack) && self.sentences.len() >= MAX_ABSENT {
                continue;
            }
            let pardoned = self.pardons.get(&(word.device, *pack)).copied().unwrap_or(0);
            if word.number > pardoned {
                sentence(&mut self.sentences, *pack, word.device, word.number, grace);
            }
        }
    }

    /// Takes the word that what is here of these packs is one part too many. It is about what is here now alone. A
    /// replay is ignored.
    pub fn relieve(&mut self, word: &Surplus, grace: Duration, is_here: impl Fn(&PackId) -> bool) {
        let seen = self.relieved.entry(word.device).or_default();
        if word.number <= *seen {
            return;
        }
        *seen = word.number;
        for pack in word.packs.iter().filter(|pack| is_here(pack)) {
            sentence(&mut self.surplus, *pack, word.device, word.number, grace);
        }
    }

    /// Takes a cancelation; it holds for condemnations that come later, too, up to its number.
    pub fn cancel(&mut self, word: &Cancelation) {
        if word.packs.is_empty() {
            let seen = self.seen.entry(word.condemned_by).or_default();
            *seen = word.up_to.max(*seen);
            self.pardon(word, |_| true);
            return;
        }
        let named: BTreeSet<PackId> = word.packs.iter().copied().collect();
        self.pardon(word, |pack| named.contains(pack));
        for pack in &word.packs {
            let key = (word.condemned_by, *pack);
            if self.pardons.len() < MAX_PARDONS || self.pardons.contains_key(&key) {
                let up_to = self.pardons.entry(key).or_default();
                *up_to = word.up_to.max(*up_to);
            }
        }
    }

    fn pardon(&mut self, word: &Cancelation, is_named: impl Fn(&PackId) -> bool) {
        let is_canceled = |pack: &PackId, device: &PeerId, sentence: &Sentence| {
            *device == word.condemned_by && sentence.number <= word.up_to && is_named(pack)
        };
        for all in [&mut self.sentences, &mut self.surplus] {
            retain(all, |pack, device, sentence| !is_canceled(pack, device, sentence));
        }
    }

    /// A head of a listed device was taken; its list is still to come.
    pub fn head(&mut self, device: PeerId, number: u64) {
        let newest = self.heads.entry(device).or_default();
        *newest = number.max(*newest);
    }

    /// The list of packs of a device's head. What it needs is not condemned any more.
    pub fn listed(&mut self, device: PeerId, number: u64, packs: &[PackId]) {
        self.head(device, number);
        if self.heads.get(&device) != Some(&number) {
            return;
        }
        for pack in packs {
            self.sentences.remove(pack);
        }
        self.lists
            .insert(device, (number, packs.iter().copied().collect()));
    }

    /// A new roster: who cannot prune any more has condemned nothing, and who is not listed needs nothing.
    pub fn roster(&mut self, roster: &Roster) {
        for all in [&mut self.sentences, &mut self.surplus] {
            retain(all, |_, device, _| roster.allows(device, Rights::PRUNE));
        }
        self.heads.retain(|device, _| roster.device(device).is_some());
        self.lists.retain(|device, _| roster.device(device).is_some());
    }

    /// Whether anything is condemned here, or too many.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.sentences.is_empty() || !self.surplus.is_empty()
    }

    /// So much time passed, in which this holder ran.
    pub fn served(&mut self, time: Duration) {
        let all = self.sentences.values_mut().chain(self.surplus.values_mut());
        let all = all.flat_map(BTreeMap::values_mut);
        all.for_each(|sentence| sentence.left = sentence.left.saturating_sub(time));
    }

    /// Packs that may be deleted now.
    #[must_use]
    pub fn due(&self) -> Vec<PackId> {
        if !self.unlisted().is_empty() {
            return Vec::new();
        }
        let due = served_out(&self.sentences);
        due.filter(|pack| !self.is_needed(pack)).collect()
    }

    /// Packs of which the part here may be deleted now, if it is still one too many.
    #[must_use]
    pub fn due_surplus(&self) -> Vec<PackId> {
        served_out(&self.surplus).collect()
    }

    /// What is here of a pack is needed: that it was too many is forgotten, until it is said again.
    pub fn needed(&mut self, pack: &PackId) {
        self.surplus.remove(pack);
    }

    /// A pack was deleted here, for whatever reason.
    pub fn deleted(&mut self, pack: &PackId) {
        self.sentences.remove(pack);
        self.surplus.remove(pack);
        self.pardons.retain(|(_, pardoned), _| pardoned != pack);
    }

    /// Who condemned a pack, and how much of the grace is left.
    pub fn condemned(&self, pack: &PackId) -> impl Iterator<Item = (PeerId, u64, Duration)> {
        let sentences = self.sentences.get(pack).into_iter().flatten();
        sentences.map(|(device, sentence)| (*device, sentence.number, sentence.left))
    }

    /// Whether the newest head of some device needs a pack.
    #[must_use]
    pub fn is_needed(&self, pack: &PackId) -> bool {
        self.lists.values().any(|(_, packs)| packs.contains(pack))
    }

    /// The packs that this head of a device needs, ascending, if its list was told.
    #[must_use]
    pub fn list(&self, device: &PeerId, number: u64) -> Option<Vec<PackId>> {
        let (of, packs) = self.lists.get(device)?;
        (*of == number).then(|| packs.iter().copied().collect())
    }

    /// Devices whose head is known without its list: until that is told, nothing is due.
    #[must_use]
    pub fn unlisted(&self) -> Vec<PeerId> {
        let known = |device| self.lists.get(device).map(|(number, _)| *number);
        let unlisted = self
            .heads
            .iter()
            .filter(|(device, number)| known(device) != Some(**number));
        unlisted.map(|(device, _)| *device).collect()
    }
}

/// Saying it again does not prolong the grace.
fn sentence(all: &mut Sentences, pack: PackId, device: PeerId, number: u64, grace: Duration) {
    let sentences = all.entry(pack).or_default();
    let sentence = sentences
        .entry(device)
        .or_insert(Sentence { number, left: grace });
    sentence.number = number;
}

fn retain(all: &mut Sentences, stays: impl Fn(&PackId, &PeerId, &Sentence) -> bool) {
    all.retain(|pack, sentences| {
        sentences.retain(|device, sentence| stays(pack, device, sentence));
        !sentences.is_empty()
    });
}

/// The packs for which some grace is over.
fn served_out(all: &Sentences) -> impl Iterator<Item = PackId> {
    let is_over =
        |sentences: &BTreeMap<PeerId, Sentence>| sentences.values().any(|sentence| sentence.left.is_zero());
    let over = all.iter().filter(move |(_, sentences)| is_over(sentences));
    over.map(|(pack, _)| *pack)
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
