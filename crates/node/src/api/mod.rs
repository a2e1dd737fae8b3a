//! The local API: JSON over HTTP on a Unix socket in the home, for the command line and scripts.
//!
//! Whoever can open the socket may do all of it: its mode is 0600.
//! Long work answers with one JSON object per line; going away stops it.

mod backups;
pub(crate) mod blobs;
mod error;
pub(crate) mod guard;
mod keeping;
mod metrics;
mod schedules;
mod transfers;
pub mod types;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{broadcast, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use self::types::{ErrorBody, Event, Progress, ShareRequest, UnshareRequest};
use crate::{Node, scanning::Scanning};

/// The socket's name in the home.
pub const SOCKET: &str = "api.sock";
/// How often long work tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// How long requests under way may take when the peer stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// The token's file in the home.
pub const TOKEN_FILE: &str = "api-token";

/// What the handlers share.
#[derive(Clone)]
struct Api {
    node: Node,
    /// Control messages as they are logged, for who wants to see them.
    messages: broadcast::Sender<String>,
    /// Cancelled when somebody wants the peer to stop.
    stop: CancellationToken,
}

/// The API of a peer, and how it is told to stop.
#[derive(Clone)]
pub struct Server(Api);

impl Server {
    /// The API of `node`. A request to stop cancels `stop`; `messages` are shown to who asks.
    #[must_use]
    pub fn new(node: Node, messages: broadcast::Sender<String>, stop: CancellationToken) -> Self {
        Self(Api { node, messages, stop })
    }

    /// Serves programs of this user, on the socket in the home, until it is stopped.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve_local(self, listener: UnixListener) -> io::Result<()> {
        let stop = self.0.stop.clone();
        let serving = axum::serve(listener, router(self.0));
        soon_after(
            stop.clone(),
            serving.with_graceful_shutdown(stop.cancelled_owned()),
        )
        .await
    }

    /// Serves who knows `token`, on a loopback address, until it is stopped.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve_loopback(self, listener: TcpListener, token: String) -> io::Result<()> {
        let port = listener.local_addr()?.port();
        let stop = self.0.stop.clone();
        let token: Arc<str> = token.into();
        let guarded = router(self.0).layer(middleware::from_fn(move |request: Request, next: Next| {
            let token = token.clone();
            async move {
                match guard::admit(request.headers(), port, &token) {
                    Ok(()) => next.run(request).await,
                    Err(status) => status.into_response(),
                }
            }
        }));
        let serving = axum::serve(listener, guarded);
        soon_after(
            stop.clone(),
            serving.with_graceful_shutdown(stop.cancelled_owned()),
        )
        .await
    }
}

