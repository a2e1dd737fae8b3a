//! Takes connections, and owns the sessions that they become.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_engine::index::SessionId;
use skep_net::{Limits, Link};
use skep_wire::{
    Signed,
    message::{Hello, Lane, Reason},
    record::CoordinatorCertificate,
};
use skep_world::{Listener, Stream};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    service::Input,
    session::{Session, Stranger},
};

/// Connections at the same time of those who have not joined yet.
const STRANGERS: usize = 256;
/// How long sessions may take to send what is left when the coordinator stops.
const FAREWELL: Duration = Duration::from_millis(1500);

/// What a coordinator says first on every connection.
pub(crate) struct Greeting {
    /// The network's word for this coordinator.
    pub(crate) certificate: Signed<CoordinatorCertificate>,
    /// The number of the newest revocations.
    pub(crate) revocations: Arc<AtomicU64>,
}

/// Where connections come in.
pub(crate) struct Door {
    /// Gives connections.
    pub(crate) listener: Box<dyn Listener>,
    /// What to say first.
    pub(crate) greeting: Greeting,
    /// Where sessions report to.
    pub(crate) service: mpsc::Sender<Input>,
    /// The most connections at once; further ones are dropped.
    pub(crate) max_sessions: usize,
}

impl Greeting {
    fn hello(&self) -> Hello {
        Hello {
            features: 0,
            agent: concat!("skep/", env!("CARGO_PKG_VERSION")).to_owned(),
            lane: Lane::Control,
            grant: None,
            certificate: Some(self.certificate.clone()),
            revocations: self.revocations.load(Ordering::Relaxed),
        }
    }
}

impl Door {
    /// Takes connections until `stop`, which it cancels if it fails, then waits for the sessions: they
    /// end when the service lets go of them.
    pub(crate) async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let mut sessions = JoinSet::new();
        let outcome = self.accept(&mut sessions, &stop).await;
        stop.cancel();
        drop(self);
        let ended = async { while sessions.join_next().await.is_some() {} };
        let _ = timeout(FAREWELL, ended).await;
        sessions.shutdown().await;
        outcome
    }

    async fn accept(&self, sessions: &mut JoinSet<()>, stop: &CancellationToken) -> io::Result<()> {
        let mut number = 0;
        let reception = Reception {
            service: self.service.clone(),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
        };
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(_) = sessions.join_next() => {}
                stream = self.listener.accept() => {
                    let stream = stream?;
                    if sessions.len() >= self.max_sessions {
                        tracing::warn!(remote = %stream.remote, "too many connections, one is dropped");
                        continue;
                    }
                    number += 1;
                    let hello = self.greeting.hello();
                    sessions.spawn(reception.clone().receive(SessionId(number), stream, hello));
                }
            }
        }
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Reception {
    service: mpsc::Sender<Input>,
    /// Places for those who have not joined yet.
    strangers: Arc<Semaphore>,
}

impl Reception {
    /// Exchanges hellos and then serves the connection.
    async fn receive(self, id: SessionId, stream: Stream, hello: Hello) {
        let remote = stream.remote;
        match Link::open(stream, hello, Limits::of(Lane::Control)).await {
            Ok((link, inbox)) => match self.admit(link.hello()) {
                Ok(stranger) => Session::run(id, (link, inbox), stranger, self.service).await,
                Err((reason, text)) => {
                    link.refuse(reason, text);
                    link.closed().await;
                }
            },
            Err(error) => tracing::debug!(%remote, %error, "a connection came to nothing"),
        }
    }

    /// Whether the connection may stay, and as a stranger's or not. Grants are the index's to check.
    fn admit(&self, hello: &Hello) -> Result<Option<Stranger>, (Reason, &'static str)> {
        if hello.lane != Lane::Control {
            return Err((Reason::BadRequest, "a coordinator takes control connections only"));
        }
        if hello.grant.is_some() {
            return Ok(None);
        }
        match self.strangers.clone().try_acquire_owned() {
            Ok(place) => Ok(Some(Stranger::at(place))),
            Err(_) => Err((Reason::Busy, "too many newcomers at once; try again in a moment")),
        }
    }
}
