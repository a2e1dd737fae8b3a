//! Storage peers with real processes: they make room, leave, die in pairs, and their disks rot.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Network, Peer, Tree, eventually, text, write_random};

/// An owner with a backup, and storage peers that do nothing else.
struct Stage {
    network: Network,
    owner: Peer,
    storage: Vec<Peer>,
    folder: PathBuf,
}

/// A shard on a disk.
struct Shard {
    pack: String,
    holder: usize,
    path: PathBuf,
}

impl Stage {
    fn new(storage: usize, scheme: &str, options: &[&str]) -> Self {
        let network = Network::with(&["--repair-after", "3s", "--repair-rate", "none"]);
        let options = [&["--role", "storage"], options].concat();
        let storage = (0..storage)
            .map(|number| network.peer_with(&format!("storage-{number}"), &options))
            .collect();
        let owner = network.peer_with("owner", &["--role", "owner"]);
        let folder = owner.files.join("work");
        write_random(&folder.join("big"), 17 << 20, 1);
        for number in 0..10 {
            write_random(&folder.join(format!("many/{number}")), 1000 + number * 100, 9);
        }
        let done = owner.ask(&["backup", text(&folder), "--redundancy", scheme]);
        assert_eq!(done["skipped"], Value::Array(vec![]));
        let stage = Self {
            network,
            owner,
            storage,
            folder,
        };
        stage.until_survives(2);
        stage
    }

    fn until_survives(&self, count: u64) {
        eventually(&format!("{count} may vanish"), || {
            let checked = self.owner.ask(&["check"]);
            (checked["survives"].as_u64()? >= count).then_some(())
        });
    }

    /// All shards on the disks of the storage peers.
    fn shards(&self) -> Vec<Shard> {
        let mut found = Vec::new();
        for (holder, peer) in self.storage.iter().enumerate() {
            let Ok(owners) = fs::read_dir(peer.home.join("shards")) else {
                continue;
            };
            for file in owners.flat_map(|owner| fs::read_dir(owner.unwrap().path()).unwrap()) {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let (pack, last) = name.split_once('.').unwrap_or((&name, ""));
                if last.parse::<u8>().is_ok() {
                    let pack = pack.to_owned();
                    found.push(Shard { pack, holder, path });
                }
            }
        }
        found
    }

    /// The storage peers that have something of the largest pack.
    fn holders_of_the_largest(&self) -> Vec<usize> {
        let shards = self.shards();
        let size = |shard: &&Shard| fs::metadata(&shard.path).unwrap().len();
        let largest = &shards.iter().max_by_key(size).unwrap().pack;
        let of_it = shards.iter().filter(|shard| shard.pack == *largest);
        of_it.map(|shard| shard.holder).collect()
    }

    /// Stops everything at once.
    fn kill_all(&mut self) {
        self.owner.kill();
        self.storage.iter_mut().for_each(Peer::kill);
        self.network.kill();
    }

    /// Puts back all homes as they were in `copy`, and starts everything.
    fn start_from(&mut self, copy: &Path) {
        self.kill_all();
        for entry in fs::read_dir(copy).unwrap() {
            let name = entry.unwrap().file_name();
            let home = self.network.folder().join(&name);
            let _ = fs::remove_dir_all(&home);
            copy_folder(&copy.join(&name), &home);
        }
        self.network.restart();
        self.storage.iter_mut().for_each(Peer::restart);
        self.owner.restart();
        self.owner.wait_until_connected();
    }

    /// Ends these storage peers, and their disks with them.
    fn lose(&mut self, lost: &[usize]) {
        for number in lost {
            self.storage[*number].kill();
            fs::remove_dir_all(&self.storage[*number].home).unwrap();
        }
    }

    /// Restores, and returns where it is, and what the command said.
    fn restore(&self, code: i32) -> (PathBuf, Value) {
        let target = self.owner.files.join("restored");
        let _ = fs::remove_dir_all(&target);
        let outcome = self.owner.run(&["restore", "latest", "--to", text(&target)]);
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let done = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
        let full = fs::canonicalize(&self.folder).unwrap();
        (target.join(full.strip_prefix("/").unwrap()), done)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Pairs of `count` storage peers: all of them with `SKEP_HUNT=all`, otherwise three.
fn pairs(count: usize) -> Vec<[usize; 2]> {
    let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b]));
    match std::env::var_os("SKEP_HUNT") {
        Some(_) => all.collect(),
        None => all.step_by(count * (count - 1) / 6).take(3).collect(),
    }
}

