//! One connection: its requests become events, and the index's outputs become messages.
//!
//! A session decides nothing. It never waits for the service longer than the service has a
//! backlog, and the service never waits for a session.

use std::{collections::BTreeMap, time::Duration};

use skep_engine::index::{Event, Order, OrderId, OrderReply, Reply, Request, RequestError, SessionId};
use skep_net::{AskError, Inbox, Incoming, Link, Responder};
use skep_wire::message::{Done, Message, NewRevocations, Reason, Refused};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::service::Input;

/// Requests of one session that are not answered yet. Further ones wait on the wire: a peer that
/// takes no answers holds up itself, and no more than this many answers in memory.
const REQUESTS: usize = 32;
/// Orders of one session without their answer; further ones fail.
const ORDERS: usize = 64;
/// Outputs that wait for one session: answers, orders, and notices.
const OUTBOX: usize = 2 * (REQUESTS + ORDERS);

/// How long a stranger may take to join.
const STRANGER: Duration = Duration::from_secs(30);

/// What the service tells a session.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The answer to a request.
    Reply(u32, Reply),
    /// A question for the peer.
    Order(OrderId, Order),
    /// The newest revocations.
    Notice(NewRevocations),
    /// The end, and why.
    Close(Refused),
}

/// One connection whose hellos are exchanged.
pub(crate) struct Session {
    id: SessionId,
    /// Its name, or the first digits of its key, for logs.
    name: String,
    link: Link,
    inbox: Inbox,
    service: mpsc::Sender<Input>,
    outbox: mpsc::Receiver<Outgoing>,
    /// Requests that the index has not answered yet.
    open: BTreeMap<u32, Responder>,
    last_request: u32,
    orders: JoinSet<(OrderId, OrderReply)>,
    /// Who has shown no grant takes one of few places, and for a short time.
    stranger: Option<Stranger>,
}

/// Somebody who has not joined yet.
pub(crate) struct Stranger {
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Stranger {
    /// From now on.
    pub(crate) fn at(place: OwnedSemaphorePermit) -> Self {
        Self {
            until: Instant::now() + STRANGER,
            _place: place,
        }
    }
}

/// The service is gone, or wants this session to end.
struct Ended;

impl Session {
    /// Announces a connection to the service and speaks for it until it ends.
    pub(crate) async fn run(
        id: SessionId,
        (link, inbox): (Link, Inbox),
        stranger: Option<Stranger>,
        service: mpsc::Sender<Input>,
    ) {
        let (outputs, outbox) = mpsc::channel(OUTBOX);
        let opened = Input::Opened {
            session: id,
            peer: link.peer(),
            source: link.remote().ip(),
            hello: link.hello().clone(),
            outbox: outputs,
        };
        let session = Self {
            id,
            name: name(&link),
            link,
            inbox,
            service,
            outbox,
            open: BTreeMap::new(),
            last_request: 0,
            orders: JoinSet::new(),
            stranger,
        };
        if session.service.send(opened).await.is_ok() {
            session.speak().await;
        }
    }

    async fn speak(mut self) {
        while let Ok(()) = self.step().await {}
        self.orders.shutdown().await;
        let closed = Event::Closed { session: self.id };
        let _ = self.service.send(Input::Event(closed)).await;
        self.link.close();
        self.link.closed().await;
    }

    async fn step(&mut self) -> Result<(), Ended> {
        let stranger_until = self.stranger.as_ref().map(|stranger| stranger.until);
        tokio::select! {
            biased;
            outgoing = self.outbox.recv() => self.send(outgoing.ok_or(Ended)?).await,
            Some(answered) = self.orders.join_next() => match answered {
                Ok((order, reply)) => self.answered(order, reply).await,
                Err(_) => Err(Ended),
            },
            () = sleep_until(stranger_until.unwrap_or_else(Instant::now)), if stranger_until.is_some() => {
                self.link.refuse(Reason::NotAllowed, "join with a ticket first");
                Err(Ended)
            }
            incoming = self.inbox.recv(), if self.open.len() < REQUESTS => self.receive(incoming.ok_or(Ended)?).await,
        }
    }

