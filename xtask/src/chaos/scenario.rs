//! What people do while something breaks: one row per deed and per process that is struck.

mod care;

use std::{fs, path::PathBuf};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use serde_json::Value;

use super::{
    promises::{Promises, Tree, beneath, work},
    town::{COORDINATOR, HOLDERS, OWNER, Town},
    tracer::Plan,
};
use crate::Outcome;

/// A peer that is new in each round.
const GUEST: &str = "guest";
const SMALL_FILES: u32 = 10;
const SMALL_BYTES: usize = 9_000;
const LARGE_BYTES: usize = 1_300_000;

/// A row of the table.
pub(super) struct Scenario {
    /// What is done.
    pub(super) name: &'static str,
    /// To whom it happens.
    pub(super) struck: &'static str,
    pub(super) deed: Deed,
}

/// Something that is done, can be interrupted, and is then done again.
pub(super) struct Deed {
    /// Before anything breaks.
    pub(super) prepare: fn(&mut Scene) -> Outcome,
    /// What is interrupted. A process that starts is started with the plan.
    pub(super) act: fn(&mut Scene, Option<&Plan>) -> Outcome<Value>,
    /// It was acknowledged: from now on it is a promise.
    pub(super) settle: fn(&mut Scene, &Value) -> Outcome,
    /// Whether the one that is struck is only started by it.
    pub(super) starts: bool,
    /// The copy that it makes, and what it is a copy of.
    pub(super) copy: Option<FindCopy>,
}

/// Where a copy lies, and what belongs there.
type FindCopy = fn(&Scene) -> Outcome<(PathBuf, Tree)>;

/// A town, what was promised in it, and what is going on.
pub(super) struct Scene {
    pub(super) town: Town,
    pub(super) promises: Promises,
    /// Counts what was played here.
    pub(super) round: u32,
    /// Who is struck in this round.
    pub(super) struck: String,
}

const SHARE: Deed = Deed {
    prepare: |scene| write_random(&scene.source(), LARGE_BYTES / 4, scene.round),
    act: |scene, _| {
        scene
            .town
            .ask(OWNER, &["share", &text(&scene.source()), "--name", &scene.name()])
    },
    settle: |scene, _| {
        let share = (scene.name(), scene.source());
        scene.promises.shares.push(share);
        Ok(())
    },
    starts: false,
    copy: None,
};

const GET: Deed = Deed {
    prepare: |scene| {
        write_random(&scene.source(), 3 * LARGE_BYTES, scene.round)?;
        let done = (SHARE.act)(scene, None)?;
        (SHARE.settle)(scene, &done)
    },
    act: |scene, _| {
        let target = scene.target()?;
        scene
            .town
            .ask(HOLDERS[0], &["get", &scene.name(), "-o", &text(&target)])
    },
    settle: |_, _| Ok(()),
    starts: false,
    copy: Some(|scene| Ok((scene.target()?, Tree::read(&scene.source())?))),
};

const BACKUP: Deed = Deed {
    prepare: change_work,
    act: |scene, _| {
        let work = text(&work(&scene.town));
        scene.town.ask(OWNER, &["backup", &work, "--redundancy", "2x"])
    },
    settle: |scene, done| {
        let id = done["snapshot"]
            .as_str()
            .ok_or("backup named no snapshot")?
            .to_owned();
        scene
            .promises
            .snapshots
            .push((id, Tree::read(&work(&scene.town))?));
        Ok(())
    },
    starts: false,
    copy: None,
};

const RESTORE: Deed = Deed {
    prepare: make_snapshot,
    act: |scene, _| {
        let target = text(&scene.target()?);
        let (id, _) = scene.newest()?;
        scene.town.ask(OWNER, &["restore", id, "--to", &target])
    },
    settle: |_, _| Ok(()),
    starts: false,
    copy: Some(|scene| {
        let copy = beneath(&scene.target()?, &work(&scene.town));
        Ok((copy, scene.newest()?.1.clone()))
    }),
};

const RECOVER: Deed = Deed {
    prepare: |scene| {
        make_snapshot(scene)?;
        let told = scene.town.ask(OWNER, &["recovery-phrase"])?;
        fs::write(
            scene.town.path("words"),
            told["phrase"].as_str().unwrap_or_default(),
        )?;
        (JOIN.prepare)(scene)?;
        (JOIN.act)(scene, None).map(drop)
    },
    act: |scene, _| {
        let words = text(&scene.town.path("words"));
        scene
            .town
            .ask(&scene.guest(), &["recover", "--phrase-file", &words])
    },
    settle: |scene, _| {
        let rows = scene.town.list(&scene.guest(), &["snapshots"])?;
        let (id, _) = scene.newest()?;
        match rows.iter().any(|row| row["id"] == **id) {
            true => Ok(()),
            false => Err("LOST: who recovered does not see the newest snapshot".into()),
        }
    },
    starts: false,
    copy: None,
};

const JOIN: Deed = Deed {
    prepare: |scene| scene.town.invite(&scene.guest()).map(drop),
    act: |scene, plan| {
        let (guest, ticket) = (
            scene.guest(),
            scene.town.path(format!("{}.ticket", scene.guest())),
        );
        scene.town.join(&guest, "owner", &ticket, plan)
    },
    settle: |scene, _| {
        let guest = scene.guest();
        scene.promises.members.push(guest);
        Ok(())
    },
    starts: true,
    copy: None,
};

