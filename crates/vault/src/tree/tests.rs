//! Trees are read as they were written, and what cannot be a tree is not read.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{content::Content, piece::PieceId};

fn content(size: u64) -> Content {
    Content {
        size,
        depth: 0,
        pieces: vec![PieceId([4; 32])],
    }
}

fn file(name: &[u8]) -> Entry {
    Entry {
        name: Name::parse(name).unwrap(),
        node: Node::File {
            content: content(10),
            holes: vec![],
        },
        meta: Meta::default(),
    }
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().for_each(|entry| encode(entry, &mut out).unwrap());
    out
}

/// Reads a tree that comes in steps of so many bytes.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Entry>, TreeError> {
    let (mut reader, mut entries) = (Reader::new(), Vec::new());
    for fed in bytes.chunks(step) {
        reader.feed(fed);
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
    }
    reader.finish()?;
    Ok(entries)
}

/// The encoding of an entry that no honest device would write.
fn forged(entry: &Entry) -> Vec<u8> {
    let body = postcard::to_allocvec(entry).unwrap();
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

#[test]
fn the_bytes_of_version_1() {
    let full = Meta {
        mode: 0o4755,
        modified: Time {
            unix_s: -5,
            nanos: 999_999_999,
        },
        uid: 1000,
        gid: u32::MAX,
        user: b"ann".to_vec(),
        group: vec![0xff],
        xattrs: vec![Xattr {
            name: b"user.a".to_vec(),
            value: vec![0, 1],
        }],
        link: 77,
        stamp: Stamp {
            changed: Time { unix_s: 5, nanos: 6 },
            inode: 99,
        },
    };
    let holes = vec![Hole { offset: 3, len: 4096 }];
    let entries = [
        Entry {
            node: Node::File {
                content: content(10),
                holes,
            },
            meta: full,
            ..file(b"a\xff")
        },
        Entry {
            node: Node::Folder { tree: content(500) },
            ..file(b"b")
        },
        Entry {
            node: Node::Symlink {
                target: b"../\xfe".to_vec(),
            },
            ..file("ä".as_bytes())
        },
    ];
    let hex = data_encoding::HEXLOWER.encode(&bytes(&entries));
    assert_eq!(hex, include_str!("../golden/tree.hex").trim());
    assert_eq!(read(&bytes(&entries), 7).unwrap(), entries);
    assert_eq!(entries[0].size(), 4106);
}

#[test]
fn names_that_lead_elsewhere_are_none() {
    for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &[b'x'; 256]] {
        assert_eq!(Name::parse(bad), Err(BadName));
        let bytes = postcard::to_allocvec(&bad.to_vec()).unwrap();
        assert!(postcard::from_bytes::<Name>(&bytes).is_err());
    }
    for good in [
        &b"..."[..],
        b" ",
        b"a\nb",
        b"\xff\xfe",
        b"C:",
        b"CON",
        &[b'x'; 255],
    ] {
        assert_eq!(Name::parse(good).unwrap().as_bytes(), good);
    }
}

#[test]
fn names_that_other_systems_take_for_something_else_are_told() {
    for bad in [
        &b"CON"[..],
        b"a\\b",
        b"C:x",
        b"\xff",
        b"a\x1b[2J",
        "a\u{202e}".as_bytes(),
        b"x.",
    ] {
        assert!(Name::parse(bad).unwrap().check_anywhere().is_err(), "{bad:?}");
    }
    assert_eq!(
        Name::parse("größe.txt".as_bytes()).unwrap().check_anywhere(),
        Ok(())
    );
}

#[test]
fn names_are_shown_without_deceiving() {
    for (bytes, shown) in [
        (&b"plain"[..], "plain"),
        ("größe".as_bytes(), "größe"),
        (b"a\x1b[2J\n", "a\\u{1b}[2J\\n"),
        (b"\xff\\x", "\\xff\\\\x"),
        ("\u{202e}txt".as_bytes(), "\\u{202e}txt"),
    ] {
        assert_eq!(Name::parse(bytes).unwrap().to_string(), shown);
    }
}

#[test]
fn a_name_twice_or_out_of_order_is_refused() {
    for (first, second) in [(b"b", b"a"), (b"a", b"a")] {
        let tree = bytes(&[file(first), file(second)]);
        assert_eq!(read(&tree, 1000), Err(TreeError::Order));
    }
}

