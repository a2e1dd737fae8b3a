//! The connection to the coordinator: kept up, reconnected by itself, and asked through.
//!
//! What the coordinator says unasked (orders, revocations) is carried out here or handed to the
//! module it is for. What is announced, and when, is `announce`'s.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::Rng;
use skep_net::{AskError, CloseReason, Inbox, Incoming, Limits, Link, OpenError};
use skep_wire::{
    PeerId,
    message::{
        Attend, Deposit, Dial, Done, Endpoint, Heartbeat, HeartbeatSeen, Lane, Message, NewRevocations, Ping,
        Reason, WantTriples, Welcome,
    },
};
use thiserror::Error;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{announce, core::Core, hold};

/// The shortest and the longest pause before connecting again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the connection stands.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Up, and welcomed.
    pub connected: bool,
    /// The coordinator in use, or tried last.
    pub coordinator: Option<Endpoint>,
    /// Whether others can dial this peer; none: not known yet.
    pub reachable: Option<bool>,
    /// Where they dial it.
    pub address: Option<Endpoint>,
    /// Whether the coordinator knew this peer when it attended first.
    pub returning: Option<bool>,
    /// Why it was denied last: it goes on trying, but a person may have to do something.
    pub denied: Option<(Reason, String)>,
    /// Why connecting failed last.
    pub trouble: Option<String>,
}

/// The connection to the coordinator.
pub struct Session {
    link: Mutex<Option<Link>>,
    /// Wakes those who wait for a link in the order in which they came, as no watch channel does.
    connected: Notify,
    view: watch::Sender<View>,
}

/// Why the coordinator gave no answer.
#[derive(Debug, Clone, Error)]
pub enum SessionError {
    /// There is no connection to it.
    #[error("there is no connection to the coordinator{}", .0.as_deref().map(|t| format!(" ({t})")).unwrap_or_default())]
    Disconnected(Option<String>),
    /// It denied the request.
    #[error("the coordinator denied it: {text}")]
    Refused {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
    /// The connection broke, or the answer made no sense.
    #[error("the coordinator did not answer: {0}")]
    Failed(AskError),
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            link: Mutex::default(),
            connected: Notify::new(),
            view: watch::Sender::new(View::default()),
        }
    }

    /// How it stands.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits until it stands so that `enough` says yes.
    pub async fn wait_until(&self, enough: impl FnMut(&View) -> bool) -> View {
        let mut view = self.view.subscribe();
        view.wait_for(enough)
            .await
            .expect("the session outlives its watchers")
            .clone()
    }

    /// Asks the coordinator; waits up to ten seconds for a connection first.
    ///
    /// # Errors
    /// [`SessionError`] when there is no answer.
    pub async fn ask<Q: Message, R: Message>(&self, request: &Q) -> Result<R, SessionError> {
        let link = self.link().await?;
        link.ask(request).await.map_err(|e| match e {
            AskError::Refused { reason, text } => SessionError::Refused { reason, text },
            e => SessionError::Failed(e),
        })
    }

    /// Whether there is a connection now, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.current().is_some()
    }

    /// The coordinator that this peer attends now.
    pub(crate) fn coordinator(&self) -> Option<PeerId> {
        self.current().as_ref().map(Link::peer)
    }

    async fn link(&self) -> Result<Link, SessionError> {
        let up = async {
            loop {
                let connected = self.connected.notified();
                if let Some(link) = self.current().clone() {
                    return link;
                }
                connected.await;
            }
        };
        let disconnected = |_| SessionError::Disconnected(self.view.borrow().trouble.clone());
        time::timeout(PATIENCE, up).await.map_err(disconnected)
    }

    fn current(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the session up until it is cancelled.
pub(crate) async fn run(core: Arc<Core>, cancel: CancellationToken) {
    let mut pause = PAUSE.0;
    while !cancel.is_cancelled() {
        for at in core.coordinators() {
            core.session
                .view
                .send_modify(|v| v.coordinator = Some(at.clone()));
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                outcome = attend(&core, &at) => outcome,
            };
            match outcome {
                Ok(attending) => {
                    pause = PAUSE.0;
                    attending.serve(&core, &cancel).await;
                }
                Err(trouble) => core.session.report(trouble),
            }
        }
        let jitter = core.world.entropy.rng().random_range(0.5..1.0);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = time::sleep(pause.mul_f64(jitter)) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// A connection that the coordinator has welcomed.
struct Attending {
    link: Link,
    inbox: Inbox,
    welcome: Welcome,
}

enum Trouble {
    Denied(Reason, String),
    Failed(String),
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused { reason, text } | AskError::Closed(CloseReason::Refused { reason, text }) => {
                Self::Denied(reason, text)
            }
            e => Self::Failed(e.to_string()),
        }
    }
}

impl Session {
    fn report(&self, trouble: Trouble) {
        self.view.send_modify(|view| match trouble {
            Trouble::Denied(reason, text) => {
                view.trouble = Some(text.clone());
                view.denied = Some((reason, text));
            }
            Trouble::Failed(text) => view.trouble = Some(text),
        });
    }
}

