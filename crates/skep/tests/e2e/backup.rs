//! Backups with real processes: made, restored after losses, recovered with the words.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Network, Peer, Tree, eventually, text, write_random};

/// An owner, and storage peers that do nothing else.
struct Stage {
    network: Network,
    owner: Peer,
    storage: Vec<Peer>,
}

impl Stage {
    fn new(storage: usize) -> Self {
        Self::with_grace(storage, "7d")
    }

    fn with_grace(storage: usize, grace: &str) -> Self {
        let network = Network::start();
        let options = ["--role", "storage", "--grace", grace];
        let storage = (0..storage)
            .map(|number| network.peer_with(&format!("storage-{number}"), &options))
            .collect();
        let owner = network.peer_with("owner", &["--role", "owner"]);
        Self {
            network,
            owner,
            storage,
        }
    }

    /// Something of everything to back up.
    fn files(&self) -> PathBuf {
        let folder = self.owner.files.join("work");
        write_random(&folder.join("big"), 3 << 20, 1);
        for number in 0..20 {
            write_random(&folder.join(format!("many/{number}")), 1000 + number * 100, 9);
        }
        fs::write(folder.join("many/empty"), "").unwrap();
        folder
    }

    /// Ends a storage peer, and its disk with it.
    fn lose(&mut self) {
        let mut lost = self.storage.remove(0);
        lost.kill();
        fs::remove_dir_all(&lost.home).unwrap();
    }
}

/// Where a folder lies beneath the target of a restore.
fn beneath(target: &Path, folder: &Path) -> PathBuf {
    let full = fs::canonicalize(folder).unwrap();
    target.join(full.strip_prefix("/").unwrap())
}

fn restore(peer: &Peer, target: &Path) -> Value {
    peer.ask(&["restore", "latest", "--to", text(target)])
}

#[test]
fn a_backup_survives_two_holders_and_the_owner() {
    let mut stage = Stage::new(5);
    let folder = stage.files();
    let done = stage.owner.ask(&["backup", text(&folder), "--redundancy", "3x"]);
    assert_eq!(done["files"], 22);
    assert_eq!(done["survives"], 2);
    assert_eq!(done["skipped"], Value::Array(vec![]));

    // Nothing has changed: nothing is sent but what says so.
    let again = stage.owner.ask(&["backup", text(&folder)]);
    assert_eq!(again["new_bytes"], 0);
    assert_eq!(stage.owner.run(&["snapshots"]).rows().len(), 2);
    let words = stage.owner.ask(&["recovery-phrase"])["phrase"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(words.split_whitespace().count(), 24);

    stage.lose();
    stage.lose();
    let target = stage.owner.files.join("restored");
    let restored = restore(&stage.owner, &target);
    assert_eq!(restored["files"], 22);
    assert_eq!(restored["failed"], Value::Array(vec![]));
    let original = Tree::read(&folder);
    assert_eq!(Tree::read(&beneath(&target, &folder)), original);

    // The owner is lost too; the words bring everything back, elsewhere.
    stage.owner.kill();
    fs::remove_dir_all(&stage.owner.home).unwrap();
    let heir = stage.network.peer_with("heir", &["--role", "owner"]);
    let wrong = write_words(&heir, "abandon ".repeat(23).as_str(), "art");
    let refused = heir.run(&["recover", "--phrase-file", text(&wrong)]);
    refused.refused(1, "unknown_owner");
    let file = write_words(&heir, &words, "");
    let recovered = heir.ask(&["recover", "--phrase-file", text(&file)]);
    assert_eq!(recovered["snapshots"], 2);
    let target = heir.files.join("restored");
    restore(&heir, &target);
    assert_eq!(Tree::read(&beneath(&target, &folder)), original);
}

fn write_words(peer: &Peer, words: &str, last: &str) -> PathBuf {
    let file = peer.files.join("words");
    fs::write(&file, format!("{words}{last}\n")).unwrap();
    file
}

#[test]
fn what_cannot_be_planned_read_or_found_is_told() {
    let stage = Stage::new(1);
    stage.owner.run(&["snapshots"]).refused(1, "no_backups");
    let folder = stage.files();
    stage
        .owner
        .run(&["backup", text(&folder), "--redundancy", "3x"])
        .refused(1, "denied");
    stage
        .owner
        .run(&["backup", text(&folder), "--redundancy", "much"])
        .refused(2, "usage");
    stage.owner.run(&["backup", "/no/such/path"]).refused(2, "usage");
    // A single copy is said to be one.
    symlink("nowhere", folder.join(".link")).unwrap();
    let done = stage.owner.ask(&["backup", text(&folder)]);
    assert_eq!(
        (&done["fragile"], &done["survives"]),
        (&Value::Bool(true), &Value::from(0))
    );
    stage
        .owner
        .run(&["restore", "0123456789"])
        .refused(1, "not_found");
    let checked = stage.owner.ask(&["check", "--read-data"]);
    assert_eq!(checked["failed"], Value::Array(vec![]));
    let drill = stage.owner.ask(&["restore", "latest", "--verify"]);
    assert_eq!(drill["files"], 22);
}

#[test]
fn snapshots_are_looked_into_compared_and_forgotten() {
    let stage = Stage::new(2);
    let folder = stage.files();
    let first = stage.owner.ask(&["backup", text(&folder)]);
    let full = fs::canonicalize(&folder).unwrap();
    let path = |name: &str| text(&full.join(name)).to_owned();
    fs::write(folder.join("many/empty"), "not any more").unwrap();
    fs::remove_file(folder.join("many/7")).unwrap();
    fs::write(folder.join("new"), "new").unwrap();
    stage.owner.ask(&["backup", text(&folder)]);

    let first = first["snapshot"].as_str().unwrap();
    let rows = stage.owner.run(&["diff", first, "latest"]).rows();
    let told: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["change"].as_str().unwrap(), row["path"].as_str().unwrap()))
        .collect();
    let (gone, changed, new) = (path("many/7"), path("many/empty"), path("new"));
    assert_eq!(
        told,
        [("removed", gone.as_str()), ("changed", &changed), ("added", &new)]
    );
    let listed = stage
        .owner
        .run(&["ls-snapshot", first, "--path", &path("many")])
        .rows();
    assert_eq!(listed.len(), 22, "the folder and 21 files: {listed:?}");
    let cat = stage.owner.run(&["cat", &format!("latest:{changed}")]);
    assert_eq!((cat.code, cat.stdout.trim()), (Some(0), "not any more"));

    stage.owner.run(&["forget"]).refused(2, "usage");
    let would = stage.owner.ask(&["forget", "--keep-last", "1", "--dry-run"]);
    assert_eq!(would["forgotten"], serde_json::json!([first]));
    assert_eq!(stage.owner.run(&["snapshots"]).rows().len(), 2);
    stage.owner.ask(&["forget", "--keep-last", "1"]);
    assert_eq!(stage.owner.run(&["snapshots"]).rows().len(), 1);
    stage.owner.run(&["ls-snapshot", first]).refused(1, "not_found");
    let drill = stage.owner.ask(&["restore", "latest", "--verify"]);
    assert_eq!(drill["failed"], Value::Array(vec![]));
}

