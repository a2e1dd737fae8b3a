//! Becoming a peer of a network with a ticket.
//!
//! The coordinator proves itself first: its certificate, signed by the network key of the ticket,
//! must name the key it used in TLS. Only then does it see the secret.

use skep_net::{AskError, Limits, Link, OpenError};
use skep_wire::{
    PeerName, SigningKey,
    message::{Endpoint, Hello, Join, Joined, Lane, Reason},
    record::Role,
    ticket::Ticket,
};
use skep_world::World;
use std::sync::Arc;
use thiserror::Error;

use crate::trust::Trust;

/// Why this peer did not become one.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The ticket is too old.
    #[error("the ticket has expired")]
    Expired,
    /// None of the ticket's coordinators could be reached.
    #[error("no coordinator of the ticket can be reached: {0}")]
    Unreachable(String),
    /// What answers is no coordinator of the ticket's network.
    #[error("what answers at {0} is not a coordinator of the ticket's network")]
    WrongCoordinator(String),
    /// The coordinator said no.
    #[error("the coordinator denied it: {text}")]
    Denied {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
    /// The connection failed in the middle.
    #[error("the connection to the coordinator failed: {0}")]
    Failed(String),
}

/// What a newcomer asks for.
pub(crate) struct Newcomer<'a> {
    /// Its key.
    pub(crate) key: &'a Arc<SigningKey>,
    /// The name it wants.
    pub(crate) name: Option<PeerName>,
    /// The role it wants.
    pub(crate) role: Option<Role>,
    /// Its program.
    pub(crate) agent: &'a str,
}

/// Joins the network of `ticket` through the first of its coordinators that answers.
pub(crate) async fn join(
    world: &World,
    ticket: &Ticket,
    newcomer: &Newcomer<'_>,
) -> Result<Joined, JoinError> {
    let now = world.clock.now().unix_s;
    if ticket.expires_unix_s != 0 && ticket.expires_unix_s < now {
        return Err(JoinError::Expired);
    }
    let mut last = JoinError::Unreachable("the ticket names none".to_owned());
    for at in &ticket.coordinators {
        match join_at(world, ticket, newcomer, at).await {
            Err(unreachable @ JoinError::Unreachable(_)) => last = unreachable,
            outcome => return outcome,
        }
    }
    Err(last)
}

async fn join_at(
    world: &World,
    ticket: &Ticket,
    newcomer: &Newcomer<'_>,
    at: &Endpoint,
) -> Result<Joined, JoinError> {
    let unreachable =
        |e: &dyn std::fmt::Display| JoinError::Unreachable(format!("{}:{}: {e}", at.host, at.port));
    let stream = world
        .network
        .dial(newcomer.key, at, None)
        .await
        .map_err(|e| unreachable(&e))?;
    let hello = Hello {
        features: 0,
        agent: newcomer.agent.to_owned(),
        lane: Lane::Control,
        grant: None,
        certificate: None,
        revocations: 0,
    };
    let opened = Link::open(stream, hello, Limits::of(Lane::Control)).await;
    let (link, _inbox) = opened.map_err(|e| match e {
        OpenError::Refused { reason, text } => JoinError::Denied { reason, text },
        e => unreachable(&e),
    })?;
    let trust = Trust::new(ticket.network);
    if !trust.is_coordinator(world.clock.now().unix_s, link.peer(), link.hello()) {
        link.close();
        return Err(JoinError::WrongCoordinator(format!("{}:{}", at.host, at.port)));
    }
    let request = Join {
        secret: ticket.secret,
        name: newcomer.name.clone(),
        role: newcomer.role,
    };
    let joined: Result<Joined, AskError> = link.ask(&request).await;
    link.close();
    let joined = joined.map_err(|e| match e {
        AskError::Refused { reason, text } => JoinError::Denied { reason, text },
        e => JoinError::Failed(e.to_string()),
    })?;
    let ours = joined
        .grant
        .open(ticket.network.as_bytes())
        .is_ok_and(|g| g.peer == newcomer.key.peer_id());
    if ours {
        Ok(joined)
    } else {
        Err(JoinError::Failed("it sent a grant that is not for us".to_owned()))
    }
}
