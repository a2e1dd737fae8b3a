//! Sealing a backup: contents come in from many threads, packs go out.
//!
//! Whoever has bytes works through a [`Hand`] of its own, which cuts, names and compresses. What is known
//! already, or was just stored by another hand, is only named. Packs are filled by all hands together,
//! and closed by the one that finds one full. Whether a pack that went out was kept anywhere is the
//! caller's business: a piece counts as stored when its pack is out.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use skep_wire::PackId;

use crate::{
    content::{Content, ContentError},
    cut::{Cutter, Stream},
    index::Index,
    keys::{EpochKey, NamingKey},
    pack::{Salt, Sealed, Writer},
    piece::{Encoder, Kind, Namer, PieceId},
};

/// Where finished packs go. May wait until there is room.
pub type Out<'a> = dyn Fn(Sealed) + Sync + 'a;
/// Gives 32 random bytes, others each time.
pub type Entropy<'a> = dyn Fn() -> [u8; 32] + Sync + 'a;

/// Under which keys a backup is sealed.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Names pieces and decides where files are cut.
    pub naming: &'a NamingKey,
    /// The epoch that the roster names.
    pub epoch: u32,
    /// Its key.
    pub key: &'a EpochKey,
}

/// Seals one backup.
pub struct Sealer<'a> {
    keys: Keys<'a>,
    cutter: Cutter,
    namer: Namer,
    known: &'a Index,
    met: Mutex<Met>,
    open: [Mutex<Option<Writer>>; 4],
    new_bytes: AtomicU64,
    entropy: &'a Entropy<'a>,
    out: &'a Out<'a>,
}

/// Pieces that were met, and where.
#[derive(Default)]
struct Met {
    fresh: HashSet<PieceId>,
    reused: BTreeSet<PackId>,
}

impl<'a> Sealer<'a> {
    /// Seals under `keys` what is not `known`.
    #[must_use]
    pub fn new(keys: Keys<'a>, known: &'a Index, entropy: &'a Entropy<'a>, out: &'a Out<'a>) -> Self {
        Self {
            keys,
            cutter: Cutter::new(keys.naming),
            namer: Namer::new(keys.naming),
            known,
            met: Mutex::default(),
            open: Default::default(),
            new_bytes: AtomicU64::new(0),
            entropy,
            out,
        }
    }

    /// A hand for one thread.
    #[must_use]
    pub fn hand(&self) -> Hand<'_> {
        Hand {
            sealer: self,
            encoder: Encoder::new(),
        }
    }

    /// Plaintext bytes of files that were not known.
    #[must_use]
    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    /// The known packs of which a piece was used.
    #[must_use]
    pub fn reused(&self) -> BTreeSet<PackId> {
        lock(&self.met).reused.clone()
    }

    /// Closes the packs that are not full. More can be stored after that.
    pub fn flush(&self) {
        for open in &self.open {
            let writer = lock(open).take();
            writer.into_iter().for_each(|writer| (self.out)(writer.finish()));
        }
    }

    /// Whether a piece is known. If so, what is being stored relies on its pack from now on.
    #[must_use]
    pub fn rely_on(&self, id: &PieceId) -> bool {
        let place = self.known.locate(id);
        if let Some(place) = &place {
            lock(&self.met).reused.insert(place.listed.pack);
        }
        place.is_some()
    }

    /// Whether the piece has to be stored by who asks.
    fn claim(&self, id: &PieceId) -> bool {
        !self.rely_on(id) && lock(&self.met).fresh.insert(*id)
    }

    fn writer(&self, kind: Kind) -> Writer {
        Writer::new(kind, self.keys.epoch, self.keys.key, Salt::new((self.entropy)()))
    }
}

/// Stores pieces for one thread.
pub struct Hand<'a> {
    sealer: &'a Sealer<'a>,
    encoder: Encoder,
}

impl<'a> Hand<'a> {
    /// Stores one piece, of at most [`crate::piece::MAX_PIECE_BYTES`].
    ///
    /// # Panics
    /// When it is longer.
    pub fn store(&mut self, kind: Kind, plain: &[u8]) -> PieceId {
        let sealer = self.sealer;
        let id = sealer.namer.name(kind, plain);
        if !sealer.claim(&id) {
            return id;
        }
        let len = u32::try_from(plain.len()).expect("a piece has at most 1 MiB");
        if kind == Kind::Data {
            sealer.new_bytes.fetch_add(len.into(), Ordering::Relaxed);
        }
        let (coding, coded) = self.encoder.encode(plain);
        let mut open = lock(&sealer.open[kind as usize]);
        let full = open.take_if(|writer| !writer.has_room_for(coded.len()));
        open.get_or_insert_with(|| sealer.writer(kind))
            .push(id, len, coding, coded);
        drop(open);
        // Hashing a pack takes a while: others fill the next one meanwhile.
        full.into_iter().for_each(|full| (sealer.out)(full.finish()));
        id
    }

