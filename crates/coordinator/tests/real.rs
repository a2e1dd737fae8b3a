//! A coordinator on the real machine: TLS over loopback, files on the disk, the local API on its socket.

#![allow(clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use serde_json::{Value, json};
use skep_coordinator::{
    Config, Coordinator, StartError,
    api::{SOCKET, Server},
};
use skep_net::{Limits, Link, Tls};
use skep_wire::{
    SigningKey,
    message::{Hello, Join, Joined, Lane},
    ticket::Ticket,
};
use skep_world::World;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

fn world() -> World {
    World::real(Arc::new(Tls), 2)
}

async fn start(home: &Path) -> Result<Coordinator, StartError> {
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    Coordinator::start(world(), Config::new(home.to_owned(), listen)).await
}

/// A coordinator with its API, in a folder of its own.
async fn served() -> (TempDir, Coordinator, Server) {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(folder.path()).await.unwrap();
    let server = Server::start(folder.path(), coordinator.handle()).unwrap();
    (folder, coordinator, server)
}

/// Makes one call. Returns the status and the body.
async fn call(home: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut socket = UnixStream::connect(home.join(SOCKET)).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: skep\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn post(home: &Path, path: &str, body: Value) -> (u16, Value) {
    call(home, "POST", path, &body.to_string()).await
}

async fn join(ticket: &Ticket, name: &str) -> Joined {
    let world = world();
    let key = Arc::new(SigningKey::from_seed(world.entropy.bytes32()));
    let stream = world
        .network
        .dial(&key, &ticket.coordinators[0], None)
        .await
        .unwrap();
    let hello = Hello {
        features: 0,
        agent: "test".to_owned(),
        lane: Lane::Control,
        grant: None,
        certificate: None,
        revocations: 0,
    };
    let (link, _inbox) = Link::open(stream, hello, Limits::of(Lane::Control))
        .await
        .unwrap();
    let join = Join {
        secret: ticket.secret,
        name: Some(name.parse().unwrap()),
        role: None,
    };
    link.ask(&join).await.unwrap()
}

#[tokio::test]
async fn an_invited_peer_joins_over_tls_and_can_be_revoked() {
    let (folder, coordinator, server) = served().await;
    let home = folder.path();
    let (status, invited) = post(
        home,
        "/v1/invite",
        json!({"role": "both", "expires_s": 600, "uses": 1}),
    )
    .await;
    assert_eq!(status, 200, "{invited}");
    let ticket: Ticket = invited["ticket"].as_str().unwrap().parse().unwrap();
    assert_eq!(ticket.coordinators[0].port, coordinator.ready().listen.port());
    let joined = join(&ticket, "ada").await;
    assert!(joined.grant.open(&ticket.network.0).is_ok());

    let (status, counts) = call(home, "GET", "/v1/status", "").await;
    assert_eq!((status, &counts["peers"]), (200, &json!(1)));
    assert_eq!(counts["network"], json!(ticket.network.to_string()));
    let (status, empty) = post(home, "/v1/revoke", json!({"name": "ada"})).await;
    assert_eq!((status, empty), (200, json!({})));
    let (_, counts) = call(home, "GET", "/v1/status", "").await;
    assert_eq!(counts["peers"], json!(0));
    server.stop().await;
    coordinator.stop().await.unwrap();
    assert!(!home.join(SOCKET).exists());
}

#[tokio::test]
async fn the_api_says_what_was_wrong() {
    let (folder, coordinator, server) = served().await;
    let home = folder.path();
    let wrong = [
        ("POST", "/v1/revoke", r#"{"name": "nobody"}"#, 404, "not_found"),
        ("POST", "/v1/revoke", r#"{"name": "../x"}"#, 400, "bad_request"),
        (
            "POST",
            "/v1/invite",
            r#"{"role": "king", "expires_s": 1, "uses": 1}"#,
            400,
            "bad_request",
        ),
        (
            "POST",
            "/v1/invite",
            r#"{"role": "both", "expires_s": 600, "uses": 0}"#,
            400,
            "bad_request",
        ),
        ("POST", "/v1/invite", "not json", 400, "bad_request"),
        ("GET", "/v1/invite", "", 400, "bad_request"),
        ("GET", "/v1/stop", "", 400, "bad_request"),
        ("POST", "/v1/nothing", "{}", 404, "not_found"),
    ];
    for (method, path, body, status, kind) in wrong {
        let (found, error) = call(home, method, path, body).await;
        let story = format!("{method} {path} {body}: {error}");
        assert_eq!((found, &error["kind"]), (status, &json!(kind)), "{story}");
        assert!(
            error["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{story}"
        );
        assert!(error["hint"].is_string(), "{story}");
    }
    server.stop().await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn stop_is_asked_for_over_the_api() {
    let (folder, coordinator, server) = served().await;
    let (status, _) = post(folder.path(), "/v1/stop", json!({})).await;
    assert_eq!(status, 200);
    coordinator.stopping().await;
    server.stop().await;
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn what_lies_in_the_home_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let coordinator = start(&home).await.unwrap();
    let server = Server::start(&home, coordinator.handle()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    for file in ["key", "network-key", "ledger", "lock", SOCKET] {
        assert_eq!(mode(&home.join(file)), 0o600, "{file}");
    }
    assert!(matches!(start(&home).await, Err(StartError::InUse { .. })));
    // A socket that a killed process left behind is replaced.
    drop(server);
    let server = Server::start(&home, coordinator.handle()).unwrap();
    assert_eq!(call(&home, "GET", "/v1/status", "").await.0, 200);
    server.stop().await;
    coordinator.stop().await.unwrap();
}
