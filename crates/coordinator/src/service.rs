//! The one task that owns the index.
//!
//! Events come over one bounded channel. While a commit runs, further events are handled and what
//! they change waits for the next commit: this is the group commit. Outputs leave when the changes
//! they came with are durable; outputs of events that changed nothing leave at once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_engine::index::{
    CallId, Command, CommandReply, Denial, Effects, Event, Index, Output, SessionId, Summary,
};
use skep_ledger::CommitError;
use skep_wire::{PeerId, message::Hello};
use skep_world::World;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{batch::Batch, dials::Dials, session::Outgoing, writer::Writer};

/// Events that wait for the service.
pub(crate) const INPUTS: usize = 1024;
/// Events handled before the service looks at anything else.
const AT_ONCE: usize = 256;
/// How long the last commits may take when the coordinator stops.
const LAST_COMMITS: Duration = Duration::from_secs(2);

/// What the service is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection is open.
    Opened {
        /// Its number.
        session: SessionId,
        /// Its key.
        peer: PeerId,
        /// Where it comes from.
        source: IpAddr,
        /// What it said first.
        hello: Hello,
        /// Where its outputs go.
        outbox: mpsc::Sender<Outgoing>,
    },
    /// Something happened on a connection.
    Event(Event),
    /// The coordinator's own host wants something.
    Call(Command, oneshot::Sender<Result<CommandReply, Denial>>),
    /// How many are there of everything?
    Count(oneshot::Sender<Counts>),
}

/// How many there are of everything.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// In the index.
    pub(crate) summary: Summary,
    /// Open connections.
    pub(crate) connections: usize,
    /// Why commits fail at the moment.
    pub(crate) trouble: Option<String>,
}

/// An open connection as the service knows it.
struct Remote {
    peer: PeerId,
    outbox: mpsc::Sender<Outgoing>,
}

/// The index and what it needs to act.
pub(crate) struct Service {
    pub(crate) world: World,
    index: Index,
    inputs: mpsc::Receiver<Input>,
    sessions: BTreeMap<SessionId, Remote>,
    calls: BTreeMap<CallId, oneshot::Sender<Result<CommandReply, Denial>>>,
    last_call: u64,
    dials: Dials,
    revocations: Arc<AtomicU64>,
    trouble: watch::Receiver<Option<String>>,
    /// What the next commit takes.
    pending: Batch,
    commits: Commits,
}

/// The writer's task and the two channels to it.
struct Commits {
    batches: mpsc::Sender<Batch>,
    durable: mpsc::Receiver<Vec<Output>>,
    /// Whether a batch is under way.
    busy: bool,
    task: JoinSet<Result<(), CommitError>>,
}

/// What a service is made of.
pub(crate) struct Parts {
    pub(crate) world: World,
    pub(crate) index: Index,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) dials: Dials,
    pub(crate) revocations: Arc<AtomicU64>,
    pub(crate) writer: Writer,
}

impl Service {
    /// Starts the writer, too.
    pub(crate) fn new(parts: Parts) -> Self {
        let trouble = parts.writer.trouble.subscribe();
        let mut service = Self {
            world: parts.world,
            index: parts.index,
            inputs: parts.inputs,
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            dials: parts.dials,
            revocations: parts.revocations,
            trouble,
            pending: Batch::default(),
            commits: Commits::start(parts.writer),
        };
        service.note_revocations();
        service
    }