async fn attend(core: &Arc<Core>, at: &Endpoint) -> Result<Attending, Trouble> {
    let failed = |e: &dyn std::fmt::Display| Trouble::Failed(format!("{}:{}: {e}", at.host, at.port));
    let stream = core
        .world
        .network
        .dial(&core.home.key, at, None)
        .await
        .map_err(|e| failed(&e))?;
    let hello = core.hello(Lane::Control);
    let (link, inbox) = Link::open(stream, hello, Limits::of(Lane::Control))
        .await
        .map_err(|e| match e {
            OpenError::Refused { reason, text } => Trouble::Denied(reason, text),
            e => failed(&e),
        })?;
    if !core
        .trust
        .is_coordinator(core.unix_s(), link.peer(), link.hello())
    {
        link.close();
        return Err(failed(&"it is not a coordinator of this network"));
    }
    let request = Attend {
        listen_port: core.listen.port(),
        advertise: core.config.advertise.clone(),
        capacity_bytes: core.capacity_bytes,
        used_bytes: core.hold.shards.used_bytes(),
        site: core.config.site.clone(),
        holdings: announce::digest(core),
    };
    let welcome = link.ask::<_, Welcome>(&request).await?;
    Ok(Attending { link, inbox, welcome })
}

impl Attending {
    async fn serve(mut self, core: &Arc<Core>, cancel: &CancellationToken) {
        let session = &core.session;
        session.view.send_modify(|v| {
            v.connected = true;
            v.denied = None;
            v.trouble = None;
            v.returning.get_or_insert(self.welcome.returning);
        });
        session.current().replace(self.link.clone());
        session.connected.notify_waiters();
        let mut tasks = JoinSet::new();
        tasks.spawn(announce::reconcile(core.clone(), self.welcome.holdings_known));
        tasks.spawn(hold::reconcile(core.clone()));
        tasks.spawn(beat(core.clone(), self.link.clone(), self.welcome.heartbeat_ms));
        let reason = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    self.link.close();
                    break "stopped".to_owned();
                }
                incoming = self.inbox.recv() => match incoming {
                    Some(incoming) => drop(tasks.spawn(obey(core.clone(), incoming))),
                    None => break self.link.closed().await.to_string(),
                },
                Some(_) = tasks.join_next() => {}
            }
        };
        session.current().take();
        session.view.send_modify(|v| {
            v.connected = false;
            v.trouble = Some(reason);
        });
        tasks.shutdown().await;
    }
}

/// Says "still here" as often as the coordinator wants, and learns what only it can see.
async fn beat(core: Arc<Core>, link: Link, every_ms: u32) {
    let mut ticks = time::interval(Duration::from_millis(u64::from(every_ms).clamp(50, 600_000)));
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut known = false;
    loop {
        // The dial-back takes a moment: until its result is known, ask a little more often.
        if known {
            ticks.tick().await;
        } else {
            time::sleep(Duration::from_millis(u64::from(every_ms).clamp(50, 500))).await;
        }
        let used_bytes = core.hold.shards.used_bytes();
        let seen: HeartbeatSeen = match link.ask(&Heartbeat { used_bytes }).await {
            Ok(seen) => seen,
            Err(AskError::Refused { .. }) => continue,
            // It may count this peer as gone by now, and may have missed more than that: a new
            // connection sets both right.
            Err(_) => return link.close(),
        };
        known = seen.reachable.is_some();
        core.session.view.send_if_modified(|view| {
            let changed = view.reachable != seen.reachable || view.address != seen.address;
            view.reachable = seen.reachable;
            view.address = seen.address;
            changed
        });
    }
}

/// Carries out what the coordinator says unasked.
async fn obey(core: Arc<Core>, incoming: Incoming) {
    match incoming.kind {
        Dial::KIND => {
            let Ok(order) = incoming.decode::<Dial>() else {
                return malformed(incoming).await;
            };
            incoming.responder.reply(&Done {}).await;
            core.links.dial_for(&core, order.peer, &order.address).await;
        }
        WantTriples::KIND => {
            let Ok(order) = incoming.decode::<WantTriples>() else {
                return malformed(incoming).await;
            };
            match announce::triples(&core, order.content).await {
                Some(triples) => incoming.responder.reply(&Deposit { triples }).await,
                None => {
                    incoming
                        .responder
                        .refuse(Reason::NotFound, "this content is not here any more")
                        .await
                }
            }
        }
        NewRevocations::KIND => {
            if let Ok(news) = incoming.decode::<NewRevocations>() {
                core.learn_revocations(news.list).await;
            }
        }
        Ping::KIND => incoming.responder.reply(&Done {}).await,
        _ => hold::obey(core, incoming).await,
    }
}

async fn malformed(incoming: Incoming) {
    incoming
        .responder
        .refuse(Reason::BadRequest, "the order cannot be read")
        .await;
}
