//! A fault at one place: which system call fails, how, and which time. `strace(1)` makes it happen.

use std::{collections::BTreeMap, fmt, str::FromStr};

use rand::{Rng, seq::IndexedRandom};

/// System calls that change files, or lead there. They may be made to fail, and be killed at.
const OF_FILES: [&str; 15] = [
    "pwrite64",
    "pwritev2",
    "fsync",
    "fdatasync",
    "syncfs",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "openat",
    "unlink",
    "unlinkat",
    "mkdirat",
    "ftruncate",
    "fallocate",
];

/// Others that are only killed at: `write` also wakes threads, and a thread that cannot be woken says nothing
/// about disks.
const OF_OTHERS: [&str; 5] = ["write", "writev", "sendto", "sendmsg", "symlinkat"];

/// How often each kind of call was made by the thread that made it most: `strace` counts by thread.
pub(super) type Counts = BTreeMap<String, u32>;

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// The process is killed.
    Kill,
    /// The disk is full, from then on.
    Full,
    /// The disk fails, once.
    Broken,
}

/// What kind of blow a point is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A kill in three of five.
    Any,
    Kill,
    /// A disk that is full or fails.
    Error,
}

/// A blow at the so-manieth call of a kind in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) blow: Blow,
    call: String,
    when: u32,
}

impl Blow {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Kill, "kill", "signal=SIGKILL"),
        (Self::Full, "ENOSPC", "error=ENOSPC"),
        (Self::Broken, "EIO", "error=EIO"),
    ];

    fn row(self) -> (Self, &'static str, &'static str) {
        let [kill, full, broken] = Self::ALL;
        match self {
            Self::Kill => kill,
            Self::Full => full,
            Self::Broken => broken,
        }
    }

    fn calls(self) -> impl Iterator<Item = &'static str> {
        let others: &[&str] = match self {
            Self::Kill => &OF_OTHERS,
            Self::Full | Self::Broken => &[],
        };
        OF_FILES.iter().chain(others).copied()
    }
}

impl Fault {
    /// One that lies within what was counted; a kill, where no disk was used.
    pub(super) fn draw(counts: &Counts, wanted: Wanted, chance: &mut impl Rng) -> Option<Self> {
        let seen =
            |blow: Blow| -> Vec<&str> { blow.calls().filter(|call| counts.contains_key(*call)).collect() };
        let number = match wanted {
            Wanted::Any => chance.random_range(0..5),
            Wanted::Error => chance.random_range(0..2),
            Wanted::Kill => 2,
        };
        let blow = match number {
            0 if !seen(Blow::Full).is_empty() => Blow::Full,
            1 if !seen(Blow::Broken).is_empty() => Blow::Broken,
            _ => Blow::Kill,
        };
        let seen = seen(blow);
        let call = *seen.choose(chance)?;
        Some(Self {
            blow,
            call: call.to_owned(),
            when: chance.random_range(1..=counts[call]),
        })
    }

    /// The same, earlier; none before the first. Threads share their work differently each time.
    pub(super) fn sooner(&self) -> Option<Self> {
        (self.when > 1).then(|| Self {
            when: self.when / 2,
            ..self.clone()
        })
    }

    /// What `strace` is told.
    pub(super) fn options(&self) -> Vec<String> {
        let Self { blow, call, when } = self;
        let lasts = if *blow == Blow::Full { "+" } else { "" };
        let inject = format!("inject={call}:{}:when={when}{lasts}", blow.row().2);
        vec!["-e".into(), format!("trace={call}"), "-e".into(), inject]
    }
}

/// What `strace` is told when it only counts. The question mark: not every machine has every call.
pub(super) fn counting() -> Vec<String> {
    let calls: Vec<_> = Blow::Kill.calls().map(|call| format!("?{call}")).collect();
    let calls = calls.join(",");
    vec!["-e".into(), format!("trace={calls}")]
}

/// Counts the calls in what `strace -f` wrote: lines like `PID call(...) = result`.
pub(super) fn count(trace: &str) -> Counts {
    let mut by_thread: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if Blow::Kill.calls().any(|known| known == call) {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut counts = Counts::new();
    for ((_, call), count) in by_thread {
        let most = counts.entry(call.to_owned()).or_default();
        *most = count.max(*most);
    }
    counts
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.blow.row().1, self.call, self.when)
    }
}

impl FromStr for Fault {
    type Err = String;

    /// As it is shown: `kill:fsync:3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text} is no fault: say kill, ENOSPC or EIO, a call and a number, like kill:fsync:3");
        let parts: Vec<&str> = text.split(':').collect();
        let [name, call, when] = parts[..] else {
            return Err(wrong());
        };
        let (blow, ..) = *Blow::ALL.iter().find(|row| row.1 == name).ok_or_else(wrong)?;
        let when = when.parse().ok().filter(|when| *when > 0).ok_or_else(wrong)?;
        if !blow.calls().any(|known| known == call) {
            return Err(wrong());
        }
        let call = call.to_owned();
        Ok(Self { blow, call, when })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const TRACE: &str = "7  fsync(3) = 0\n8  fsync(3 <unfinished ...>\n7  fsync(4) = 0\n8  <... fsync resumed>) = 0\n\
                         8  getpid() = 8\n8  +++ exited with 0 +++\n9  openat(AT_FDCWD, \"x(\", O_RDONLY) = 3\n";

    #[test]
    fn calls_are_counted_by_thread() {
        let counts = count(TRACE);
        let expected = [("fsync".to_owned(), 2), ("openat".to_owned(), 1)];
        assert_eq!(counts, Counts::from(expected));
    }

    #[test]
    fn a_fault_lies_within_what_was_counted() {
        let counts = count(TRACE);
        for seed in 0..200 {
            let draw = |wanted| Fault::draw(&counts, wanted, &mut SmallRng::seed_from_u64(seed)).unwrap();
            let fault = draw(Wanted::Any);
            assert!(fault.when <= counts[&fault.call], "{fault}");
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(draw(Wanted::Kill).blow, Blow::Kill);
            assert_ne!(draw(Wanted::Error).blow, Blow::Kill);
        }
        let nothing = Fault::draw(&Counts::new(), Wanted::Any, &mut SmallRng::seed_from_u64(0));
        assert!(nothing.is_none());
    }

    #[test]
    fn a_full_disk_stays_full() {
        let full: Fault = "ENOSPC:fsync:3".parse().unwrap();
        assert_eq!(full.options()[3], "inject=fsync:error=ENOSPC:when=3+");
        let kill: Fault = "kill:sendto:9".parse().unwrap();
        assert_eq!(kill.options()[3], "inject=sendto:signal=SIGKILL:when=9");
        for wrong in [
            "kill:fsync:0",
            "kill:getpid:1",
            "EIO:sendto:1",
            "kill:fsync",
            "EIO",
        ] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
