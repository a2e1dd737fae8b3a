//! Files over HTTP, with ranges, so that a player can seek in what is not there yet.
//!
//! RFC 9110: single ranges, `If-Range` and `If-None-Match` by the id, which is a strong validator.
//! Several ranges in one request are answered by the whole, which the standard allows.

use std::{io, ops::Range};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::channel::Channel;
use tokio::sync::mpsc;

use super::{Api, types::ErrorBody};
use crate::fetch::{GetError, Stream};

/// What a request wants of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    All,
    /// A part, which lies in it.
    Part(Range<u64>),
    /// What is not there.
    Nothing,
}

/// `GET /v1/blobs/NAME`, and whatever else `get` takes: the bytes of a file, or of a range of it.
pub(super) async fn read(
    State(api): State<Api>,
    Path(what): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let stream = match api.node.open(&what).await {
        Ok(stream) => stream,
        Err(error) => return refusal(&error),
    };
    let tag = format!("\"{}\"", stream.id());
    if header(&headers, header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let size = stream.size();
    let ranged = header(&headers, header::RANGE)
        .filter(|_| header(&headers, header::IF_RANGE).is_none_or(|known| known == tag));
    let (status, range) = match ranged.map_or(Wanted::All, |value| wanted(value, size)) {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return unsatisfiable(size),
    };
    let length = range.end - range.start;
    let mut response = if method == Method::HEAD {
        Body::empty().into_response()
    } else {
        match body(&stream, range.clone()).await {
            Ok(body) => body.into_response(),
            Err(error) => return refusal(&error),
        }
    };
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let of = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        set(&mut response, header::CONTENT_RANGE, &of);
    }
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    // What others share is no page of ours.
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::ETAG, &tag);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The first bytes are waited for, so that an answer that begins well is likely to end well.
async fn body(stream: &Stream, range: Range<u64>) -> Result<Body, GetError> {
    let mut bytes = stream.read(range);
    let Some(first) = bytes.recv().await else {
        return Ok(Body::empty());
    };
    let (sender, body) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(pass_on(first?, bytes, sender));
    Ok(Body::new(body))
}

async fn pass_on(
    first: Bytes,
    mut bytes: mpsc::Receiver<Result<Bytes, GetError>>,
    mut sender: http_body_util::channel::Sender<Bytes, io::Error>,
) {
    let mut next = Some(Ok(first));
    while let Some(piece) = next {
        let sent = match piece {
            Ok(piece) => sender.send_data(piece).await,
            // An answer that breaks off cannot be taken for a whole one.
            Err(error) => return sender.abort(io::Error::other(error)),
        };
        if sent.is_err() {
            // Whoever has gone needs no more.
            return;
        }
        next = bytes.recv().await;
    }
}

/// Reads a `Range` for a file of `size` bytes. What is not understood counts as not said.
pub(crate) fn wanted(value: &str, size: u64) -> Wanted {
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Wanted::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Wanted::All,
    };
    if range.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Part(range)
    }
}

fn unsatisfiable(size: u64) -> Response {
    let body = ErrorBody {
        kind: "bad_range".to_owned(),
        message: format!("the range lies beyond the end: there are {size} bytes"),
        hint: "bytes are counted from 0".to_owned(),
    };
    let mut response = body.into_response();
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn refusal(error: &GetError) -> Response {
    let body = ErrorBody::from(error);
    let status = match body.kind.as_str() {
        "not_found" => StatusCode::NOT_FOUND,
        "no_holders" | "not_connected" | "stopping" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = body.into_response();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-99", Wanted::Part(0..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Nothing),
        ];
        for (value, expected) in cases {
            assert_eq!(wanted(value, 100), expected, "{value}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_not_understood_counts_as_not_said() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,5-6",
            "bytes=a-b",
            "items=0-1",
            "bytes=+1-2-3",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(wanted(value, 100), Wanted::All, "{value}");
        }
    }
}
