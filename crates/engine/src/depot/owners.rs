//! What owners say: rosters, heads, and what may be deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use skep_wire::{
    OwnerId, PackId, PeerId, Signed,
    backup::{self, Cancelation, Condemnation, DeviceRecord, Head, Rights, Roster, Scheme, open_kept},
    message::{HeadNumber, OwnerStands, Reason},
};

use super::{Depot, Fact, MAX_OWNERS, bad, not_allowed, unknown_owner};
use crate::index::{Change, Denial};

/// The most words about deletion that are kept of an owner.
const MAX_WORDS: usize = 1024;

/// One owner.
pub(super) struct Owner {
    pub(super) roster: Roster,
    signed: Signed<Roster>,
    heads: BTreeMap<PeerId, (u64, Signed<Head>)>,
    /// In the order in which they came.
    words: BTreeMap<u64, (Word, Meaning)>,
    last_word: u64,
    pub(super) packs: BTreeSet<PackId>,
    /// As it was chosen last.
    pub(super) scheme: Option<Scheme>,
}

/// A signed word about deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// These packs may go.
    Condemned(Signed<Condemnation>),
    /// These stay after all.
    Pardoned(Signed<Cancelation>),
}

/// What a word says.
enum Meaning {
    Condemned(Condemnation),
    Pardoned(Cancelation),
}

impl Word {
    fn meaning(&self, roster: &Roster) -> Result<Meaning, Denial> {
        let no = |error: backup::NotAllowed| not_allowed(&error.to_string());
        Ok(match self {
            Self::Condemned(word) => Meaning::Condemned(backup::open(word, roster).map_err(no)?),
            Self::Pardoned(word) => Meaning::Pardoned(backup::open(word, roster).map_err(no)?),
        })
    }

    fn owner(&self) -> Option<OwnerId> {
        match self {
            Self::Condemned(word) => word.peek().ok().map(|word| word.owner()),
            Self::Pardoned(word) => word.peek().ok().map(|word| word.owner()),
        }
    }

    /// What a record that was believed once says, whatever the roster says now.
    fn kept(&self) -> Option<Meaning> {
        Some(match self {
            Self::Condemned(word) => Meaning::Condemned(word.peek().ok()?),
            Self::Pardoned(word) => Meaning::Pardoned(word.peek().ok()?),
        })
    }
}

impl Meaning {
    /// Whether it is a cancelation that covers this condemnation of a pack.
    fn pardons(&self, of: &Condemnation, pack: &PackId) -> bool {
        let Self::Pardoned(word) = self else {
            return false;
        };
        let names = word.packs.is_empty() || word.packs.contains(pack);
        names && word.condemned_by == of.device && word.up_to >= of.number
    }
}

impl Owner {
    fn new(roster: Roster, signed: Signed<Roster>) -> Self {
        Self {
            roster,
            signed,
            heads: BTreeMap::new(),
            words: BTreeMap::new(),
            last_word: 0,
            packs: BTreeSet::new(),
            scheme: None,
        }
    }

    fn is_condemned(&self, pack: &PackId) -> bool {
        let meanings = || self.words.values().map(|(_, meaning)| meaning);
        meanings().any(|meaning| match meaning {
            Meaning::Condemned(word) if word.packs.contains(pack) => {
                !meanings().any(|other| other.pardons(word, pack))
            }
            _ => false,
        })
    }

    /// Who condemned which pack, and the highest number under which it is not canceled. Devices that may not prune
    /// any more have condemned nothing.
    pub(super) fn sentences(&self) -> BTreeMap<(PackId, PeerId), u64> {
        let pardons = self.pardons();
        let pardoned = |device: &PeerId, pack: Option<PackId>| pardons.get(&(*device, pack)).copied();
        let mut sentences = BTreeMap::new();
        for (_, meaning) in self.words.values() {
            let Meaning::Condemned(word) = meaning else {
                continue;
            };
            if !self.roster.allows(&word.device, Rights::PRUNE) {
                continue;
            }
            for pack in word.packs.iter().filter(|pack| self.packs.contains(pack)) {
                let up_to = pardoned(&word.device, Some(*pack)).max(pardoned(&word.device, None));
                if up_to.is_none_or(|up_to| word.number > up_to) {
                    let number = sentences.entry((*pack, word.device)).or_insert(0);
                    *number = word.number.max(*number);
                }
            }
        }
        sentences
    }

