//! Plays a scenario, compares what the programs say with what is true, and ends in a calm in which
//! everything must work.

mod backups;
mod calm;
mod faults;
mod news;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    time::Duration,
};

pub(crate) use self::backups::Done;

use skep_world::simulated::{Crash, Trace, Universe};
use tokio::time::{Instant, sleep_until};

use crate::{
    inspector::Findings,
    item::{Copy, Item},
    owner::Owner,
    scenario::{Act, PeerNumber, Place, Scenario},
    town::{Program, Town, address, downloaded, own},
    truth::{Pair, Truth},
};

/// How often the truth about who is there is noted.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How often the inspector goes.
const INSPECT_EVERY: Duration = Duration::from_secs(7);

/// A run in which all promises were kept.
#[derive(Debug, Clone)]
pub struct Report {
    /// The hash of everything that happened.
    pub trace: [u8; 32],
    /// How many things that were.
    pub events: u64,
    /// How long it took on the simulated clocks.
    pub lasted: Duration,
    /// Downloads that were finished.
    pub downloads: usize,
    /// What happened, for people.
    pub story: Vec<String>,
}

/// A run in which a promise was broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which, and how.
    pub what: String,
    /// What happened until then, for people.
    pub story: Vec<String>,
}

/// Plays a scenario on tokio's paused time. What happens goes into `trace`.
///
/// # Errors
/// [`Failure`] when a promise was broken.
pub(crate) async fn play(scenario: &Scenario, trace: Trace) -> Result<Report, Failure> {
    let mut player = Player::new(scenario, trace);
    let outcome = player.play(scenario).await;
    let story = std::mem::take(&mut player.story);
    match outcome {
        Ok(()) => Ok(Report {
            trace: player.town.universe.trace().hash(),
            events: player.town.universe.trace().events(),
            lasted: player.began.elapsed(),
            downloads: player.truth.downloaded.len(),
            story,
        }),
        Err(what) => Err(Failure {
            what: format!("after {:.1?}: {what}", player.began.elapsed()),
            story,
        }),
    }
}

struct Player {
    town: Town,
    truth: Truth,
    items: Vec<Item>,
    owners: BTreeMap<PeerNumber, Owner>,
    began: Instant,
    inspected: Instant,
    /// Downloads under way.
    downloading: usize,
    /// Shares that are being published or taken back.
    announcing: BTreeSet<Pair>,
    /// Peers that could not be dialled at some time.
    hidden: BTreeSet<PeerNumber>,
    /// Whose disks were full at some time: they may say so until they are started again.
    troubled: BTreeSet<Place>,
    /// Whose clocks are or were wrong.
    confused: BTreeSet<Place>,
    /// Who has lost something that it keeps for others, or left: at most one, as there may be one copy more than it
    /// takes.
    loser: Option<PeerNumber>,
    /// What the inspector told last.
    last_findings: Option<Findings>,
    story: Vec<String>,
}

impl Player {
    fn new(scenario: &Scenario, trace: Trace) -> Self {
        let universe = Universe::traced(scenario.seed, trace);
        universe.net().set_default_route(scenario.route);
        let numbered = scenario.items.iter().zip(0..);
        let items = numbered
            .map(|(shape, n)| Item::new(scenario.seed.wrapping_mul(100) + n, shape))
            .collect();
        Self {
            town: Town::new(universe, scenario.peers, scenario.owners > 0),
            truth: Truth::default(),
            items,
            owners: BTreeMap::new(),
            began: Instant::now(),
            inspected: Instant::now(),
            downloading: 0,
            announcing: BTreeSet::new(),
            hidden: BTreeSet::new(),
            troubled: BTreeSet::new(),
            confused: BTreeSet::new(),
            loser: None,
            last_findings: None,
            story: Vec::new(),
        }
    }

    async fn play(&mut self, scenario: &Scenario) -> Result<(), String> {
        let sizes: Vec<_> = self.items.iter().map(Item::bytes).collect();
        self.tell(format_args!(
            "{} peers, items of {sizes:?} bytes, {:?}",
            scenario.peers, scenario.route
        ));
        for (pause, act) in &scenario.steps {
            self.pass(*pause).await?;
            self.tell(format_args!("{act:?}"));
            self.act(*act).await?;
        }
        self.calm_down().await
    }

    fn tell(&mut self, what: impl Display) {
        tracing::info!("{what}");
        self.story
            .push(format!("{:9.3} {what}", self.began.elapsed().as_secs_f64()));
    }

    /// Lets time pass, and hears what comes in meanwhile.
    async fn pass(&mut self, pause: Duration) -> Result<(), String> {
        let end = Instant::now() + pause;
        loop {
            self.note_presence();
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= self.inspected + INSPECT_EVERY {
                self.inspected = now;
                self.town.inspect(self.truth.contents());
            }
            tokio::select! {
                biased;
                Some(event) = self.town.under_way.join_next() => {
                    self.hear(event.map_err(|e| format!("a task failed: {e}"))?)?;
                }
                () = sleep_until(end.min(now + NOTE_EVERY)) => {}
            }
        }
    }

