//! A listener without free descriptors: it waits without spinning, and goes on when there is room.
//!
//! Alone in its file, and so in its process: it takes all descriptors.

#![allow(clippy::unwrap_used)]

use std::{fs::File, net::Ipv4Addr, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skep_net::Tls;
use skep_wire::{SigningKey, message::Endpoint};
use skep_world::Network;
use tokio::time::timeout;

/// Processor time of this thread.
fn worked() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn exhausted_descriptors_are_waited_for() {
    let few = Rlimit {
        current: Some(128),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let key = |seed| Arc::new(SigningKey::from_seed([seed; 32]));
    let listener = Tls
        .listen(&key(1), (Ipv4Addr::LOCALHOST, 0).into())
        .await
        .unwrap();
    let to = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: listener.local().port(),
    };
    let me = key(2);
    let mut dialling = Box::pin(Tls.dial(&me, &to, None));
    // The kernel completes the connection; nobody has accepted it yet.
    assert!(timeout(Duration::from_millis(100), &mut dialling).await.is_err());

    let before = worked();
    let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(
        timeout(Duration::from_millis(500), listener.accept())
            .await
            .is_err()
    );
    drop(all);
    assert!(worked() - before < Duration::from_millis(100), "it spins");

    let both = async { tokio::join!(dialling, listener.accept()) };
    let (dialled, accepted) = timeout(Duration::from_secs(10), both).await.unwrap();
    assert!(dialled.is_ok());
    assert_eq!(accepted.unwrap().peer, me.peer_id());
}
