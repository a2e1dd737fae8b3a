//! Backups: made, listed, restored, checked; the owner's words.

use std::{io, path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::channel::Channel;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::{
    Api, stream,
    types::{
        BackupRequest, CheckRequest, DiffRequest, ErrorBody, ForgetRequest, LookRequest, PhraseBody,
        Progress, PruneRequest, RestoreRequest, RevokeRequest, Status,
    },
};
use crate::{
    Node,
    backup::{self, BackupError, Meter},
    schedule,
};

/// Parts of a file that wait to be sent.
const PARTS: usize = 4;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/backup", post(back_up))
        .route("/v1/snapshots", get(snapshots))
        .route("/v1/restore", post(restore))
        .route("/v1/check", post(check))
        .route("/v1/forget", post(forget))
        .route("/v1/prune", post(prune))
        .route("/v1/snapshot/ls", post(look))
        .route("/v1/snapshot/diff", post(diff))
        .route("/v1/snapshots/{snapshot}/{*path}", get(file))
        .route("/v1/recovery-phrase", post(phrase))
        .route("/v1/recovery-phrase/remove", post(drop_phrase))
        .route("/v1/recover", post(recover))
        .route("/v1/devices", get(devices))
        .route("/v1/devices/revoke", post(revoke))
}

async fn back_up(State(api): State<Api>, Json(request): Json<BackupRequest>) -> Response {
    let core = api.node.core.clone();
    long(api, "backing up", async move |meter| {
        backup::back_up(&core, request, meter).await
    })
}

async fn restore(State(api): State<Api>, Json(request): Json<RestoreRequest>) -> Response {
    let core = api.node.core.clone();
    long(api, "restoring", async move |meter| {
        backup::restore(&core, request, meter).await
    })
}

async fn check(State(api): State<Api>, Json(request): Json<CheckRequest>) -> Response {
    let core = api.node.core.clone();
    long(api, "checking", async move |meter| {
        backup::check(&core, request, meter).await
    })
}

async fn prune(State(api): State<Api>, Json(request): Json<PruneRequest>) -> Response {
    let core = api.node.core.clone();
    long(api, "pruning", async move |meter| {
        backup::prune(&core, request, meter).await
    })
}

/// Long work that tells how far it is, and stops when nobody waits for it any more.
fn long<T, F>(api: Api, state: &'static str, work: impl FnOnce(Arc<Meter>) -> F + Send + 'static) -> Response
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, BackupError>> + Send,
{
    let (tell, told) = watch::channel(Progress::default());
    let meter = Arc::new(Meter::default());
    let work = async move {
        tokio::select! {
            biased;
            done = work(meter.clone()) => done.map_err(ErrorBody::from),
            never = meter.tell(state, &tell) => match never {},
        }
    };
    stream(work, told, api.stop)
}

async fn snapshots(State(api): State<Api>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::list(&api.node.core).await?).into_response())
}

async fn forget(State(api): State<Api>, Json(request): Json<ForgetRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::forget(&api.node.core, request).await?).into_response())
}

async fn look(State(api): State<Api>, Json(request): Json<LookRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::look(&api.node.core, request).await?).into_response())
}

async fn diff(State(api): State<Api>, Json(request): Json<DiffRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::diff(&api.node.core, request).await?).into_response())
}

/// The bytes of a file of a snapshot.
async fn file(
    State(api): State<Api>,
    Path((snapshot, path)): Path<(String, PathBuf)>,
) -> Result<Response, ErrorBody> {
    let (bytes, mut parts) = mpsc::channel(PARTS);
    let core = api.node.core.clone();
    let reading = tokio::spawn(async move {
        let request = LookRequest { snapshot, path };
        backup::cat(&core, request, bytes).await
    });
    let first = parts.recv().await;
    if first.is_none() {
        // Nothing came: there is nothing in it, or something was wrong, which can still be said.
        reading.await.unwrap_or(Err(BackupError::Stopped))?;
        return Ok(Body::empty().into_response());
    }
    let (mut out, body) = Channel::<Bytes, io::Error>::new(PARTS);
    tokio::spawn(async move {
        let mut next = first;
        while let Some(part) = next {
            if out.send_data(part.into()).await.is_err() {
                return;
            }
            next = parts.recv().await;
        }
        if !matches!(reading.await, Ok(Ok(()))) {
            out.abort(io::ErrorKind::UnexpectedEof.into());
        }
    });
    Ok(Body::new(body).into_response())
}

/// How the peer stands, its backups included. What cannot be told just now is left out.
pub(super) async fn whole_status(node: &Node) -> Status {
    let told = backup::status(&node.core).await;
    let backups = told.unwrap_or_else(|error| {
        tracing::info!("how the backups stand cannot be told: {error}");
        None
    });
    let schedules = schedule::list(&node.core).await.unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Vec::new()
    });
    Status {
        backups,
        schedules,
        ..node.status()
    }
}

/// A secret is asked for by POST: nothing on the way keeps the answer.
async fn phrase(State(api): State<Api>) -> Result<Response, ErrorBody> {
    let phrase = backup::phrase(&api.node.core).await?;
    let phrase = phrase.words().to_string();
    Ok(Json(PhraseBody { phrase }).into_response())
}

async fn drop_phrase(State(api): State<Api>, Json(words): Json<PhraseBody>) -> Result<Response, ErrorBody> {
    backup::drop_phrase(&api.node.core, &words.phrase).await?;
    Ok(Json(serde_json::json!({})).into_response())
}

async fn recover(State(api): State<Api>, Json(words): Json<PhraseBody>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::recover(&api.node.core, &words.phrase).await?).into_response())
}

async fn devices(State(api): State<Api>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::devices(&api.node.core).await?).into_response())
}

async fn revoke(State(api): State<Api>, Json(request): Json<RevokeRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(backup::revoke(&api.node.core, request).await?).into_response())
}