/// All files that a storage peer keeps of others: shards, and what owners said.
fn kept(holder: &Peer) -> impl Iterator<Item = PathBuf> {
    let owners = fs::read_dir(holder.home.join("shards")).unwrap();
    let files = owners.flat_map(|owner| fs::read_dir(owner.unwrap().path()).into_iter().flatten());
    files.map(|file| file.unwrap().path())
}

fn is_shard(file: &Path) -> bool {
    let number = file.extension().and_then(|number| number.to_str());
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

/// The shards in the home of a storage peer.
fn shards(holder: &Peer) -> Vec<PathBuf> {
    kept(holder).filter(|file| is_shard(file)).collect()
}

/// The one with most of the data.
fn largest(holder: &Peer) -> PathBuf {
    let bytes = |file: &PathBuf| fs::metadata(file).unwrap().len();
    shards(holder).into_iter().max_by_key(bytes).unwrap()
}

fn stored_bytes(stage: &Stage) -> u64 {
    let sizes = stage.storage.iter().flat_map(shards);
    sizes
        .map(|file| fs::metadata(file).map_or(0, |meta| meta.len()))
        .sum()
}

#[test]
fn what_no_snapshot_needs_is_freed_and_nothing_else() {
    let stage = Stage::with_grace(3, "1s");
    let folder = stage.files();
    stage.owner.ask(&["backup", text(&folder), "--redundancy", "3x"]);
    // Most of the first pack is needed no more.
    fs::remove_file(folder.join("big")).unwrap();
    stage.owner.ask(&["backup", text(&folder)]);
    let nothing = stage.owner.ask(&["prune", "--dry-run"]);
    assert_eq!(
        (&nothing["packs"], &nothing["repacked_bytes"]),
        (&0.into(), &0.into())
    );
    stage.owner.ask(&["forget", "--keep-last", "1"]);
    let would = stage.owner.ask(&["prune", "--dry-run"]);
    let before = stored_bytes(&stage);
    let done = stage.owner.ask(&["prune"]);
    for what in ["packs", "freed_bytes", "repacked_bytes", "kept"] {
        assert_eq!(would[what], done[what], "{what}");
    }
    let freed = done["freed_bytes"].as_u64().unwrap();
    assert!(freed > 9 << 20, "three copies of 3 MiB: {freed}");
    assert!(done["repacked_bytes"].as_u64().unwrap() < 1 << 20);
    eventually("the space is free", || {
        let left = stored_bytes(&stage);
        (left + freed < before + (1 << 20)).then_some(())
    });
    let checked = stage.owner.ask(&["check", "--read-data"]);
    assert_eq!(
        (&checked["failed"], &checked["survives"]),
        (&Value::Array(vec![]), &2.into())
    );
    let drill = stage.owner.ask(&["restore", "latest", "--verify"]);
    assert_eq!(
        (&drill["files"], &drill["failed"]),
        (&21.into(), &Value::Array(vec![]))
    );
    assert_eq!(
        stage.owner.ask(&["prune"])["packs"],
        0,
        "everything else is needed"
    );
    // The next backup finds everything where it is now.
    assert_eq!(stage.owner.ask(&["backup", text(&folder)])["new_bytes"], 0);
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_damaged_at_holders_is_found_named_and_repaired() {
    for scheme in ["3x", "2+1"] {
        let stage = Stage::new(3);
        let folder = stage.files();
        stage
            .owner
            .ask(&["backup", text(&folder), "--redundancy", scheme]);
        // Of another pack at each holder: a byte of the shard, one of the record behind it, and the file.
        let [first, second, third] = [0, 1, 2].map(|n| {
            let mut all = shards(&stage.storage[n]);
            all.sort();
            all.remove(n)
        });
        flip(&first, 60);
        flip(&second, fs::read(&second).unwrap().len() - 20);
        fs::remove_file(&third).unwrap();
        let found = stage.owner.ask(&["check", "--read-data"]);
        let damaged = found["damaged"].as_array().unwrap();
        assert_eq!(damaged.len(), 3, "{scheme}: {found}");
        let mut holders: Vec<&str> = damaged.iter().map(|it| it["holder"].as_str().unwrap()).collect();
        holders.sort_unstable();
        assert_eq!(holders, ["storage-0", "storage-1", "storage-2"]);
        assert!(
            damaged.iter().all(|it| it["repaired"] == true),
            "{scheme}: {found}"
        );
        assert_eq!(found["failed"], Value::Array(vec![]));
        let again = stage.owner.ask(&["check", "--read-data"]);
        assert_eq!(
            (&again["damaged"], &again["failed"]),
            (&Value::Array(vec![]), &Value::Array(vec![]))
        );
    }
}

/// How many bytes are flipped: 2,000 with `SKEP_HUNT=all`.
fn flips() -> u64 {
    std::env::var_os("SKEP_HUNT").map_or(12, |_| 2000)
}

#[test]
fn every_flipped_byte_of_a_holder_is_refused_found_and_mended() {
    let stage = Stage::new(3);
    let folder = stage.owner.files.join("small");
    for number in 0..4 {
        write_random(&folder.join(number.to_string()), 3000, number);
    }
    stage.owner.ask(&["backup", text(&folder), "--redundancy", "2+1"]);
    let mut files: Vec<(PathBuf, Vec<u8>)> = kept(&stage.storage[0])
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    files.sort();
    let papers = files.iter().filter(|(file, _)| !is_shard(file)).count();
    assert_eq!(papers, 4, "roster, head, list and docket");
    for turn in 0..flips() {
        // Of one file after the other, and spread evenly over each, whatever the number.
        let (file, good) = &files[usize::try_from(turn).unwrap() % files.len()];
        let bytes = good.len() as u64;
        let at = usize::try_from(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % bytes).unwrap();
        flip(file, at);
        let told = format!("byte {at} of {}", file.display());
        let drill = stage.owner.ask(&["restore", "latest", "--verify"]);
        assert_eq!(
            (&drill["files"], &drill["failed"]),
            (&4.into(), &Value::Array(vec![])),
            "{told}"
        );
        // The holder may have noticed it when it was read, given it up, and rebuilt it by now.
        let found = stage.owner.ask(&["check", "--read-data"]);
        let damaged = found["damaged"].as_array().unwrap();
        let papers = found["papers"].as_array().unwrap();
        assert_eq!(papers.len(), usize::from(!is_shard(file)), "{told}: {found}");
        let mut all = damaged.iter().chain(papers);
        assert!(all.all(|it| it["repaired"] == true), "{told}: {found}");
        assert_eq!(
            (&found["failed"], &found["survives"]),
            (&Value::Array(vec![]), &1.into()),
            "{told}: {found}"
        );
        assert_eq!(&fs::read(file).unwrap(), good, "{told}");
    }
}

#[test]
fn what_is_lost_is_named_with_its_snapshot_and_file() {
    let stage = Stage::new(2);
    let folder = stage.files();
    let done = stage.owner.ask(&["backup", text(&folder), "--redundancy", "2x"]);
    for holder in &stage.storage {
        flip(&largest(holder), 2 << 20);
    }
    let found = stage.owner.run(&["check", "--read-data"]);
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    let found: Value = serde_json::from_str(found.stdout.lines().last().unwrap()).unwrap();
    let big = format!(
        "{}:{}",
        &done["snapshot"].as_str().unwrap()[..8],
        text(&fs::canonicalize(folder.join("big")).unwrap())
    );
    let failed = found["failed"].as_array().unwrap();
    assert!(failed.iter().any(|it| it["path"] == big.as_str()), "{found}");
}