    /// Stores a content that lies in memory.
    ///
    /// # Errors
    /// [`ContentError::TooLong`].
    pub fn content(&mut self, kind: Kind, bytes: &[u8]) -> Result<Content, ContentError> {
        let sealer = self.sealer;
        let pieces = sealer.cutter.ranges(bytes);
        let pieces = pieces.map(|range| self.store(kind, &bytes[range])).collect();
        Content::new(bytes.len() as u64, pieces, &sealer.cutter, |list| {
            self.store(Kind::List, list)
        })
    }

    /// Begins a content that comes bit by bit.
    #[must_use]
    pub fn begin(&self, kind: Kind) -> Growing<'a> {
        Growing {
            stream: Stream::new(&self.sealer.cutter),
            kind,
            size: 0,
            pieces: Vec::new(),
        }
    }
}

/// A content that is being stored.
pub struct Growing<'a> {
    stream: Stream<'a>,
    kind: Kind,
    size: u64,
    pieces: Vec<PieceId>,
}

impl Growing<'_> {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], hand: &mut Hand<'_>) {
        self.size += bytes.len() as u64;
        let (kind, pieces) = (self.kind, &mut self.pieces);
        self.stream
            .feed(bytes, |piece| pieces.push(hand.store(kind, piece)));
    }

    /// The content ends here.
    ///
    /// # Errors
    /// [`ContentError::TooLong`].
    pub fn finish(mut self, hand: &mut Hand<'_>) -> Result<Content, ContentError> {
        let (kind, mut pieces) = (self.kind, self.pieces);
        self.stream.finish(|piece| pieces.push(hand.store(kind, piece)));
        let cutter = &hand.sealer.cutter;
        Content::new(self.size, pieces, cutter, |list| hand.store(Kind::List, list))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::{index::Listed, keys::KeyRing};

    struct Rig {
        ring: KeyRing,
        out: Mutex<Vec<Sealed>>,
    }

    impl Rig {
        fn new() -> Self {
            let mut ring = KeyRing::new(NamingKey::new(Zeroizing::new([1; 32])));
            ring.insert(3, EpochKey::new(Zeroizing::new([2; 32])));
            Self {
                ring,
                out: Mutex::default(),
            }
        }

        /// What `work` stores beside what is known, and which packs it used.
        fn seal(&self, known: &Index, work: impl FnOnce(&Sealer<'_>)) -> (Vec<Sealed>, BTreeSet<PackId>) {
            let keys = Keys {
                naming: self.ring.naming(),
                epoch: 3,
                key: self.ring.epoch(3).unwrap(),
            };
            let salts = AtomicU64::new(0);
            let entropy = || *blake3::hash(&salts.fetch_add(1, Ordering::SeqCst).to_le_bytes()).as_bytes();
            let out = |sealed| lock(&self.out).push(sealed);
            let sealer = Sealer::new(keys, known, &entropy, &out);
            work(&sealer);
            sealer.flush();
            let reused = sealer.reused();
            (std::mem::take(&mut lock(&self.out)), reused)
        }
    }

    fn noise(len: usize, n: u8) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn index(sealed: &[Sealed]) -> Index {
        let mut index = Index::new();
        for sealed in sealed {
            index.insert(Listed {
                pack: sealed.id,
                size: u32::try_from(sealed.bytes.len()).unwrap(),
                contents: sealed.contents.clone(),
            });
        }
        index
    }

    #[test]
    fn bit_by_bit_or_at_once_is_the_same_and_known_is_not_stored() {
        let rig = Rig::new();
        let bytes = noise(3_000_000, 1);
        let mut first = None;
        let (sealed, _) = rig.seal(&Index::new(), |sealer| {
            first = Some(sealer.hand().content(Kind::Data, &bytes).unwrap());
        });
        let known = index(&sealed);
        let (nothing, reused) = rig.seal(&known, |sealer| {
            let mut hand = sealer.hand();
            let mut growing = hand.begin(Kind::Data);
            bytes
                .chunks(77_777)
                .for_each(|part| growing.feed(part, &mut hand));
            assert_eq!(growing.finish(&mut hand).ok(), first);
            assert_eq!(sealer.new_bytes(), 0);
        });
        assert_eq!(nothing, []);
        assert_eq!(reused, BTreeSet::from([sealed[0].id]));
    }

    #[test]
    fn kinds_have_packs_of_their_own() {
        let rig = Rig::new();
        let (sealed, _) = rig.seal(&Index::new(), |sealer| {
            let mut hand = sealer.hand();
            for kind in Kind::ALL {
                hand.store(kind, b"the same");
            }
        });
        let kinds: Vec<Kind> = sealed.iter().map(|sealed| sealed.contents.kind).collect();
        assert_eq!(kinds, Kind::ALL);
    }
}