/// Makes the socket: a new file of mode 0600, in the place of one that a dead process left.
///
/// # Errors
/// When it cannot be made.
pub fn bind(socket: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Waits for `serving` to end by itself after `stop`, but not for long.
async fn soon_after(
    stop: CancellationToken,
    serving: impl IntoFuture<Output = io::Result<()>>,
) -> io::Result<()> {
    let late = async {
        stop.cancelled().await;
        time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        biased;
        served = serving.into_future() => served,
        () = late => Ok(()),
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/shares", get(shares))
        .route("/v1/share", post(share))
        .route("/v1/unshare", post(unshare))
        .merge(transfers::routes())
        .merge(backups::routes())
        .merge(schedules::routes())
        .merge(keeping::routes())
        .route("/v1/blobs/{*what}", get(blobs::read))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/messages", get(messages))
        .route("/v1/stop", post(stop))
        .fallback(nothing_here)
        .with_state(api)
}

async fn ready(State(api): State<Api>) -> Response {
    Json(api.node.ready()).into_response()
}

async fn status(State(api): State<Api>) -> Response {
    Json(backups::whole_status(&api.node).await).into_response()
}

async fn peers(State(api): State<Api>) -> Result<Response, ErrorBody> {
    Ok(Json(api.node.peers().await?).into_response())
}

/// `?words=a+b` searches, `?local=true` lists what is here.
#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    words: String,
    #[serde(default)]
    local: bool,
}

async fn shares(State(api): State<Api>, Query(listing): Query<Listing>) -> Result<Response, ErrorBody> {
    if listing.local {
        return Ok(Json(api.node.local_shares()).into_response());
    }
    let words = listing.words.split_whitespace().map(str::to_owned).collect();
    Ok(Json(api.node.shares(words).await?).into_response())
}

async fn share(State(api): State<Api>, Json(request): Json<ShareRequest>) -> Response {
    let scanning = Arc::new(Scanning::default());
    let (tell, told) = watch::channel(Progress::default());
    let stop = api.stop.clone();
    let work = async move {
        let _stopped_when_dropped = scanning.clone().stop_on_drop();
        let telling = scanning.tell(&tell);
        tokio::select! {
            biased;
            done = api.node.share(request, scanning.clone()) => done.map_err(ErrorBody::from),
            never = telling => match never {},
        }
    };
    stream(work, told, stop)
}

async fn unshare(State(api): State<Api>, Json(request): Json<UnshareRequest>) -> Result<Response, ErrorBody> {
    api.node.unshare(&request.name).await?;
    Ok(Json(serde_json::json!({})).into_response())
}

async fn stop(State(api): State<Api>) -> Response {
    api.stop.cancel();
    Json(serde_json::json!({})).into_response()
}

/// Every control message from now on, a line each, as long as somebody reads.
async fn messages(State(api): State<Api>) -> Response {
    let mut told = api.messages.subscribe();
    let (mut lines, body) = Channel::<Bytes, io::Error>::new(64);
    tokio::spawn(async move {
        loop {
            let line = match told.recv().await {
                Ok(line) => line + "\n",
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    format!("({missed} messages not shown)\n")
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if lines.send_data(line.into()).await.is_err() {
                return;
            }
        }
    });
    Body::new(body).into_response()
}

async fn nothing_here() -> Response {
    let body = ErrorBody {
        kind: "not_found".to_owned(),
        message: "the local API has nothing at this path".to_owned(),
        hint: "the program and the running peer may be of different versions".to_owned(),
    };
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

fn stopping() -> ErrorBody {
    ErrorBody {
        kind: "stopping".to_owned(),
        message: "the peer was told to stop".to_owned(),
        hint: "start it with `skep up` and run the same command again: it goes on where it was".to_owned(),
    }
}

/// Answers with a line of JSON for each event of `work`, and stops it when nobody reads them or
/// the peer stops.
fn stream<T: Serialize + Send + 'static>(
    work: impl Future<Output = Result<T, ErrorBody>> + Send + 'static,
    progress: watch::Receiver<Progress>,
    stop: CancellationToken,
) -> Response {
    let (lines, body) = Channel::<Bytes, io::Error>::new(16);
    tokio::spawn(tell_all(work, progress, lines, stop));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response()
}

async fn tell_all<T: Serialize>(
    work: impl Future<Output = Result<T, ErrorBody>>,
    progress: watch::Receiver<Progress>,
    mut lines: Sender<Bytes, io::Error>,
    stop: CancellationToken,
) {
    let mut work = std::pin::pin!(work);
    let mut tick = time::interval(TELL_EVERY);
    let last = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            () = stop.cancelled() => break Err(stopping()),
            _ = tick.tick() => {
                let now = progress.borrow().clone();
                if lines.send_data(line(&Event::<()>::Progress(now))).await.is_err() {
                    return;
                }
            }
        }
    };
    let last = match last {
        Ok(done) => line(&Event::Done(done)),
        Err(error) => line(&Event::<()>::Error(error)),
    };
    // Whoever asked may be gone; the work is done all the same.
    let _ = lines.send_data(last).await;
}

fn line<T: Serialize>(event: &Event<T>) -> Bytes {
    let mut text = serde_json::to_vec(event).expect("events are JSON");
    text.push(b'\n');
    text.into()
}