    /// Serves until `stop`, then commits and answers what it has taken in.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), CommitError> {
        let mut inputs = Vec::with_capacity(AT_ONCE);
        loop {
            self.commits.feed(&mut self.pending);
            let due = self.until_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                outputs = self.commits.durable.recv() => match outputs {
                    Some(outputs) => self.committed(outputs),
                    None => return self.commits.outcome().await,
                },
                () = sleep(due) => self.poll(),
                dialed = self.dials.next() => self.handle(dialed),
                _ = self.inputs.recv_many(&mut inputs, AT_ONCE), if !self.pending.is_full() => {
                    inputs.drain(..).for_each(|input| self.take(input));
                }
            }
        }
        let finished = self.finish().await;
        self.commits.task.shutdown().await;
        finished
    }

    /// Takes what has come in and commits it, within a bound: nobody was told of what does not make it.
    async fn finish(&mut self) -> Result<(), CommitError> {
        self.take_waiting();
        let commits = async {
            loop {
                self.commits.feed(&mut self.pending);
                if !self.commits.busy {
                    return Ok(());
                }
                match self.commits.durable.recv().await {
                    Some(outputs) => self.committed(outputs),
                    None => return self.commits.outcome().await,
                }
            }
        };
        timeout(LAST_COMMITS, commits).await.unwrap_or_else(|_| {
            tracing::error!("the last changes could not be committed; nobody was told that they were");
            Ok(())
        })
    }

    /// Takes what waits by now.
    fn take_waiting(&mut self) {
        for _ in 0..self.inputs.len() {
            match self.inputs.try_recv() {
                Ok(input) => self.take(input),
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened {
                session,
                peer,
                source,
                hello,
                outbox,
            } => {
                self.sessions.insert(session, Remote { peer, outbox });
                self.handle(Event::Opened {
                    session,
                    peer,
                    source,
                    hello,
                });
            }
            Input::Event(event) => {
                if let Event::Closed { session } = &event {
                    self.sessions.remove(session);
                }
                self.handle(event);
            }
            Input::Call(command, answer) => {
                self.last_call += 1;
                let call = CallId(self.last_call);
                self.calls.insert(call, answer);
                self.handle(Event::Administered { call, command });
            }
            Input::Count(answer) => {
                let _ = answer.send(self.count());
            }
        }
    }

    fn count(&self) -> Counts {
        Counts {
            summary: self.index.summary(),
            connections: self.sessions.len(),
            trouble: self.trouble.borrow().clone(),
        }
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Effects::default();
        self.index.handle(self.world.clock.now(), event, &mut effects);
        self.release_or_keep(&mut effects);
    }

    /// Does what is due by time alone, after what has come in: a heartbeat that waits was not missed.
    fn poll(&mut self) {
        self.take_waiting();
        let mut effects = Effects::default();
        self.index.poll(self.world.clock.now(), &mut effects);
        self.release_or_keep(&mut effects);
    }

    fn until_due(&self) -> Duration {
        let due = self.index.next_wakeup().unwrap_or(Duration::MAX);
        due.saturating_sub(self.world.clock.now().mono)
    }

    fn release_or_keep(&mut self, effects: &mut Effects) {
        for output in self.pending.take_in(effects, self.commits.busy) {
            self.release(output);
        }
    }

    fn committed(&mut self, outputs: Vec<Output>) {
        self.commits.busy = false;
        self.note_revocations();
        outputs.into_iter().for_each(|output| self.release(output));
    }

    fn note_revocations(&mut self) {
        let number = self.index.revocations().and_then(|list| list.peek().ok());
        self.revocations
            .store(number.map_or(0, |list| list.number), Ordering::Relaxed);
    }

    fn release(&mut self, output: Output) {
        match output {
            Output::Reply {
                session,
                request,
                body,
            } => self.post(session, Outgoing::Reply(request, body)),
            Output::Order { session, order, body } => self.post(session, Outgoing::Order(order, body)),
            Output::Notice { session, body } => self.post(session, Outgoing::Notice(body)),
            Output::Close { session, refusal } => {
                self.post(session, Outgoing::Close(refusal));
                self.sessions.remove(&session);
            }
            Output::DialBack { session, address } => {
                if let Some(remote) = self.sessions.get(&session) {
                    self.dials.start(session, remote.peer, address);
                }
            }
            Output::Administered { call, outcome } => {
                if let Some(answer) = self.calls.remove(&call) {
                    let _ = answer.send(outcome);
                }
            }
        }
    }

    /// Puts something into a session's outbox, which never waits: a session that does not take its
    /// outputs is let go.
    fn post(&mut self, session: SessionId, outgoing: Outgoing) {
        let Some(remote) = self.sessions.get(&session) else {
            return;
        };
        if remote.outbox.try_send(outgoing).is_err() {
            tracing::debug!(peer = %remote.peer.short(), "a peer that takes no answers is let go");
            self.sessions.remove(&session);
        }
    }
}

impl Commits {
    fn start(writer: Writer) -> Self {
        let (batches, to_commit) = mpsc::channel(1);
        let (done, durable) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(writer.run(to_commit, done));
        Self {
            batches,
            durable,
            busy: false,
            task,
        }
    }

    /// Hands over what waits, unless a batch is under way.
    fn feed(&mut self, pending: &mut Batch) {
        if self.busy || pending.is_empty() {
            return;
        }
        // A full or closed channel means that the writer has ended, which `durable` tells next.
        self.busy = self.batches.try_send(std::mem::take(pending)).is_ok();
    }

    /// How the writer ended.
    async fn outcome(&mut self) -> Result<(), CommitError> {
        match self.task.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => Err(CommitError::Broken(error.to_string())),
            None => Ok(()),
        }
    }
}
