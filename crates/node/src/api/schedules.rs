//! Backups that the peer makes by itself: listed, made, removed.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    Api,
    types::{ErrorBody, ScheduleRemoval, ScheduleRequest},
};
use crate::schedule;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/schedules", get(list).post(add))
        .route("/v1/schedules/remove", post(remove))
}

async fn list(State(api): State<Api>) -> Result<Response, ErrorBody> {
    Ok(Json(schedule::list(&api.node.core).await?).into_response())
}

async fn add(State(api): State<Api>, Json(request): Json<ScheduleRequest>) -> Result<Response, ErrorBody> {
    Ok(Json(schedule::add(&api.node.core, request).await?).into_response())
}

async fn remove(State(api): State<Api>, Json(request): Json<ScheduleRemoval>) -> Result<Response, ErrorBody> {
    schedule::remove(&api.node.core, request.number).await?;
    Ok(Json(request).into_response())
}
