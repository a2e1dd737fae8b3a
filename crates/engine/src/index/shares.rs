//! Which shares there are: per publisher and name the record with the highest sequence.
//!
//! A withdrawn record is kept too, so that an older one cannot come back.

use std::{
    collections::BTreeMap,
    ops::{Bound, Index},
};

use skep_wire::{
    BlobId, PeerId, ShareName, Signed,
    message::Reason,
    record::{Audience, ShareRecord},
};

use super::{
    Denial,
    members::Who,
    table::{No, Table},
};

/// The most names that one publisher gives, withdrawn ones included.
const MAX_SHARES: usize = 250_000;

/// The most peers that a share is for.
const MAX_AUDIENCE: usize = 256;

/// What a publisher last said under a name.
pub(super) struct Share {
    pub(super) publisher: Who,
    pub(super) name: ShareName,
    pub(super) record: Signed<ShareRecord>,
    /// Bytes of the record in a message.
    pub(super) weight: usize,
    sequence: u64,
    /// None once withdrawn.
    content: Option<BlobId>,
    /// None is everyone.
    audience: Option<Box<[PeerId]>>,
}

/// The number of a share.
pub(super) type ShareNo = No<Share>;

/// All shares.
pub(super) struct Shares {
    table: Table<Share>,
    by_name: BTreeMap<Who, BTreeMap<ShareName, ShareNo>>,
    live: usize,
}

/// What became of a record.
pub(super) enum Placed {
    /// It is the same as the one that was there.
    Same,
    /// It is new.
    New {
        /// Its number.
        no: ShareNo,
        /// What the name meant before.
        before: Option<BlobId>,
    },
}

impl Share {
    fn new(publisher: Who, said: ShareRecord, record: Signed<ShareRecord>) -> Self {
        Self {
            publisher,
            name: said.name,
            weight: record.encode().len(),
            record,
            sequence: said.sequence,
            content: (!said.withdrawn).then_some(said.content.id),
            audience: audience(said.audience),
        }
    }

    /// The content, unless the share is withdrawn.
    pub(super) fn content(&self) -> Option<&BlobId> {
        self.content.as_ref()
    }

    /// Whether `key`, the member `who`, may find and read it.
    pub(super) fn is_for(&self, who: Who, key: &PeerId) -> bool {
        let invited = self.audience.as_ref().is_none_or(|peers| peers.contains(key));
        self.content.is_some() && (who == self.publisher || invited)
    }
}

/// Whether a record may be published at all.
pub(super) fn check(said: &ShareRecord) -> Result<(), Denial> {
    let bad = |text: &str| Err(Denial::new(Reason::BadRequest, text));
    match &said.audience {
        Audience::Peers(peers) if peers.len() > MAX_AUDIENCE => {
            bad("a share is for everyone or at most 256 peers")
        }
        _ if said.sequence == 0 => bad("the sequence of a share counts from 1"),
        _ => Ok(()),
    }
}

impl Shares {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            by_name: BTreeMap::new(),
            live: 0,
        }
    }

    /// How many are not withdrawn.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Places what `publisher` said, whose signature was verified. The highest sequence wins.
    pub(super) fn place(
        &mut self,
        publisher: Who,
        said: ShareRecord,
        record: Signed<ShareRecord>,
    ) -> Result<Placed, Denial> {
        let names = self.by_name.entry(publisher).or_default();
        let known = names.get(&said.name).copied();
        match known {
            Some(no) if self.table[no].record == record => return Ok(Placed::Same),
            Some(no) if self.table[no].sequence >= said.sequence => {
                return Err(stale(&said, self.table[no].sequence));
            }
            None if names.len() >= MAX_SHARES => return Err(too_many()),
            _ => {}
        }
        let share = Share::new(publisher, said, record);
        self.live += usize::from(share.content.is_some());
        let Some(no) = known else {
            let name = share.name.clone();
            let no = self.table.insert(share);
            names.insert(name, no);
            return Ok(Placed::New { no, before: None });
        };
        let before = std::mem::replace(&mut self.table[no], share).content;
        self.live -= usize::from(before.is_some());
        Ok(Placed::New { no, before })
    }

    /// The share that `publisher` gave this name, even if withdrawn.
    pub(super) fn get(&self, publisher: Who, name: &ShareName) -> Option<&Share> {
        let no = self.by_name.get(&publisher)?.get(name)?;
        Some(&self.table[*no])
    }

    /// The shares of a publisher with names after `after`, withdrawn ones too, ordered by name.
    pub(super) fn of<'a>(
        &'a self,
        publisher: Who,
        after: Option<&ShareName>,
    ) -> impl Iterator<Item = &'a Share> + use<'a> {
        let first = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        let names = self.by_name.get(&publisher).into_iter();
        let after = names.flat_map(move |names| names.range((first.clone(), Bound::Unbounded)));
        after.map(|(_, no)| &self.table[*no])
    }

    /// Forgets all that a publisher said; returns names, numbers and what they meant.
    pub(super) fn forget(&mut self, publisher: Who) -> Vec<(ShareName, ShareNo, Option<BlobId>)> {
        let names = self.by_name.remove(&publisher).unwrap_or_default();
        let forgotten = names.into_iter().map(|(name, no)| {
            let content = self.table.remove(no).content;
            self.live -= usize::from(content.is_some());
            (name, no, content)
        });
        forgotten.collect()
    }
}

