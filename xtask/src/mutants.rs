//! `cargo xtask mutants`: are wrong programs found by the tests?
//!
//! `cargo-mutants` lists what may be changed in the crates that decide and verify. A seed draws from that list, each
//! change is made in a clone of the checkout (of what is committed), and the tests of its crate run. A change that
//! they do not notice is printed: look at each, and write the test that was missing.

use std::{fs, path::PathBuf, process::Command};

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

use crate::{Outcome, interrupt, workspace};

/// What is changed: all of the pure crates, and how the store verifies.
const FILES: [&str; 10] = [
    "crates/wire/src/**/*.rs",
    "crates/engine/src/**/*.rs",
    "crates/vault/src/**/*.rs",
    "crates/store/src/hashing.rs",
    "crates/store/src/inventory.rs",
    "crates/store/src/outlines.rs",
    "crates/store/src/partial/*.rs",
    "crates/store/src/shards.rs",
    "crates/store/src/shards/*.rs",
    "crates/store/src/source.rs",
];
/// Drawn and run at a time: each batch is as fair a sample as all of them.
const BATCH: usize = 20;
/// At least so many of a hundred must be found.
const WANTED_PERCENT: usize = 85;

/// What a compiler or a test may have of memory, each.
const MEMORY_BYTES: u64 = 6 << 30;

/// Change the program in small ways, and see whether its tests notice.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many changes to try
    #[arg(long, default_value_t = 200)]
    points: usize,
    /// What they are drawn by
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pass over so many that were drawn first: an earlier run had them
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Seconds that the tests of a crate may take
    #[arg(long, default_value_t = 300)]
    timeout: u32,
}

/// What became of the changes, by name.
#[derive(Default)]
struct Tally {
    caught: usize,
    /// The tests did not end: most likely they never would.
    endless: usize,
    unviable: usize,
    missed: Vec<String>,
}

/// Draws, tries, and prints those that live.
pub(crate) fn run(args: &Args) -> Outcome {
    interrupt::listen()?;
    if workspace::find_program("cargo-mutants").is_none() {
        workspace::run(&mut workspace::cargo(&["install", "--locked", "cargo-mutants"]))?;
    }
    let clone = Clone::make()?;
    let mut names = clone.list()?;
    let all = names.len();
    names.shuffle(&mut SmallRng::seed_from_u64(args.seed));
    let drawn: Vec<_> = names.into_iter().skip(args.skip).take(args.points).collect();
    println!("{} of {all} changes by seed {}", drawn.len(), args.seed);
    let mut tally = Tally::default();
    for batch in drawn.chunks(BATCH) {
        clone.try_out(batch, args.timeout, &mut tally)?;
        tally.print();
        interrupt::check()?;
    }
    tally.judge()
}

/// A clone of the checkout, whose files are changed where they lie.
struct Clone {
    tree: PathBuf,
    builds: PathBuf,
    results: PathBuf,
}

impl Clone {
    fn make() -> Outcome<Self> {
        let folder = workspace::target_dir().join("mutants");
        let clone = Self {
            tree: folder.join("tree"),
            builds: folder.join("target"),
            results: folder.join("results"),
        };
        if clone.tree.exists() {
            fs::remove_dir_all(&clone.tree)?;
        }
        fs::create_dir_all(&folder)?;
        let mut git = workspace::command("git", &["clone", "--quiet", "."]);
        workspace::run(git.arg(&clone.tree))?;
        Ok(clone)
    }

    fn command(&self, args: &[&str]) -> Command {
        // A changed program may allocate without end.
        let limit = format!("--as={MEMORY_BYTES}");
        let mut command = workspace::command("prlimit", &[&limit, "cargo"]);
        command.args(["mutants", "--workspace", "--no-config", "--colors=never"]);
        let files = FILES.map(|file| format!("--file={file}"));
        // The corpus of hostile names is only built for tests.
        command.arg("--exclude=crates/wire/src/hostile.rs");
        command.args(args).args(files).current_dir(&self.tree);
        // Nobody debugs what is built here.
        command
            .env("CARGO_TARGET_DIR", &self.builds)
            .env("CARGO_PROFILE_DEV_DEBUG", "none");
        command
    }

    /// The names of all changes that can be made.
    fn list(&self) -> Outcome<Vec<String>> {
        let listed = workspace::output(&mut self.command(&["--list", "--line-col=true"]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Makes these changes, one after the other.
    fn try_out(&self, batch: &[String], timeout: u32, tally: &mut Tally) -> Outcome {
        let mut command = self.command(&["--in-place", "--baseline=skip", "--no-times"]);
        if workspace::find_program("cargo-nextest").is_some() {
            command
                .arg("--test-tool=nextest")
                .env("NEXTEST_PROFILE", "mutants");
        }
        command
            .arg(format!("--timeout={timeout}"))
            .arg("--cargo-arg=--tests");
        command.arg("--output").arg(&self.results);
        command.args(batch.iter().map(|name| format!("--re=^{}$", escaped(name))));
        // It fails when a change lives; what that means is judged in the end.
        let _ = command.output()?;
        let results = self.results.join("mutants.out");
        // Fields are deleted whatever `--re` says (sourcefrog/cargo-mutants#632): only what was drawn counts.
        let lines = |file: &str| -> Outcome<Vec<String>> {
            let listed = fs::read_to_string(results.join(file))?;
            let drawn = listed
                .lines()
                .map(str::to_owned)
                .filter(|name| batch.contains(name));
            Ok(drawn.collect())
        };
        let before = tally.all();
        tally.caught += lines("caught.txt")?.len();
        tally.endless += lines("timeout.txt")?.len();
        tally.unviable += lines("unviable.txt")?.len();
        tally.missed.extend(lines("missed.txt")?);
        match tally.all() - before {
            tried if tried == batch.len() => Ok(()),
            tried => Err(format!("{tried} of {} changes were tried", batch.len()).into()),
        }
    }
}

impl Tally {
    fn all(&self) -> usize {
        self.caught + self.endless + self.unviable + self.missed.len()
    }

    fn percent(&self) -> usize {
        let noticed = self.caught + self.endless;
        noticed * 100 / (noticed + self.missed.len()).max(1)
    }

    fn print(&self) {
        println!(
            "{} caught, {} that do not end, {} not noticed ({} % were), {} that do not compile",
            self.caught,
            self.endless,
            self.missed.len(),
            self.percent(),
            self.unviable
        );
    }

    fn judge(&self) -> Outcome {
        for name in &self.missed {
            println!("not noticed: {name}");
        }
        match self.percent() {
            percent if percent < WANTED_PERCENT => Err(format!("only {percent} % were noticed").into()),
            _ => Ok(()),
        }
    }
}

/// `name` as a regular expression that matches nothing else. `\<` and `\>` would be edges of words.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len() * 2);
    for character in name.chars() {
        if !character.is_alphanumeric() && !matches!(character, ' ' | '_' | '/' | ':' | '<' | '>') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
