//! Cut, name, compress, seal, shard; lose shards, rebuild, open, restore: any tree comes back as it was.
//! And with any one byte of what holders keep changed, either nothing notices or somebody says so.

#![allow(clippy::unwrap_used)] // all of it is test

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use skep_vault::{
    Content, Cutter, Index, KeyRing, Kind, Owner, Phrase, PieceId, content, index,
    index::Listed,
    keys::EpochKey,
    pack::{self, OpenError, PackKey, Salt, Sealed, Writer},
    piece::{Decoder, Encoder, Namer},
    shard::{Shards, assemble, parts},
    tree::{self, Entry, Meta, Name, Node},
};
use skep_wire::{BlobId, PackId, backup::Scheme};

/// A file system in memory.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    File(Vec<u8>),
    Folder(BTreeMap<Vec<u8>, Item>),
    Link(Vec<u8>),
}

/// What holders have of a pack.
struct Placed {
    size: usize,
    ids: Vec<BlobId>,
    shards: Vec<Vec<u8>>,
}

/// A device that backs up.
struct Device {
    ring: KeyRing,
    cutter: Cutter,
    namer: Namer,
    encoder: Encoder,
    open: HashMap<Kind, Writer>,
    sealed: Vec<Sealed>,
    known: HashMap<PieceId, ()>,
    salts: u8,
}

fn scheme() -> Scheme {
    Scheme::new(4, 2).unwrap()
}

impl Device {
    fn new() -> Self {
        let ring = Owner::new(&Phrase::from_entropy([7; 32])).ring(1);
        Self {
            cutter: Cutter::new(ring.naming()),
            namer: Namer::new(ring.naming()),
            ring,
            encoder: Encoder::new(),
            open: HashMap::new(),
            sealed: Vec::new(),
            known: HashMap::new(),
            salts: 0,
        }
    }

    fn key(&self) -> EpochKey {
        self.ring.epoch(1).unwrap().clone()
    }

    fn store(&mut self, kind: Kind, plain: &[u8]) -> PieceId {
        let id = self.namer.name(kind, plain);
        if self.known.insert(id, ()).is_some() {
            return id;
        }
        let key = self.key();
        let (coding, coded) = self.encoder.encode(plain);
        let salts = &mut self.salts;
        let mut fresh = || {
            *salts += 1;
            Writer::new(kind, 1, &key, Salt::new([*salts; 32]))
        };
        let writer = self.open.entry(kind).or_insert_with(&mut fresh);
        if !writer.has_room_for(coded.len()) {
            self.sealed.push(std::mem::replace(writer, fresh()).finish());
        }
        writer.push(id, u32::try_from(plain.len()).unwrap(), coding, coded);
        id
    }

    fn content(&mut self, kind: Kind, bytes: &[u8]) -> Content {
        let ranges: Vec<_> = self.cutter.ranges(bytes).collect();
        let pieces = ranges
            .into_iter()
            .map(|range| self.store(kind, &bytes[range]))
            .collect();
        let cutter = Cutter::new(self.ring.naming());
        Content::new(bytes.len() as u64, pieces, &cutter, |list| {
            self.store(Kind::List, list)
        })
        .unwrap()
    }

    fn folder(&mut self, items: &BTreeMap<Vec<u8>, Item>) -> Content {
        let mut bytes = Vec::new();
        for (name, item) in items {
            let node = match item {
                Item::File(bytes) => Node::File {
                    content: self.content(Kind::Data, bytes),
                    holes: vec![],
                },
                Item::Folder(items) => Node::Folder {
                    tree: self.folder(items),
                },
                Item::Link(target) => Node::Symlink {
                    target: target.clone(),
                },
            };
            let entry = Entry {
                name: Name::parse(name).unwrap(),
                node,
                meta: Meta::default(),
            };
            tree::encode(&entry, &mut bytes).unwrap();
        }
        self.content(Kind::Tree, &bytes)
    }

    /// The pieces of the index, and the packs.
    fn finish(mut self) -> (Vec<Vec<u8>>, Vec<Sealed>) {
        let open: BTreeMap<Kind, Writer> = self.open.drain().collect();
        self.sealed.extend(open.into_values().map(Writer::finish));
        let listed: Vec<Listed> = self.sealed.iter().map(listed).collect();
        (index::encode(&listed), self.sealed)
    }
}