/// The same, where somebody else is struck.
const WELCOME: Deed = Deed {
    starts: false,
    ..JOIN
};

/// Recovery after a kill in the middle of a backup, and a kill in the middle of that.
const REOPEN: Deed = Deed {
    prepare: |scene| {
        change_work(scene)?;
        let work = text(&work(&scene.town));
        let mut backup = scene.town.run(OWNER, &["backup", &work, "--redundancy", "2x"])?;
        backup.wait_event("progress")?;
        scene.town.kill(&scene.struck)
    },
    act: |scene, plan| scene.town.open(&scene.struck, plan),
    settle: |_, _| Ok(()),
    starts: true,
    copy: None,
};

macro_rules! table {
    ($($name:literal by $struck:expr => $deed:expr,)*) => {
        &[$(Scenario { name: $name, struck: $struck, deed: $deed }),*]
    };
}

/// All of them.
pub(super) const ALL: &[Scenario] = table! {
    "share" by OWNER => SHARE,
    "share" by COORDINATOR => SHARE,
    "get" by HOLDERS[0] => GET,
    "get" by OWNER => GET,
    "get" by COORDINATOR => GET,
    "backup" by OWNER => BACKUP,
    "backup" by HOLDERS[0] => BACKUP,
    "backup" by COORDINATOR => BACKUP,
    "restore" by OWNER => RESTORE,
    "restore" by HOLDERS[0] => RESTORE,
    "recover" by GUEST => RECOVER,
    "recover" by COORDINATOR => RECOVER,
    "join" by GUEST => JOIN,
    "join" by COORDINATOR => WELCOME,
    "reopen" by OWNER => REOPEN,
    "reopen" by HOLDERS[0] => REOPEN,
    "reopen" by COORDINATOR => REOPEN,
    "forget" by OWNER => care::FORGET,
    "forget" by COORDINATOR => care::FORGET,
    "prune" by OWNER => care::PRUNE,
    "prune" by HOLDERS[0] => care::PRUNE,
    "prune" by COORDINATOR => care::PRUNE,
    "prune-reopen" by OWNER => care::PRUNE_REOPEN,
    "prune-reopen" by COORDINATOR => care::PRUNE_REOPEN,
    "check" by OWNER => care::CHECK,
    "check" by HOLDERS[0] => care::CHECK,
    "rebuild" by HOLDERS[1] => care::REBUILD,
    "rebuild" by HOLDERS[2] => care::REBUILD,
    "rebuild" by COORDINATOR => care::REBUILD,
};

impl Scenario {
    /// What kind of process is struck: owner, holder, coordinator or guest.
    pub(super) fn strikes(&self) -> &'static str {
        self.struck
            .trim_end_matches(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// As `--only` and the table name it.
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.name, self.struck.trim_end_matches("-1"))
    }
}

impl Scene {
    /// Nothing promised yet.
    pub(super) fn new(town: Town) -> Self {
        Self {
            town,
            promises: Promises::default(),
            round: 0,
            struck: String::new(),
        }
    }

    /// The next round begins.
    pub(super) fn begin(&mut self, scenario: &Scenario) {
        self.round += 1;
        self.struck = match scenario.struck {
            GUEST => self.guest(),
            name => name.to_owned(),
        };
    }

    /// Who is new in this round.
    pub(super) fn guest(&self) -> String {
        format!("{GUEST}-{}", self.round)
    }

    fn name(&self) -> String {
        format!("share-{}", self.round)
    }

    fn source(&self) -> PathBuf {
        self.town.path("shared").join(self.name())
    }

    fn target(&self) -> Outcome<PathBuf> {
        let folder = self.town.path("copies");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(self.round.to_string()))
    }

    fn newest(&self) -> Outcome<&(String, Tree)> {
        Ok(self.promises.snapshots.last().ok_or("there is no snapshot yet")?)
    }
}

/// A file more, and one that is not as it was.
fn change_work(scene: &mut Scene) -> Outcome {
    let folder = work(&scene.town);
    if !folder.exists() {
        write_random(&folder.join("large"), LARGE_BYTES, 0)?;
        for number in 0..SMALL_FILES {
            write_random(&folder.join(format!("small/{number}")), SMALL_BYTES, number)?;
        }
    }
    let changed = folder.join(format!("small/{}", scene.round % SMALL_FILES));
    write_random(&changed, SMALL_BYTES, 1000 + scene.round)?;
    let new = folder.join(format!("new-{}", scene.round));
    write_random(&new, SMALL_BYTES * 5, 2000 + scene.round)
}

/// Where there is no snapshot to be had back yet.
fn make_snapshot(scene: &mut Scene) -> Outcome {
    if scene.newest().is_ok() {
        return Ok(());
    }
    (BACKUP.prepare)(scene)?;
    let done = (BACKUP.act)(scene, None)?;
    (BACKUP.settle)(scene, &done)
}

fn write_random(path: &std::path::Path, bytes: usize, seed: u32) -> Outcome {
    let mut all = vec![0; bytes];
    SmallRng::seed_from_u64(seed.into()).fill_bytes(&mut all);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(fs::write(path, &all)?)
}

/// A path as an argument; ours are plain.
fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}
