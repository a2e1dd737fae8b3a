//! What is kept for others: listed, given away, left behind.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::watch;

use super::{
    Api, stream,
    types::{EvictRequest, LeaveRequest, Progress},
};
use crate::hold;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/kept", get(kept))
        .route("/v1/evict", post(evict))
        .route("/v1/leave", post(leave))
}

async fn kept(State(api): State<Api>) -> Response {
    Json(hold::kept(&api.node.core).await).into_response()
}

async fn evict(State(api): State<Api>, Json(request): Json<EvictRequest>) -> Response {
    let (tell, told) = watch::channel(Progress::default());
    let stop = api.stop.clone();
    let work = async move { Ok(api.node.evict(request, &tell).await?) };
    stream(work, told, stop)
}

async fn leave(State(api): State<Api>, Json(request): Json<LeaveRequest>) -> Response {
    let (tell, told) = watch::channel(Progress::default());
    let stop = api.stop.clone();
    let work = async move {
        let done = api.node.leave(request, &tell).await?;
        api.stop.cancel();
        Ok(done)
    };
    stream(work, told, stop)
}