fn listed(sealed: &Sealed) -> Listed {
    Listed {
        pack: sealed.id,
        size: u32::try_from(sealed.bytes.len()).unwrap(),
        contents: sealed.contents.clone(),
    }
}

/// A machine that restores.
struct Restorer {
    ring: KeyRing,
    namer: Namer,
    decoder: Decoder,
    index: Index,
    packs: HashMap<PackId, Vec<u8>>,
}

/// Why something was not restored.
#[derive(Debug, PartialEq)]
struct Refused;

impl From<content::ContentError> for Refused {
    fn from(_: content::ContentError) -> Self {
        Self
    }
}

impl From<OpenError> for Refused {
    fn from(_: OpenError) -> Self {
        Self
    }
}

impl From<tree::TreeError> for Refused {
    fn from(_: tree::TreeError) -> Self {
        Self
    }
}

impl Restorer {
    fn new(index: &[Vec<u8>], packs: HashMap<PackId, Vec<u8>>) -> Self {
        let ring = Owner::new(&Phrase::from_entropy([7; 32])).ring(1);
        let mut whole = Index::new();
        for piece in index {
            index::decode(piece)
                .unwrap()
                .into_iter()
                .for_each(|listed| whole.insert(listed));
        }
        Self {
            namer: Namer::new(ring.naming()),
            ring,
            decoder: Decoder::new(),
            index: whole,
            packs,
        }
    }

    fn piece(&mut self, id: &PieceId) -> Result<Vec<u8>, Refused> {
        let place = self.index.locate(id).ok_or(Refused)?;
        let pack = self.packs.get(&place.listed.pack).ok_or(Refused)?;
        let range = place.offset as usize..(place.offset + place.entry.sealed_len) as usize;
        let mut sealed = pack.get(range).ok_or(Refused)?.to_vec();
        let contents = &place.listed.contents;
        let key = PackKey::of(contents, &self.ring)?;
        Ok(key.open_piece(
            contents,
            place.number,
            place.entry,
            &mut sealed,
            &self.namer,
            &mut self.decoder,
        )?)
    }

    fn content(&mut self, content: &Content) -> Result<Vec<u8>, Refused> {
        let pieces = content.expand(|id| self.piece(id))?;
        let mut bytes = Vec::new();
        for id in &pieces {
            bytes.extend(self.piece(id)?);
        }
        (bytes.len() as u64 == content.size)
            .then_some(bytes)
            .ok_or(Refused)
    }

    fn folder(&mut self, tree: &Content) -> Result<BTreeMap<Vec<u8>, Item>, Refused> {
        let mut reader = tree::Reader::new();
        reader.feed(&self.content(tree)?);
        let mut items = BTreeMap::new();
        while let Some(entry) = reader.next_entry()? {
            let item = match &entry.node {
                Node::File { content, .. } => Item::File(self.content(content)?),
                Node::Folder { tree } => Item::Folder(self.folder(tree)?),
                Node::Symlink { target } => Item::Link(target.clone()),
            };
            items.insert(entry.name.as_bytes().to_vec(), item);
        }
        reader.finish()?;
        Ok(items)
    }
}

fn place(sealed: &Sealed) -> Placed {
    let shards = Shards::new(scheme(), &Bytes::copy_from_slice(&sealed.bytes));
    Placed {
        size: sealed.bytes.len(),
        ids: shards.ids(),
        shards: shards.into_all().iter().map(|shard| shard.to_vec()).collect(),
    }
}

/// The pack, without two of its shards; what has not its hash is not used.
fn fetch(placed: &Placed, lost: [usize; 2]) -> Option<Vec<u8>> {
    let whole =
        |index: &usize| BlobId(*blake3::hash(&placed.shards[*index]).as_bytes()) == placed.ids[*index];
    let there = (0..6).filter(|index| !lost.contains(index)).filter(whole);
    let have: Vec<_> = there.map(|index| (index, &placed.shards[index][..])).collect();
    assemble(scheme(), placed.size, &have).ok()
}

fn item() -> impl Strategy<Value = Item> {
    let name = || vec(any::<u8>(), 1..12).prop_filter("a name", |name| Name::parse(name).is_ok());
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..300),
        // Long enough to be cut, with repetitions.
        (any::<u8>(), 1usize..700_000).prop_map(|(n, len)| {
            let mut bytes = vec![0; len];
            blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut bytes);
            bytes[len / 2..].fill(n);
            bytes
        }),
    ];
    let leaf = prop_oneof![
        4 => bytes.prop_map(Item::File),
        1 => vec(1u8.., 1..40).prop_map(Item::Link),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop::collection::btree_map(name(), inner, 0..6).prop_map(Item::Folder)
    })
}

