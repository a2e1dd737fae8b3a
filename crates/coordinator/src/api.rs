//! The local API of a coordinator: HTTP over a Unix socket in its home, for the command line.
//!
//! `POST /v1/invite` ([`Invite`] to [`Invited`]), `POST /v1/revoke` ([`Revoke`] to `{}`),
//! `GET /v1/status` ([`Status`]), `POST /v1/stop` (to `{}`). Bodies are JSON. A denial is a status
//! of 400 and above with [`ErrorBody`]. Whoever can open the socket (mode 0600) may do all of it.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use skep_wire::record::Role;

pub use crate::config::Status;
use crate::coordinator::Handle;

/// The socket's name in the coordinator's home.
pub const SOCKET: &str = "api.sock";

/// Asks for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// The widest role it allows.
    pub role: Role,
    /// How long it holds.
    pub expires_s: u64,
    /// How many keys may join with it.
    pub uses: u32,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// Its text.
    pub ticket: String,
}

/// Asks to revoke a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Its name.
    pub name: String,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One word for programs, e.g. `not_found`.
    pub kind: String,
    /// One sentence: what failed, about what.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

/// The API, served until it is dropped.
pub struct Server {}

impl Server {
    /// Serves the API on the socket `api.sock` in `home`, replacing a socket left by a process that died.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(_home: &Path, _handle: Handle) -> io::Result<Self> {
        todo!()
    }

    /// Stops serving, after the requests under way, and removes the socket.
    pub async fn stop(self) {
        todo!()
    }
}
