//! Asking a running peer or coordinator over the socket in its home.

use std::{
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Bytes, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use skep_node::api::types::{ErrorBody, Event, Progress};
use tokio::net::UnixStream;

use crate::failure::Failure;

/// The longest line of an answer.
const LINE_BYTES: usize = 64 << 20;

/// A running program's local API.
pub(crate) struct Client {
    socket: PathBuf,
    missing: Failure,
}

impl Client {
    /// The peer of `home`.
    pub(crate) fn peer(home: &Path) -> Self {
        let message = format!("no peer runs in {}", home.display());
        let hint = "start it with `skep up`, or name its home with --home";
        Self {
            socket: home.join(skep_node::api::SOCKET),
            missing: Failure::new("not_running", message, hint),
        }
    }

    /// The coordinator of `home`.
    pub(crate) fn coordinator(home: &Path) -> Self {
        let message = format!("no coordinator runs in {}", home.display());
        let hint = "start it with `skep coordinator`, or name its home with --home";
        Self {
            socket: home.join(skep_coordinator::api::SOCKET),
            missing: Failure::new("not_running", message, hint),
        }
    }

    /// `GET path`.
    pub(crate) async fn get<R: DeserializeOwned>(self, path: &str) -> Result<R, Failure> {
        let answer = self.send(Method::GET, path, None, None).await?;
        whole(answer).await
    }

    /// `POST path` with a body.
    pub(crate) async fn post<Q: Serialize, R: DeserializeOwned>(
        self,
        path: &str,
        body: &Q,
    ) -> Result<R, Failure> {
        let answer = self.send(Method::POST, path, Some(json(body)), None).await?;
        whole(answer).await
    }

    /// `POST path` with a body, answered by events.
    pub(crate) async fn follow<Q: Serialize, R: DeserializeOwned>(
        self,
        path: &str,
        body: &Q,
        mut told: impl FnMut(Progress),
    ) -> Result<R, Failure> {
        let mut answer = self.send(Method::POST, path, Some(json(body)), None).await?;
        if !answer.status().is_success() {
            return whole(answer).await;
        }
        let mut pending = Vec::new();
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(broken)?;
            let Some(data) = frame.data_ref() else { continue };
            pending.extend_from_slice(data);
            while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                match serde_json::from_slice(&line).map_err(|e| unreadable(&e))? {
                    Event::Progress(progress) => told(progress),
                    Event::Done(done) => return Ok(done),
                    Event::Error(body) => return Err(body.into()),
                }
            }
            if pending.len() > LINE_BYTES {
                return Err(unreadable(&"a line is too long"));
            }
        }
        Err(broken("it stopped in the middle"))
    }

    /// Hands each control message of the running peer to `show`, for as long as it is polled.
    pub(crate) async fn watch(self, show: impl Fn(&str)) -> Result<(), Failure> {
        let mut answer = self.send(Method::GET, "/v1/messages", None, None).await?;
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(broken)?;
            if let Some(data) = frame.data_ref() {
                String::from_utf8_lossy(data).lines().for_each(&show);
            }
        }
        Ok(())
    }

    /// Hands the bytes of `path`, or of a range of them, to `write` as long as that says yes.
    pub(crate) async fn read(
        self,
        path: &str,
        range: Option<&str>,
        mut write: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Failure> {
        let mut bytes = self.bytes(path, range).await?;
        while let Some(frame) = bytes.frame().await {
            let frame = frame.map_err(broken)?;
            if frame.data_ref().is_some_and(|data| !write(data)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The bytes of `path`, or of a range of them, as they come.
    pub(crate) async fn bytes(self, path: &str, range: Option<&str>) -> Result<Incoming, Failure> {
        let answer = self.send(Method::GET, path, None, range).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(refusal(answer).await)
    }

    async fn send(
        self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        range: Option<&str>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = connect(&self.socket).await.map_err(|_| self.missing)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json");
        let request = match range {
            Some(range) => request.header(header::RANGE, range),
            None => request,
        };
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// A socket's path may have 107 bytes; a folder's descriptor makes any path short.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let folder = std::fs::File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    UnixStream::connect(short).await
}

fn json<Q: Serialize>(body: &Q) -> Vec<u8> {
    serde_json::to_vec(body).expect("requests are JSON")
}

async fn whole<R: DeserializeOwned>(answer: Response<Incoming>) -> Result<R, Failure> {
    if !answer.status().is_success() {
        return Err(refusal(answer).await);
    }
    read_json(answer).await
}

async fn refusal(answer: Response<Incoming>) -> Failure {
    read_json::<ErrorBody>(answer)
        .await
        .map_or_else(|unread| unread, Failure::from)
}

async fn read_json<R: DeserializeOwned>(answer: Response<Incoming>) -> Result<R, Failure> {
    let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))
}

fn broken(error: impl ToString) -> Failure {
    let message = format!("the running program did not answer: {}", error.to_string());
    Failure::new("not_running", message, "see whether it still runs: `skep status`")
}

fn unreadable(error: &dyn ToString) -> Failure {
    let message = format!(
        "the answer of the running program cannot be read: {}",
        error.to_string()
    );
    Failure::new("internal", message, "it may be of another version: restart it")
}
