//! The local API of a coordinator: HTTP over a Unix socket in its home, for the command line.
//!
//! `POST /v1/invite` ([`Invite`] to [`Invited`]), `POST /v1/revoke` ([`Revoke`] to `{}`),
//! `GET /v1/status` ([`Status`]), `POST /v1/stop` (to `{}`). Bodies are JSON. A denial is a status
//! of 400 and above with [`ErrorBody`]. Whoever can open the socket (mode 0600) may do all of it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use skep_engine::index::Denial;
use skep_wire::{PeerName, message::Reason, record::Role};
use tokio::{net::UnixListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use crate::config::Status;
use crate::{config::InviteOptions, coordinator::Handle};

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

/// The most bytes of a request's body.
const BODY_BYTES: usize = 16 << 10;
/// How long requests under way may take when the API stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// The API, served until it is dropped.
pub struct Server {
    path: PathBuf,
    stop: CancellationToken,
    task: AbortOnDropHandle<io::Result<()>>,
}

impl Server {
    /// Serves the API on the socket `api.sock` in `home`, replacing a socket left by a process that died.
    ///
    /// The coordinator's lock on `home` is what keeps two processes from serving it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(home: &Path, handle: Handle) -> io::Result<Self> {
        let path = home.join(SOCKET);
        let listener = listen(&path)?;
        let stop = CancellationToken::new();
        let serving = axum::serve(listener, routes(handle))
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        let task = AbortOnDropHandle::new(tokio::spawn(serving));
        Ok(Self { path, stop, task })
    }

    /// Stops serving, after the requests under way, and removes the socket.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = timeout(LAST_REQUESTS, self.task).await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket of the local API is gone already");
        }
    }
}

/// A socket that only this user can connect to.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/v1/invite", post(invite))
        .route("/v1/revoke", post(revoke))
        .route("/v1/status", get(status))
        .route("/v1/stop", post(stop))
        .fallback(async || Denied::new(Reason::NotFound, "there is no such call"))
        .method_not_allowed_fallback(async || {
            Denied::new(Reason::BadRequest, "this call is made with another method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(handle)
}

type Body<T> = Result<Json<T>, JsonRejection>;

async fn invite(State(handle): State<Handle>, body: Body<Invite>) -> Result<Json<Invited>, Denied> {
    let Json(wanted) = body?;
    let options = InviteOptions {
        role: wanted.role,
        expires: Duration::from_secs(wanted.expires_s),
        uses: wanted.uses,
    };
    let ticket = handle.invite(options).await?.to_string();
    Ok(Json(Invited { ticket }))
}

async fn revoke(State(handle): State<Handle>, body: Body<Revoke>) -> Result<Json<Empty>, Denied> {
    let Json(wanted) = body?;
    let name = PeerName::parse(&wanted.name).map_err(|e| Denied::new(Reason::BadRequest, e.to_string()))?;
    handle.revoke(name).await?;
    Ok(Json(Empty {}))
}

async fn status(State(handle): State<Handle>) -> Result<Json<Status>, Denied> {
    let stopping = || Denied::new(Reason::Busy, "the coordinator is stopping");
    handle.status().await.map(Json).ok_or_else(stopping)
}

async fn stop(State(handle): State<Handle>) -> Json<Empty> {
    handle.request_stop();
    Json(Empty {})
}

/// `{}`.
#[derive(Serialize)]
struct Empty {}

/// A denial on its way out.
struct Denied(Denial);

impl Denied {
    fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self(Denial { reason, text })
    }
}

impl From<Denial> for Denied {
    fn from(denial: Denial) -> Self {
        Self(denial)
    }
}

impl From<JsonRejection> for Denied {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(Reason::BadRequest, rejection.body_text())
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let Self(Denial { reason, text }) = self;
        let (status, kind, hint) = describe(reason);
        let body = ErrorBody {
            kind: kind.to_owned(),
            message: text,
            hint: hint.to_owned(),
        };
        (status, Json(body)).into_response()
    }
}

/// Status, word and advice for a reason that the administration can meet.
fn describe(reason: Reason) -> (StatusCode, &'static str, &'static str) {
    match reason {
        Reason::NotFound => (
            StatusCode::NOT_FOUND,
            "not_found",
            "see `skep peers` for the names",
        ),
        Reason::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "try again in a moment"),
        Reason::Full => (StatusCode::CONFLICT, "full", "wait until older ones have expired"),
        Reason::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "see the coordinator's log",
        ),
        Reason::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed", ""),
        _ => (StatusCode::BAD_REQUEST, "bad_request", "correct the request"),
    }
}