#[test]
fn entries_that_contradict_themselves_are_neither_written_nor_read() {
    let hole = |offset, len| Hole { offset, len };
    let holes = |holes: Vec<Hole>| Entry {
        node: Node::File {
            content: content(10),
            holes,
        },
        ..file(b"x")
    };
    let meta = |change: &dyn Fn(&mut Meta)| {
        let mut entry = file(b"x");
        change(&mut entry.meta);
        entry
    };
    let xattr = |name: &[u8], len| Xattr {
        name: name.to_vec(),
        value: vec![0; len],
    };
    let target = |target: &[u8]| Entry {
        node: Node::Symlink {
            target: target.to_vec(),
        },
        ..file(b"x")
    };
    let wrong = [
        holes(vec![hole(0, 0)]),
        holes(vec![hole(11, 5)]),
        holes(vec![hole(2, 5), hole(7, 1)]),
        holes(vec![hole(5, 5), hole(1, 1)]),
        holes(vec![hole(u64::MAX, 5)]),
        holes(vec![hole(0, u64::MAX)]),
        holes(vec![hole(0, u64::MAX - 20), hole(u64::MAX - 15, 15)]),
        meta(&|meta| meta.mode = 1 << 12),
        meta(&|meta| meta.modified.nanos = 1_000_000_000),
        meta(&|meta| meta.xattrs = vec![xattr(b"b", 0), xattr(b"a", 0)]),
        meta(&|meta| meta.xattrs = vec![xattr(b"a", 0), xattr(b"a", 0)]),
        meta(&|meta| meta.xattrs = vec![xattr(b"", 0)]),
        meta(&|meta| meta.xattrs = vec![xattr(b"a", 65537)]),
        meta(&|meta| meta.xattrs = vec![xattr(b"a", 65536), xattr(b"b", 65536)]),
        meta(&|meta| meta.user = vec![b'u'; 256]),
        target(b""),
        target(b"a\0b"),
        target(&[b'a'; 4096]),
    ];
    for entry in wrong {
        assert_eq!(encode(&entry, &mut Vec::new()), Err(Unstorable), "{entry:?}");
        assert_eq!(
            read(&forged(&entry), 1 << 20),
            Err(TreeError::Malformed),
            "{entry:?}"
        );
    }
    let fine = holes(vec![hole(0, 5), hole(7, 1), hole(16, 9)]);
    assert_eq!(read(&bytes(std::slice::from_ref(&fine)), 3).unwrap(), [fine]);
}

#[test]
fn a_tree_that_ends_early_or_claims_too_much_is_refused() {
    let tree = bytes(&[file(b"a"), file(b"b")]);
    let first = bytes(&[file(b"a")]).len();
    for len in (1..tree.len()).filter(|len| *len != first) {
        assert_eq!(read(&tree[..len], 11), Err(TreeError::CutOff), "{len}");
    }
    let huge = u32::try_from(MAX_ENTRY_BYTES + 1).unwrap().to_le_bytes();
    assert_eq!(read(&huge, 4), Err(TreeError::Malformed));
    assert_eq!(read(&u32::MAX.to_le_bytes(), 4), Err(TreeError::Malformed));
    let mut trailing = forged(&file(b"a"));
    trailing.push(0);
    trailing[0] += 1;
    assert_eq!(read(&trailing, 100), Err(TreeError::Malformed));
    assert_eq!(read(&[], 1), Ok(vec![]));
}

fn name() -> impl Strategy<Value = Name> {
    vec(any::<u8>(), 1..20).prop_filter_map("no name", |bytes| Name::parse(&bytes).ok())
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(unix_s, nanos)| Time { unix_s, nanos })
}

fn node() -> impl Strategy<Value = Node> {
    let content = || {
        (0u64..1 << 40, 0u8..4, vec(any::<[u8; 32]>(), 0..5)).prop_map(|(size, depth, pieces)| Content {
            size,
            depth,
            pieces: pieces.into_iter().map(PieceId).collect(),
        })
    };
    let target = vec(1u8.., 1..50);
    prop_oneof![
        content().prop_map(|content| Node::File {
            content,
            holes: vec![]
        }),
        content().prop_map(|tree| Node::Folder { tree }),
        target.prop_map(|target| Node::Symlink { target }),
    ]
}

prop_compose! {
    fn meta()(
        mode in 0u16..1 << 12, modified in time(), (uid, gid, link, inode) in any::<(u32, u32, u64, u64)>(),
        user in vec(any::<u8>(), 0..9), xattrs in prop::collection::btree_map(vec(1u8.., 1..9), vec(any::<u8>(), 0..99), 0..4),
        changed in time(),
    ) -> Meta {
        let xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect();
        Meta { mode, modified, uid, gid, user, group: vec![], xattrs, link, stamp: Stamp { changed, inode } }
    }
}

proptest! {
    #[test]
    fn encoding_is_undone(
        entries in prop::collection::btree_map(name(), (node(), meta()), 0..20), step in 1usize..5000,
    ) {
        let entries: Vec<Entry> = entries.into_iter()
            .map(|(name, (node, meta))| Entry { name, node, meta }).collect();
        let tree = bytes(&entries);
        prop_assert_eq!(read(&tree, step), Ok(entries));
    }

    #[test]
    fn changed_trees_do_no_harm(entries in prop::collection::btree_map(name(), (node(), meta()), 1..5), at: usize, to: u8) {
        let entries: Vec<Entry> = entries.into_iter()
            .map(|(name, (node, meta))| Entry { name, node, meta }).collect();
        let mut tree = bytes(&entries);
        let at = at % tree.len();
        tree[at] = to;
        if let Ok(read) = read(&tree, 100) {
            // What is read, whatever it is, can be written again.
            bytes(&read);
        }
    }
}