    /// Whom the coordinator can hear now may be handed out for a while.
    fn note_presence(&mut self) {
        for (peer, house) in self.town.peers.iter().enumerate() {
            let runs = !matches!(house.program, Program::Down);
            if runs && self.town.hears(Place::Peer(peer), Place::Coordinator) {
                self.truth.heard.insert(peer, Instant::now());
            }
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), String> {
        let net = self.town.universe.net().clone();
        match act {
            Act::Start(Place::Coordinator) => self.start_coordinator().await?,
            Act::Start(Place::Peer(peer)) => self.start(peer),
            Act::Stop(Place::Coordinator) => self.stop_coordinator().await?,
            Act::Stop(Place::Peer(peer)) => self.town.stop_peer(peer),
            Act::Crash(Place::Coordinator, how) => drop(self.town.coordinator.crash(how)),
            Act::Crash(Place::Peer(peer), how) => self.crash(peer, how)?,
            Act::Leave(peer) => self.leave(peer),
            Act::Share(peer, item) => self.share((peer, item))?,
            Act::Unshare(peer, item) => self.unshare((peer, item)),
            Act::Get(peer, item) => self.get((peer, item)),
            Act::Do(peer, deed) => self.do_deed(peer, deed)?,
            Act::Decay(peer, item) => self.decay((peer, item)),
            Act::Rot(peer, bit) => self.rot(peer, bit),
            Act::Fill(place) => self.fill(place),
            Act::Jump(place, seconds) => self.jump(place, seconds),
            Act::Cut(from, to) => net.cut(address(from), address(to)),
            Act::Reroute(from, to, route) => net.set_route(address(from), address(to), route),
            Act::Reset(one, other) => net.reset(address(one), address(other)),
            Act::Unplug(place) => net.unplug(address(place), true),
            Act::Hide(peer) => {
                self.hidden.insert(peer);
                net.hide(address(Place::Peer(peer)), true);
            }
            Act::Calm => self.calm(),
        }
        Ok(())
    }

    fn start(&mut self, peer: PeerNumber) {
        if !self.truth.left.contains(&peer) {
            self.town.start_peer(peer);
        }
    }

    fn crash(&mut self, peer: PeerNumber, how: Crash) -> Result<(), String> {
        self.note_copies();
        self.town.crash_peer(peer, how);
        self.judge_downloads(peer)
    }

    fn leave(&mut self, peer: PeerNumber) {
        if self.town.peers[peer].running().is_some() && self.may_lose(peer) {
            self.truth.left.insert(peer);
            self.truth.published.retain(|(publisher, _)| *publisher != peer);
            self.town.leave(peer);
        }
    }

    fn share(&mut self, pair: Pair) -> Result<(), String> {
        let (peer, item) = pair;
        // Read again, what has decayed would be another content of the same name.
        if self.truth.decayed.contains(&pair) {
            return Ok(());
        }
        let disk = self.town.peers[peer].machine.disk();
        if self.items[item].judge(disk, &own(item)) == Copy::Absent {
            self.items[item]
                .put(disk, &own(item))
                .map_err(|e| format!("a copy cannot be put: {e}"))?;
        }
        if !self.announcing.contains(&pair) && self.town.share(peer, item) {
            self.truth.had.insert(pair);
            self.announcing.insert(pair);
        }
        Ok(())
    }

    fn unshare(&mut self, pair: Pair) {
        let (peer, item) = pair;
        if !self.announcing.contains(&pair) && self.town.unshare(peer, item) {
            self.truth.published.remove(&pair);
            self.announcing.insert(pair);
        }
    }

    fn get(&mut self, pair: Pair) {
        let (peer, item) = pair;
        if self.town.get(peer, item, crate::town::name(item)) {
            self.truth.began.insert(pair);
            self.downloading += 1;
        }
    }

    fn decay(&mut self, pair: Pair) {
        let (peer, item) = pair;
        let disk = self.town.peers[peer].machine.disk();
        if self.items[item].decay(disk, &own(item), 1 + item as u64 * 77_777) {
            self.truth.published.remove(&pair);
            self.truth.decayed.insert(pair);
        }
    }

    /// A copy is complete as soon as it has its name, before anybody says so.
    fn note_copies(&mut self) {
        let open: Vec<_> = self.truth.began.difference(&self.truth.had).copied().collect();
        for pair in open {
            if self.judge_copy(pair) == Copy::Exact {
                self.truth.had.insert(pair);
            }
        }
    }

    fn judge_copy(&self, (peer, item): Pair) -> Copy {
        self.items[item].judge(self.town.peers[peer].machine.disk(), &downloaded(item))
    }

    /// Under the name of a download is the right content or nothing, and what was acknowledged is there.
    fn judge_downloads(&self, peer: PeerNumber) -> Result<(), String> {
        if let Some(owner) = self.owners.get(&peer) {
            let judged = owner.judge_restores(self.town.peers[peer].machine.disk());
            judged.map_err(|e| format!("peer {peer}: {e}"))?;
        }
        for item in 0..self.items.len() {
            match self.judge_copy((peer, item)) {
                Copy::Wrong(how) => return Err(format!("peer {peer} has unverified bytes: {how}")),
                Copy::Absent if self.truth.downloaded.contains(&(peer, item)) => {
                    return Err(format!(
                        "peer {peer} has lost item {item}, which it was told is downloaded"
                    ));
                }
                Copy::Absent | Copy::Exact => {}
            }
        }
        Ok(())
    }
}