    /// Up to which number a device's condemnations of a pack, or of all, are canceled.
    fn pardons(&self) -> BTreeMap<(PeerId, Option<PackId>), u64> {
        let mut pardons = BTreeMap::new();
        for (_, meaning) in self.words.values() {
            let Meaning::Pardoned(word) = meaning else {
                continue;
            };
            let all = word.packs.is_empty().then_some(None);
            for pack in word.packs.iter().copied().map(Some).chain(all) {
                let up_to = pardons.entry((word.condemned_by, pack)).or_insert(0);
                *up_to = word.up_to.max(*up_to);
            }
        }
        pardons
    }

    /// Numbers of the words that nobody needs any more: condemnations of packs that are all gone, and then
    /// cancelations of none that is left.
    fn spent_words(&self) -> Vec<u64> {
        let alive = |word: &Condemnation| word.packs.iter().any(|pack| self.packs.contains(pack));
        let is_needed = |meaning: &Meaning| match meaning {
            Meaning::Condemned(word) => alive(word),
            Meaning::Pardoned(pardon) => self.words.values().any(|(_, other)| match other {
                Meaning::Condemned(word) => word.device == pardon.condemned_by && alive(word),
                Meaning::Pardoned(_) => false,
            }),
        };
        let spent = self.words.iter().filter(|(_, (_, meaning))| !is_needed(meaning));
        spent.map(|(number, _)| *number).collect()
    }
}

