//! Downloads: begun, watched, paused, resumed, cancelled, limited.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio_util::sync::CancellationToken;

use super::{
    Api, stream,
    types::{ErrorBody, GetRequest, LimitRequest, Which},
};
use crate::{Node, fetch::Watcher};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/get", post(download))
        .route("/v1/downloads", get(downloads))
        .route("/v1/downloads/pause", post(pause))
        .route("/v1/downloads/resume", post(resume))
        .route("/v1/downloads/cancel", post(cancel))
        .route("/v1/limits", get(limits).post(limit))
}

/// Pauses a download whose watcher has gone away; not if the peer stops, or if it is over.
struct PauseWhenDropped {
    node: Node,
    watcher: Watcher,
    stop: CancellationToken,
}

impl Drop for PauseWhenDropped {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            return;
        }
        let (node, watcher) = (self.node.clone(), self.watcher);
        tokio::spawn(async move { node.unwatched(watcher).await });
    }
}

async fn download(State(api): State<Api>, Json(request): Json<GetRequest>) -> Result<Response, ErrorBody> {
    let getting = api.node.get(&request).await?;
    let told = getting.progress();
    let watcher = PauseWhenDropped {
        node: api.node,
        watcher: getting.watcher(),
        stop: api.stop.clone(),
    };
    let work = async move {
        let _watcher = watcher;
        getting.done().await.map_err(|error| ErrorBody::from(&*error))
    };
    Ok(stream(work, told, api.stop))
}

async fn downloads(State(api): State<Api>) -> Response {
    Json(api.node.downloads()).into_response()
}

async fn pause(State(api): State<Api>, Json(which): Json<Which>) -> Result<Response, ErrorBody> {
    let lines = api.node.pause(which.download.as_deref()).await?;
    Ok(Json(lines).into_response())
}

async fn resume(State(api): State<Api>, Json(which): Json<Which>) -> Result<Response, ErrorBody> {
    let lines = api.node.resume(which.download.as_deref()).await?;
    Ok(Json(lines).into_response())
}

async fn cancel(State(api): State<Api>, Json(which): Json<Which>) -> Result<Response, ErrorBody> {
    let lines = api.node.cancel(which.download.as_deref()).await?;
    Ok(Json(lines).into_response())
}

async fn limits(State(api): State<Api>) -> Response {
    Json(api.node.limits()).into_response()
}

async fn limit(State(api): State<Api>, Json(request): Json<LimitRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(api.node.limit(&request).await?).into_response())
}