impl Index<ShareNo> for Shares {
    type Output = Share;

    fn index(&self, no: ShareNo) -> &Share {
        &self.table[no]
    }
}

fn audience(audience: Audience) -> Option<Box<[PeerId]>> {
    match audience {
        Audience::Everyone => None,
        Audience::Peers(peers) => Some(peers.into_boxed_slice()),
    }
}

fn too_many() -> Denial {
    let text = format!("a peer has at most {MAX_SHARES} shares");
    Denial::new(Reason::Full, text)
}

fn stale(said: &ShareRecord, current: u64) -> Denial {
    let text = format!(
        "{} has sequence {current} here, not below {}",
        said.name, said.sequence
    );
    Denial::new(Reason::Stale, text)
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        NetworkId, SigningKey,
        record::{Content, ContentKind},
    };

    use super::*;

    fn said(name: &str, sequence: u64, content: u8) -> ShareRecord {
        ShareRecord {
            network: NetworkId([1; 32]),
            publisher: PeerId([2; 32]),
            name: ShareName::parse(name).unwrap(),
            sequence,
            content: Content {
                id: BlobId([content; 32]),
                size: 1,
                kind: ContentKind::File,
            },
            bytes: 1,
            audience: Audience::Everyone,
            withdrawn: content == 0,
        }
    }

    fn place(shares: &mut Shares, said: ShareRecord) -> Result<Option<Option<BlobId>>, Reason> {
        let record = Signed::new(&said, &SigningKey::from_seed([3; 32]));
        match shares.place(Who::LAST, said, record) {
            Ok(Placed::Same) => Ok(None),
            Ok(Placed::New { before, .. }) => Ok(Some(before)),
            Err(denial) => Err(denial.reason),
        }
    }

    #[test]
    fn a_peer_has_so_many_shares_and_no_more() {
        let mut shares = Shares::new();
        // The signature was verified before.
        let record = Signed::new(&said("one for all", 1, 5), &SigningKey::from_seed([3; 32]));
        let mut add = |n: usize| {
            let said = said(&format!("share {n}"), 1, 5);
            shares.place(Who::LAST, said, record.clone()).map(drop)
        };
        for n in 0..MAX_SHARES {
            add(n).unwrap();
        }
        assert_eq!(add(MAX_SHARES).unwrap_err().reason, too_many().reason);
        assert!(add(7).is_ok());
    }

    #[test]
    fn the_highest_sequence_wins_and_a_withdrawal_counts() {
        let mut shares = Shares::new();
        assert_eq!(place(&mut shares, said("a", 2, 5)), Ok(Some(None)));
        assert_eq!(place(&mut shares, said("a", 2, 5)), Ok(None));
        assert_eq!(place(&mut shares, said("a", 1, 5)), Err(Reason::Stale));
        assert_eq!(place(&mut shares, said("a", 2, 6)), Err(Reason::Stale));
        assert_eq!(
            place(&mut shares, said("a", 3, 0)),
            Ok(Some(Some(BlobId([5; 32]))))
        );
        assert_eq!(shares.live(), 0);
        assert_eq!(place(&mut shares, said("a", 2, 5)), Err(Reason::Stale));
        assert_eq!(place(&mut shares, said("a", 4, 6)), Ok(Some(None)));
        assert_eq!(shares.live(), 1);
    }

    #[test]
    fn a_publisher_is_forgotten_whole_and_listed_in_order() {
        let mut shares = Shares::new();
        for (name, content) in [("b", 1), ("a", 2), ("c", 0)] {
            place(&mut shares, said(name, 1, content)).unwrap();
        }
        let after = ShareName::parse("a").unwrap();
        let names = |after| {
            shares
                .of(Who::LAST, after)
                .map(|share| share.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (names(None), names(Some(&after))),
            (vec!["a", "b", "c"], vec!["b", "c"])
        );
        assert_eq!(shares.forget(Who::LAST).len(), 3);
        assert_eq!((shares.live(), shares.of(Who::LAST, None).count()), (0, 0));
    }
}