impl Depot {
    pub(super) fn restore_roster(&mut self, signed: Signed<Roster>) -> Result<bool, &'static str> {
        let roster = signed.peek().map_err(|_| "its roster cannot be read")?;
        self.owners.insert(roster.owner, Owner::new(roster, signed));
        Ok(true)
    }

    pub(super) fn restore_head(&mut self, signed: Signed<Head>) -> Result<bool, &'static str> {
        let head = signed.peek().map_err(|_| "its head cannot be read")?;
        let owner = self.owners.get_mut(&head.owner);
        Ok(owner
            .map(|owner| owner.heads.insert(head.device, (head.number, signed)))
            .is_some())
    }

    pub(super) fn restore_word(
        &mut self,
        owner: OwnerId,
        number: u64,
        word: Word,
    ) -> Result<bool, &'static str> {
        let meaning = word.kept().ok_or("its word cannot be read")?;
        let Some(owner) = self.owners.get_mut(&owner) else {
            return Ok(false);
        };
        owner.last_word = number;
        owner.words.insert(number, (word, meaning));
        Ok(true)
    }

    /// Takes a roster. Returns its owner if that is news.
    pub(crate) fn keep_roster(
        &mut self,
        signed: Signed<Roster>,
        changes: &mut Vec<Change>,
    ) -> Result<Option<OwnerId>, Denial> {
        let claimed = signed.peek().map_err(|_| bad("the roster cannot be read"))?;
        let roster = signed
            .open(&claimed.owner.0)
            .map_err(|error| not_allowed(&error.to_string()))?;
        let (id, owners) = (roster.owner, self.owners.len());
        match self.owners.get_mut(&id) {
            Some(known) if known.signed == signed => return Ok(None),
            Some(known) if known.roster.number >= roster.number => return Err(stale("roster")),
            Some(known) => {
                let is_kept = |head: &Signed<Head>| open_kept(head, &roster).is_ok();
                for (_, (_, head)) in known.heads.extract_if(.., |_, (_, head)| !is_kept(head)) {
                    changes.push(Fact::Head(head).removed());
                }
                (known.roster, known.signed) = (roster, signed.clone());
            }
            None if owners >= MAX_OWNERS => {
                return Err(Denial::new(Reason::NoRoom, "more owners are not taken here"));
            }
            None => drop(self.owners.insert(id, Owner::new(roster, signed.clone()))),
        }
        changes.push(Fact::Roster(signed).set());
        Ok(Some(id))
    }

    /// Takes a head.
    pub(crate) fn keep_head(
        &mut self,
        signed: Signed<Head>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Denial> {
        let claimed = signed.peek().map_err(|_| bad("the head cannot be read"))?;
        let owner = self.owner_mut(&claimed.owner)?;
        let head = open_kept(&signed, &owner.roster).map_err(|error| not_allowed(&error.to_string()))?;
        match owner.heads.get(&head.device) {
            Some((_, known)) if *known == signed => return Ok(()),
            Some((number, _)) if *number >= head.number => return Err(stale("head")),
            _ => {}
        }
        changes.push(Fact::Head(signed.clone()).set());
        owner.heads.insert(head.device, (head.number, signed));
        Ok(())
    }

    /// Takes a word about deletion. Returns whose it is, if it is news.
    pub(crate) fn keep_word(
        &mut self,
        word: Word,
        changes: &mut Vec<Change>,
    ) -> Result<Option<OwnerId>, Denial> {
        let id = word.owner().ok_or_else(|| bad("the word cannot be read"))?;
        let owner = self.owner_mut(&id)?;
        let meaning = word.meaning(&owner.roster)?;
        if owner.words.values().any(|(known, _)| *known == word) {
            return Ok(None);
        }
        if owner.words.len() >= MAX_WORDS {
            return Err(Denial::new(
                Reason::Busy,
                "too many condemnations wait for their holders",
            ));
        }
        owner.last_word += 1;
        changes.push(Fact::Word(id, owner.last_word, word.clone()).set());
        let named = match &meaning {
            Meaning::Condemned(word) => word.packs.clone(),
            Meaning::Pardoned(_) => owner.packs.iter().copied().collect(),
        };
        owner.words.insert(owner.last_word, (word, meaning));
        named.iter().for_each(|pack| self.weigh(pack, changes));
        self.sweep_words(&id, changes);
        Ok(Some(id))
    }

    /// After a word about a pack: what nobody has is forgotten, what was dying may live.
    fn weigh(&mut self, pack: &PackId, changes: &mut Vec<Change>) {
        let condemned = self.is_condemned(pack);
        let Some(known) = self.packs.get_mut(pack) else {
            return;
        };
        if condemned && known.held.is_empty() {
            return self.let_die(pack, changes);
        }
        if !condemned && known.dying {
            (known.dying, known.settled) = (false, false);
            changes.push(Fact::Pack(false, known.record.clone()).set());
            self.settle(pack);
        }
    }

    pub(super) fn is_condemned(&self, pack: &PackId) -> bool {
        let owner = self.packs.get(pack).and_then(|pack| self.owners.get(&pack.owner));
        owner.is_some_and(|owner| owner.is_condemned(pack))
    }

    /// Forgets the words that nobody needs any more.
    pub(super) fn sweep_words(&mut self, id: &OwnerId, changes: &mut Vec<Change>) {
        let Some(owner) = self.owners.get_mut(id) else {
            return;
        };
        for number in owner.spent_words() {
            if let Some((word, _)) = owner.words.remove(&number) {
                changes.push(Fact::Word(*id, number, word).removed());
            }
        }
    }

    /// The next word that a holder of an owner's shards has not been told in this session, and its number.
    pub(crate) fn next_word(&self, peer: &PeerId, id: &OwnerId) -> Option<(u64, Word)> {
        let (owner, told) = (self.owners.get(id)?, self.keepers.told(peer, id));
        let (number, (word, _)) = owner.words.range(told + 1..).next()?;
        Some((*number, word.clone()))
    }

    /// A holder was told that word.
    pub(crate) fn told_word(&mut self, peer: PeerId, owner: OwnerId, number: u64) {
        self.keepers.tell(peer, owner, number);
    }

    /// Whose shards a peer keeps.
    pub(crate) fn owners_at(&self, peer: &PeerId) -> BTreeSet<OwnerId> {
        self.keepers.owners_at(peer)
    }

    /// Who keeps shards of an owner.
    pub(crate) fn keepers_of(&self, id: &OwnerId) -> BTreeSet<PeerId> {
        let packs = self.owners.get(id).into_iter().flat_map(|owner| &owner.packs);
        let packs = packs.filter_map(|pack| self.packs.get(pack));
        packs
            .flat_map(|pack| pack.held.iter().map(|at| at.peer))
            .collect()
    }

    /// The newest roster of an owner.
    pub(crate) fn roster(&self, id: &OwnerId) -> Option<Signed<Roster>> {
        self.owners.get(id).map(|owner| owner.signed.clone())
    }

    /// What is known of an owner.
    pub(crate) fn owner_state(&self, id: &OwnerId) -> OwnerStands {
        let owner = self.owners.get(id);
        let heads = owner.into_iter().flat_map(|owner| &owner.heads);
        OwnerStands {
            roster: owner.map(|owner| owner.signed.clone()),
            heads: heads
                .map(|(device, (number, _))| HeadNumber {
                    device: *device,
                    number: *number,
                })
                .collect(),
        }
    }

    /// The newest head of a device.
    pub(crate) fn head(&self, id: &OwnerId, device: &PeerId) -> Result<Signed<Head>, Denial> {
        let owner = self.owners.get(id).ok_or_else(unknown_owner)?;
        let head = owner.heads.get(device).map(|(_, head)| head.clone());
        head.ok_or_else(|| Denial::new(Reason::NotFound, "no head of that device is known"))
    }
}

fn stale(what: &str) -> Denial {
    Denial::new(Reason::Stale, format!("a newer {what} is known"))
}
