//! Mixed work in rounds: in each, several people do something at the same time.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::Value;

use super::colony::Colony;
use crate::{
    Outcome,
    chaos::{
        program::Program,
        promises::{Tree, beneath},
    },
};

/// Shares that there are at a time.
const SHARES: usize = 40;
/// Peers that back up.
const OWNERS: usize = 4;
/// Snapshots that an owner keeps.
const KEPT: usize = 3;
const LARGEST_SHARE: usize = 6_000_000;
const LARGEST_FILE: usize = 400_000;
/// Files in the folder of an owner, at most.
const FILES: u32 = 20;

/// Everything that is promised, and how much was done.
pub(super) struct Work {
    rng: SmallRng,
    /// Shares: who publishes, and the file.
    shares: BTreeMap<String, (usize, PathBuf)>,
    /// Of each owner: its snapshots, oldest first.
    snapshots: BTreeMap<usize, Vec<(String, Tree)>>,
    /// The last share: it may be under way still.
    newest: String,
    number: u32,
    counts: BTreeMap<&'static str, u32>,
}

/// A command that runs, and what is to be seen when it has ended.
struct Running {
    what: &'static str,
    peer: usize,
    program: Program,
    expected: Expected,
}

enum Expected {
    Nothing,
    /// This file is a copy of that one; it is removed then.
    Copy(PathBuf, PathBuf),
    /// A snapshot of the owner.
    Snapshot(usize, Tree),
    /// This folder, restored, is this; it is removed then.
    Restored(PathBuf, PathBuf, Tree),
}

impl Work {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            shares: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            newest: String::new(),
            number: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Some work at the same time, while somebody may come or go.
    pub(super) fn round(&mut self, colony: &mut Colony) -> Outcome {
        let steady = colony.len() / 2;
        let owner = self.rng.random_range(0..OWNERS.min(steady));
        let publisher = self.rng.random_range(0..steady);
        let mut running = vec![self.share(colony, publisher)?];
        running.extend(self.care(colony, owner)?);
        for _ in 0..3 {
            let getter = self.rng.random_range(0..colony.len());
            running.extend(self.get(colony, getter)?);
        }
        if self.rng.random_bool(0.5) {
            let mover = self.rng.random_range(steady..colony.len());
            self.come_or_go(colony, mover)?;
        }
        for running in running {
            self.finish(colony, running)?;
        }
        Ok(())
    }

    /// Everything that is promised is had once more. Returns how much that was.
    pub(super) fn verify_all(&mut self, colony: &mut Colony) -> Outcome<String> {
        for peer in 0..colony.len() {
            if !colony.is_up(peer) {
                colony.open(peer)?;
            }
        }
        for name in self.shares.keys().cloned().collect::<Vec<_>>() {
            let (publisher, original) = self.shares[&name].clone();
            let getter = (publisher + 1) % colony.len();
            let get = self.get_share(colony, getter, &name, original)?;
            self.finish(colony, get)?;
        }
        let mut snapshots = 0;
        for owner in self.snapshots.keys().copied().collect::<Vec<_>>() {
            for (id, tree) in self.snapshots[&owner].clone() {
                let restore = self.restore(colony, owner, &id, tree)?;
                self.finish(colony, restore)?;
                snapshots += 1;
            }
            let checked = colony.ask(owner, &["check", "--read-data"])?;
            if !checked["failed"].as_array().is_some_and(Vec::is_empty) {
                return Err(format!("a check of peer {owner} finds {checked}").into());
            }
        }
        Ok(format!("{} shares, {snapshots} snapshots", self.shares.len()))
    }

    /// How often what was done.
    pub(super) fn told(&self) -> String {
        let told = self.counts.iter().map(|(what, count)| format!("{count} {what}"));
        told.collect::<Vec<_>>().join(", ")
    }

    fn share(&mut self, colony: &mut Colony, peer: usize) -> Outcome<Running> {
        let name = format!("share-{}", self.next());
        let file = colony.path("shared").join(&name);
        self.write_random(&file, LARGEST_SHARE)?;
        if self.shares.len() >= SHARES
            && let Some((oldest, (publisher, file))) = self.shares.pop_first()
        {
            colony.ask(publisher, &["unshare", &oldest])?;
            fs::remove_file(file)?;
        }
        let words = ["share", &text(&file), "--name", &name];
        let program = colony.start(peer, &words)?;
        self.newest = name.clone();
        self.shares.insert(name, (peer, file));
        Ok(Running {
            what: "shares",
            peer,
            program,
            expected: Expected::Nothing,
        })
    }

    /// A share of an earlier round; the newest may not be there yet.
    fn get(&mut self, colony: &mut Colony, peer: usize) -> Outcome<Option<Running>> {
        let newest = &self.newest;
        let names: Vec<String> = self
            .shares
            .keys()
            .filter(|name| *name != newest)
            .cloned()
            .collect();
        let Some(name) = names.choose(&mut self.rng) else {
            return Ok(None);
        };
        let (publisher, original) = self.shares[name].clone();
        if publisher == peer || !colony.is_up(peer) {
            return Ok(None);
        }
        self.get_share(colony, peer, name, original).map(Some)
    }