fn back_up(root: &BTreeMap<Vec<u8>, Item>) -> (Content, Vec<Vec<u8>>, Vec<Sealed>) {
    let mut device = Device::new();
    let tree = device.folder(root);
    let (index, sealed) = device.finish();
    (tree, index, sealed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_comes_back(item in item(), lost in (0usize..6, 0usize..6)) {
        let root = BTreeMap::from([(b"root".to_vec(), item)]);
        let (tree, index, sealed) = back_up(&root);
        let fetched = sealed.iter().map(|sealed| (sealed.id, fetch(&place(sealed), lost.into()).unwrap()));
        let mut restorer = Restorer::new(&index, fetched.collect());
        prop_assert_eq!(restorer.folder(&tree), Ok(root));
        // Without the index, the packs tell the same.
        for sealed in &sealed {
            prop_assert_eq!(&pack::open_contents(&sealed.bytes, &restorer.ring).unwrap(), &sealed.contents);
        }
    }

    #[test]
    fn a_flipped_bit_is_a_refusal_or_harmless(item in item(), at: (usize, usize), bit in 0u8..8) {
        let root = BTreeMap::from([(b"root".to_vec(), item)]);
        let (tree, index, sealed) = back_up(&root);
        let mut packs: HashMap<PackId, Vec<u8>> = sealed.iter().map(|s| (s.id, s.bytes.clone())).collect();
        let hit = packs.get_mut(&sealed[at.0 % sealed.len()].id).unwrap();
        let at = at.1 % hit.len();
        hit[at] ^= 1 << bit;
        prop_assert!(pack::open_contents(hit, &Owner::new(&Phrase::from_entropy([7; 32])).ring(1)).is_err()
            || at >= pack::HEADER_BYTES);
        let restored = Restorer::new(&index, packs).folder(&tree);
        prop_assert!(restored == Ok(root) || restored == Err(Refused));
    }
}

#[test]
fn a_damaged_shard_is_not_used_and_two_may_be() {
    let root = BTreeMap::from([(b"f".to_vec(), Item::File(vec![5; 100_000]))]);
    let (_, _, sealed) = back_up(&root);
    let mut placed = place(&sealed[0]);
    for shard in [1, 4] {
        placed.shards[shard][9] ^= 1;
    }
    assert_eq!(fetch(&placed, [1, 1]), Some(sealed[0].bytes.clone()));
    assert_eq!(fetch(&placed, [1, 2]), None);
}

#[test]
fn a_small_restore_reads_a_range_of_one_or_two_shards() {
    let (_, _, sealed) = back_up(&BTreeMap::from([(b"f".to_vec(), Item::File(vec![5; 3_000_000]))]));
    for sealed in &sealed {
        for (_, offset, entry) in sealed.contents.places() {
            let range = u64::from(offset)..u64::from(offset + entry.sealed_len);
            let parts = parts(scheme(), sealed.bytes.len() as u64, range.clone());
            let sum: u64 = parts.iter().map(|part| part.range.end - part.range.start).sum();
            assert_eq!(sum, range.end - range.start);
        }
    }
}

#[test]
fn equal_contents_are_stored_once_by_all_devices() {
    let mut file = vec![0; 2_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut file);
    let once = BTreeMap::from([(b"a".to_vec(), Item::File(file.clone()))]);
    let twice = BTreeMap::from([
        (b"a".to_vec(), Item::File(file.clone())),
        (b"b".to_vec(), Item::Folder(once.clone())),
    ]);
    let bytes = |sealed: &[Sealed]| sealed.iter().map(|sealed| sealed.bytes.len()).sum::<usize>();
    let (_, _, first) = back_up(&once);
    let (_, _, second) = back_up(&twice);
    assert!(
        bytes(&second) < bytes(&first) + 2000,
        "{} {}",
        bytes(&first),
        bytes(&second)
    );
    // Another device finds the pieces of the first by their names.
    let names = |sealed: &[Sealed]| {
        let entries = sealed.iter().flat_map(|sealed| &sealed.contents.entries);
        entries.map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), names(&back_up(&once).2));
}