/// Every pair is killed, one after the other, on fresh copies of the homes; then one more than was promised.
fn hunt(storage: usize, scheme: &str) {
    let mut stage = Stage::new(storage, scheme, &[]);
    let original = Tree::read(&stage.folder);
    let last = stage.holders_of_the_largest();
    stage.kill_all();
    let copies = tempfile::tempdir().unwrap();
    copy_folder(stage.network.folder(), copies.path());
    for pair in pairs(storage) {
        stage.start_from(copies.path());
        stage.lose(&pair);
        let (restored, done) = stage.restore(0);
        assert_eq!(done["failed"], Value::Array(vec![]), "without {pair:?}");
        assert_eq!(Tree::read(&restored), original, "without {pair:?}");
    }
    stage.start_from(copies.path());
    stage.lose(&last[..3]);
    let (restored, done) = stage.restore(3);
    let failed = done["failed"].as_array().unwrap();
    assert!(!failed.is_empty());
    for name in ["big".to_owned()]
        .into_iter()
        .chain((0..10).map(|n| format!("many/{n}")))
    {
        let is_told = failed.iter().any(|row| {
            let path = row["path"].as_str().unwrap();
            stage.folder.join(&name).ends_with(path) || path.ends_with(&name)
        });
        let is_there = fs::read(restored.join(&name)).ok() == fs::read(stage.folder.join(&name)).ok();
        assert!(
            is_told != is_there,
            "{name}: told {is_told}, there {is_there}: {failed:?}"
        );
    }
}

#[test]
fn any_two_of_five_may_die_of_three_copies() {
    hunt(5, "3x");
}

#[test]
fn any_two_of_seven_may_die_of_four_and_two() {
    hunt(7, "4+2");
}

#[test]
fn who_makes_room_or_leaves_lets_others_rebuild_first() {
    let mut stage = Stage::new(5, "3x", &[]);
    let holders = stage.holders_of_the_largest();
    let (evicting, leaving) = (&stage.storage[holders[0]], &stage.storage[holders[1]]);
    let kept = evicting.run(&["evict"]).rows();
    assert_eq!(kept[0]["devices"], serde_json::json!(["owner"]));
    evicting.run(&["evict", "nobody"]).refused(1, "not_found");
    let done = evicting.ask(&["evict", "owner", "--wait", "2m"]);
    assert_eq!(
        (&done["left_shards"], &done["owner"]),
        (&0.into(), &kept[0]["owner"])
    );
    assert!(done["bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(evicting.run(&["evict"]).rows(), Vec::<Value>::new());
    let left = leaving.ask(&["leave", "--wait", "2m"]);
    assert_eq!(left["left_shards"], 0);
    stage.until_survives(2);
    let number = holders[2];
    stage.lose(&[number]);
    let (restored, _) = stage.restore(0);
    assert_eq!(Tree::read(&restored), Tree::read(&stage.folder));
}

#[test]
fn what_rots_on_a_disk_is_found_and_made_anew() {
    let mut stage = Stage::new(4, "3x", &["--scrub-every", "1s"]);
    for flip in 0..3 {
        let shards = stage.shards();
        let shard = &shards[flip % shards.len()];
        let good = fs::read(&shard.path).unwrap();
        let at = good.len() / 4 * (flip + 1) + flip;
        let peer = &mut stage.storage[shard.holder];
        peer.kill();
        let file = fs::File::options().write(true).open(&shard.path).unwrap();
        file.write_all_at(&[good[at] ^ 0x20], at as u64).unwrap();
        peer.restart();
        eventually("no copy is wrong, and three are there", || {
            let copies: Vec<_> = stage
                .shards()
                .into_iter()
                .filter(|it| it.pack == shard.pack)
                .collect();
            let same = |it: &Shard| fs::read(&it.path).is_ok_and(|bytes| bytes.len() == good.len());
            let whole = copies.iter().filter(|it| same(it)).count() >= 3;
            let rotten = fs::read(&shard.path).is_ok_and(|bytes| bytes[at] != good[at]);
            (whole && !rotten).then_some(())
        });
    }
    let (restored, _) = stage.restore(0);
    assert_eq!(Tree::read(&restored), Tree::read(&stage.folder));
    let checked = stage.owner.ask(&["check", "--read-data"]);
    assert_eq!(checked["failed"], Value::Array(vec![]));
}