    fn get_share(
        &mut self,
        colony: &mut Colony,
        peer: usize,
        name: &str,
        original: PathBuf,
    ) -> Outcome<Running> {
        let target = colony.path(format!("copy-{}", self.next()));
        let words = ["get", name, "-o", &text(&target)];
        let program = colony.start(peer, &words)?;
        Ok(Running {
            what: "downloads",
            peer,
            program,
            expected: Expected::Copy(target, original),
        })
    }

    /// An owner backs up, restores, or lets old snapshots go and frees their space.
    fn care(&mut self, colony: &mut Colony, owner: usize) -> Outcome<Option<Running>> {
        let made = self.snapshots.get(&owner).map_or(0, Vec::len);
        let newest = self.snapshots.get(&owner).and_then(|all| all.last()).cloned();
        match (newest, self.rng.random_range(0..3)) {
            (Some((id, tree)), 0) => self.restore(colony, owner, &id, tree).map(Some),
            _ if made > KEPT => self.thin_out(colony, owner).map(Some),
            _ => self.back_up(colony, owner).map(Some),
        }
    }

    fn back_up(&mut self, colony: &mut Colony, owner: usize) -> Outcome<Running> {
        let folder = colony.path(format!("work-{owner}"));
        for _ in 0..4 {
            let file = folder.join(self.rng.random_range(0..FILES).to_string());
            self.write_random(&file, LARGEST_FILE)?;
        }
        let program = colony.start(owner, &["backup", &text(&folder)])?;
        Ok(Running {
            what: "backups",
            peer: owner,
            program,
            expected: Expected::Snapshot(owner, Tree::read(&folder)?),
        })
    }

    fn restore(&mut self, colony: &mut Colony, owner: usize, id: &str, tree: Tree) -> Outcome<Running> {
        let target = colony.path(format!("restored-{}", self.next()));
        let words = ["restore", id, "--to", &text(&target)];
        let program = colony.start(owner, &words)?;
        let folder = beneath(&target, &colony.path(format!("work-{owner}")));
        Ok(Running {
            what: "restores",
            peer: owner,
            program,
            expected: Expected::Restored(target, folder, tree),
        })
    }

    fn thin_out(&mut self, colony: &mut Colony, owner: usize) -> Outcome<Running> {
        colony.ask(owner, &["forget", "--keep-last", &KEPT.to_string()])?;
        if let Some(all) = self.snapshots.get_mut(&owner) {
            all.drain(..all.len().saturating_sub(KEPT));
        }
        Ok(Running {
            what: "prunes",
            peer: owner,
            program: colony.start(owner, &["prune"])?,
            expected: Expected::Nothing,
        })
    }

    fn come_or_go(&mut self, colony: &mut Colony, peer: usize) -> Outcome {
        let away: Vec<usize> = (0..colony.len()).filter(|peer| !colony.is_up(*peer)).collect();
        // Backups outlive two that are away, and with fewer peers one.
        let too_many = away.len() >= (colony.len() / 6).clamp(1, 2);
        let (what, done) = match away.first() {
            Some(first) if too_many || away.contains(&peer) => ("returns", colony.open(*first)),
            _ => ("goes", colony.close(peer, self.rng.random_bool(0.5))),
        };
        *self.counts.entry(what).or_default() += 1;
        done
    }

    /// Waits for a command, and looks whether it did what it says. What a peer that went away was to do is not done.
    fn finish(&mut self, colony: &Colony, mut running: Running) -> Outcome {
        let what = running.what;
        let done = match running.program.finish() {
            Ok(done) => done,
            Err(_) if !colony.is_up(running.peer) => {
                *self.counts.entry("of who went").or_default() += 1;
                return Ok(());
            }
            Err(error) => return Err(format!("one of the {what} failed: {error}").into()),
        };
        *self.counts.entry(what).or_default() += 1;
        match running.expected {
            Expected::Nothing => Ok(()),
            Expected::Copy(copy, original) => {
                Tree::read(&original)?.expect_same(&Tree::read(&copy)?)?;
                Ok(fs::remove_file(copy)?)
            }
            Expected::Snapshot(owner, tree) => self.made(owner, &done, tree),
            Expected::Restored(target, folder, tree) => {
                tree.expect_same(&Tree::read(&folder)?)?;
                Ok(fs::remove_dir_all(target)?)
            }
        }
    }

    fn made(&mut self, owner: usize, done: &Value, tree: Tree) -> Outcome {
        let id = done["snapshot"].as_str().ok_or("a backup named no snapshot")?;
        let all = self.snapshots.entry(owner).or_default();
        all.push((id.to_owned(), tree));
        Ok(())
    }

    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn write_random(&mut self, file: &Path, largest: usize) -> Outcome {
        let mut bytes = vec![0; self.rng.random_range(1..largest)];
        self.rng.fill_bytes(&mut bytes);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        Ok(fs::write(file, bytes)?)
    }
}

/// A path as an argument; ours are plain.
fn text(path: &Path) -> String {
    path.display().to_string()
}