    async fn receive(&mut self, incoming: Incoming) -> Result<(), Ended> {
        match Request::decode(incoming.kind, &incoming.body) {
            Ok(body) => self.ask(body, incoming.responder).await,
            Err(RequestError::Unsupported { .. }) => {
                incoming.responder.unsupported().await;
                Ok(())
            }
            Err(error @ RequestError::Malformed(_)) => {
                let text = error.to_string();
                incoming.responder.refuse(Reason::BadRequest, &text).await;
                Ok(())
            }
        }
    }

    async fn ask(&mut self, body: Request, responder: Responder) -> Result<(), Ended> {
        self.log("<-", body.name());
        self.last_request = self.last_request.wrapping_add(1);
        let request = self.last_request;
        self.open.insert(request, responder);
        let asked = Event::Asked {
            session: self.id,
            request,
            body,
        };
        self.tell(asked).await
    }

    async fn answered(&mut self, order: OrderId, reply: OrderReply) -> Result<(), Ended> {
        let session = self.id;
        self.tell(Event::Answered {
            session,
            order,
            reply,
        })
        .await
    }

    async fn tell(&self, event: Event) -> Result<(), Ended> {
        self.service.send(Input::Event(event)).await.map_err(|_| Ended)
    }

    async fn send(&mut self, outgoing: Outgoing) -> Result<(), Ended> {
        match outgoing {
            Outgoing::Reply(request, reply) => {
                self.log("->", skep_wire::message::name(reply.kind()));
                if matches!(reply, Reply::Joined(_)) {
                    self.stranger = None;
                }
                if let Some(responder) = self.open.remove(&request) {
                    respond(responder, reply).await;
                }
                Ok(())
            }
            Outgoing::Order(order, body) => self.order(order, body).await,
            Outgoing::Notice(notice) => {
                self.log("->", "NewRevocations");
                self.link.tell(&notice).await.map_err(|_| Ended)
            }
            Outgoing::Close(Refused { reason, text }) => {
                self.log("->", "Refused");
                self.link.refuse(reason, &text);
                Err(Ended)
            }
        }
    }

    async fn order(&mut self, order: OrderId, body: Order) -> Result<(), Ended> {
        if self.orders.len() >= ORDERS {
            return self.answered(order, OrderReply::Failed).await;
        }
        self.log("->", skep_wire::message::name(body.kind()));
        let link = self.link.clone();
        self.orders
            .spawn(async move { (order, carry_out(&link, body).await) });
        Ok(())
    }

    fn log(&self, direction: &str, message: &str) {
        tracing::debug!(peer = self.name, session = self.id.0, "{direction} {message}");
    }
}

/// What a peer is called in logs; its grant need not be valid for that.
fn name(link: &Link) -> String {
    let grant = link.hello().grant.as_ref().and_then(|grant| grant.peek().ok());
    grant.map_or_else(|| link.peer().short(), |grant| grant.name.to_string())
}

async fn carry_out(link: &Link, body: Order) -> OrderReply {
    let reply = match body {
        Order::Dial(order) => done(link, &order).await,
        Order::WantTriples(want) => link.ask(&want).await.map(OrderReply::Deposit),
        Order::ProveShard(prove) => link.ask(&prove).await.map(OrderReply::Proof),
        Order::Rebuild(order) => done(link, &order).await,
        Order::KeepRoster(order) => done(link, &order).await,
        Order::Condemn(order) => done(link, &order).await,
        Order::Pardon(order) => done(link, &order).await,
    };
    reply.unwrap_or(OrderReply::Failed)
}

async fn done<Q: Message>(link: &Link, order: &Q) -> Result<OrderReply, AskError> {
    link.ask::<_, Done>(order).await.map(|_| OrderReply::Done)
}

async fn respond(responder: Responder, reply: Reply) {
    match reply {
        Reply::Refused(body) => responder.refuse(body.reason, &body.text).await,
        reply => responder.reply_encoded(reply.kind(), reply.encode()).await,
    }
}
