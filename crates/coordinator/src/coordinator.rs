//! A running coordinator, as its owner sees it.

use skep_engine::index::Denial;
use skep_wire::{PeerName, ticket::Ticket};
use skep_world::World;

use crate::config::{Config, Failure, InviteOptions, Ready, StartError, Status};

/// A coordinator that runs until it is stopped. Dropped, it stops at once; what was acknowledged is durable.
pub struct Coordinator {}

/// Talks to a running coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Handle {}

impl Coordinator {
    /// Opens the home (and creates the network, the first time), reads the ledger and listens.
    ///
    /// # Errors
    /// [`StartError`] when one of these fails.
    pub async fn start(_world: World, _config: Config) -> Result<Self, StartError> {
        todo!()
    }

    /// What it told at its start.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        todo!()
    }

    /// Talks to it, also from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        todo!()
    }

    /// Makes a ticket.
    ///
    /// # Errors
    /// [`Denial`] when the options make no sense, or the coordinator stops meanwhile.
    pub async fn invite(&self, _options: InviteOptions) -> Result<Ticket, Denial> {
        todo!()
    }

    /// Resolves when it is asked to stop from elsewhere ([`Handle::request_stop`]) or has failed;
    /// either way, call [`Coordinator::stop`] then, which tells.
    pub async fn stopping(&self) {
        todo!()
    }

    /// Stops: no new connections, what is queued is committed and answered, then all close. At most 5 seconds.
    ///
    /// # Errors
    /// [`Failure`] when it had ended by itself.
    pub async fn stop(self) -> Result<(), Failure> {
        todo!()
    }
}

impl Handle {
    /// Makes a ticket; resolves once it is durable.
    ///
    /// # Errors
    /// [`Denial`] when the options make no sense, or the coordinator stops meanwhile.
    pub async fn invite(&self, _options: InviteOptions) -> Result<Ticket, Denial> {
        todo!()
    }

    /// Revokes a peer's grant; resolves once it is durable.
    ///
    /// # Errors
    /// [`Denial`] when there is no such peer, or the coordinator stops meanwhile.
    pub async fn revoke(&self, _name: PeerName) -> Result<(), Denial> {
        todo!()
    }

    /// How it is doing; none when it stops meanwhile.
    pub async fn status(&self) -> Option<Status> {
        todo!()
    }

    /// Makes [`Coordinator::stopping`] resolve.
    pub fn request_stop(&self) {
        todo!()
    }
}
