//! An owner of backups, told as simply as possible: what lies in its folder, and of which states of it there must be
//! snapshots.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
use skep_world::simulated::Disk;

/// What is backed up.
pub(crate) const WORK: &str = "/work";
/// Where everything is restored, each time to a folder of its own.
const RESTORED: &str = "/restored";
/// Files in the folder, at most.
const FILES: u32 = 12;
const LARGEST_FILE: usize = 300_000;

/// Files by their absolute paths.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is known of one owner from outside.
#[derive(Default)]
pub(crate) struct Owner {
    now: Files,
    /// All states of which there may be a snapshot, by its id.
    snapshots: BTreeMap<String, Snapshot>,
    /// In which life of the machine something of it is under way: one thing at a time.
    pub(crate) busy: Option<u64>,
    restores: Vec<Restore>,
}

/// A snapshot that was acknowledged.
struct Snapshot {
    files: Files,
    state: State,
    /// It was said that holders may vanish.
    has_spare: bool,
}

/// Whether a snapshot must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Promised,
    /// Somebody is asked which to forget, and has not answered.
    Asked,
    /// It was forgotten, or may be: who was asked never answered.
    Forgotten,
}

/// Something that is restored.
struct Restore {
    target: PathBuf,
    snapshot: String,
    is_done: bool,
}

impl Owner {
    /// Changes some files, as a person would while no backup runs.
    pub(crate) fn change(&mut self, disk: &Disk, seed: u64) -> std::io::Result<()> {
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..rng.random_range(1..4) {
            let number = rng.random_range(0..FILES);
            let path = Path::new(WORK).join(format!("{}/{number}", number % 3));
            let mut bytes = vec![0; rng.random_range(0..LARGEST_FILE)];
            rng.fill_bytes(&mut bytes);
            disk.write(&path, &bytes)?;
            self.now.insert(path, bytes);
        }
        Ok(())
    }

    /// There is a snapshot of what lies there now.
    pub(crate) fn made(&mut self, id: String, survives: u32) {
        let snapshot = Snapshot {
            files: self.now.clone(),
            state: State::Promised,
            has_spare: survives > 0,
        };
        self.snapshots.insert(id, snapshot);
    }

    /// Somebody is asked to forget some: until there is an answer, none is promised.
    pub(crate) fn forgetting(&mut self) {
        for snapshot in self.snapshots.values_mut() {
            snapshot.state = match snapshot.state {
                State::Promised => State::Asked,
                State::Asked | State::Forgotten => State::Forgotten,
            };
        }
    }

    /// The answer: these are forgotten.
    pub(crate) fn forgot(&mut self, ids: &[String]) {
        for (id, snapshot) in &mut self.snapshots {
            snapshot.state = match snapshot.state {
                State::Asked if !ids.contains(id) => State::Promised,
                State::Asked | State::Forgotten => State::Forgotten,
                State::Promised => State::Promised,
            };
        }
    }

    /// All that must be there; if somebody `lost` what it keeps, only what was said to survive that.
    pub(crate) fn promised(&self, lost: bool) -> Vec<String> {
        let kept = |it: &Snapshot| it.state == State::Promised && (it.has_spare || !lost);
        let promised = self.snapshots.iter().filter(|(_, it)| kept(it));
        promised.map(|(id, _)| id.clone()).collect()
    }

    /// Where a snapshot is restored to, beginning now.
    pub(crate) fn restoring(&mut self, snapshot: String) -> PathBuf {
        let target = Path::new(RESTORED).join(self.restores.len().to_string());
        self.restores.push(Restore {
            target: target.clone(),
            snapshot,
            is_done: false,
        });
        target
    }

    /// All of it was restored there.
    pub(crate) fn restored(&mut self, target: &Path) {
        let restores = self.restores.iter_mut();
        restores
            .filter(|it| it.target == target)
            .for_each(|it| it.is_done = true);
    }

    /// Whatever was restored has the bytes of its snapshot, and what was acknowledged is there.
    pub(crate) fn judge_restores(&self, disk: &Disk) -> Result<(), String> {
        self.restores.iter().try_for_each(|it| self.judge(it, disk))
    }

    fn judge(&self, restore: &Restore, disk: &Disk) -> Result<(), String> {
        let Some(snapshot) = self.snapshots.get(&restore.snapshot) else {
            return Ok(());
        };
        for (path, bytes) in &snapshot.files {
            let name = path.strip_prefix("/").unwrap_or(path);
            match disk.read(&restore.target.join(name)) {
                Ok(read) if read == *bytes => {}
                Ok(_) => return Err(format!("{} is restored with other bytes", path.display())),
                Err(_) if !restore.is_done => {}
                Err(e) => return Err(format!("{} was restored and is lost: {e}", path.display())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_not_promised_and_what_is_fragile_only_while_nobody_loses_anything() {
        let (mut owner, disk) = (Owner::default(), Disk::new());
        owner.change(&disk, 1).unwrap();
        owner.made("a".to_owned(), 0);
        owner.made("b".to_owned(), 1);
        assert_eq!(owner.promised(false), ["a", "b"]);
        assert_eq!(owner.promised(true), ["b"]);
        owner.forgetting();
        assert!(owner.promised(false).is_empty());
        owner.forgot(&["b".to_owned()]);
        assert_eq!(owner.promised(false), ["a"]);
        owner.forgetting();
        owner.forgot(&[]);
        assert_eq!(owner.promised(false), ["a"], "what was forgotten stays so");
        owner.forgetting();
        owner.forgetting();
        owner.forgot(&[]);
        assert!(
            owner.promised(false).is_empty(),
            "nobody knows what the first of the two did"
        );
    }

    #[test]
    fn restores_are_judged() {
        let (mut owner, disk) = (Owner::default(), Disk::new());
        owner.change(&disk, 1).unwrap();
        owner.made("a".to_owned(), 0);
        let target = owner.restoring("a".to_owned());
        assert_eq!(owner.judge_restores(&disk), Ok(()), "nothing is there yet");
        owner.restored(&target);
        assert!(owner.judge_restores(&disk).is_err());
        for (path, bytes) in &owner.now {
            let name = path.strip_prefix("/").unwrap();
            disk.write(&target.join(name), bytes).unwrap();
        }
        assert_eq!(owner.judge_restores(&disk), Ok(()));
        let first = owner.now.keys().next().unwrap().strip_prefix("/").unwrap();
        disk.write(&target.join(first), b"other").unwrap();
        assert!(owner.judge_restores(&disk).is_err());
    }
}
