//! Bounds: of connections, of time, of what a peer can make the coordinator do.

use std::time::Duration;

use skep_coordinator::InviteOptions;
use skep_net::CloseReason;
use skep_wire::message::{Attend, Endpoint, Heartbeat, HeartbeatSeen, Lane, Reason, Welcome};
use tokio::{task::JoinSet, time::Instant};

use crate::town::{HEARTBEAT, Peer, Town, holders, publish, welcome};

fn attend(port: u16, advertise: Option<&str>) -> Attend {
    Attend {
        listen_port: port,
        advertise: advertise.map(str::to_owned),
        capacity_bytes: 0,
        used_bytes: 0,
        site: None,
        holdings: [0; 32],
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_dialled_back_where_it_comes_from_and_told() {
    let mut town = Town::new(31);
    let coordinator = town.open().await;
    let (peer, link) = town.member(&coordinator, "ada").await;
    let listener = peer
        .world
        .network
        .listen(&peer.key, "10.0.0.11:4000".parse().unwrap())
        .await
        .unwrap();
    let _: Welcome = link.ask(&attend(4000, None)).await.unwrap();
    let dialled = listener.accept().await.unwrap();
    assert_eq!(dialled.peer, coordinator.ready().id);
    assert_eq!(dialled.remote.ip().to_string(), "10.0.0.1");
    assert_eq!(reachable(&link).await, Some(true));

    // Where another key answers, or nobody, it is not to be reached.
    let other = town.peer();
    let _listener = other
        .world
        .network
        .listen(&other.key, "10.0.0.12:4000".parse().unwrap())
        .await
        .unwrap();
    let _: Welcome = link.ask(&attend(4000, Some("10.0.0.12"))).await.unwrap();
    assert_eq!(reachable(&link).await, Some(false));
    coordinator.stop().await.unwrap();
}

/// What the coordinator says once it has dialled.
async fn reachable(link: &skep_net::Link) -> Option<bool> {
    for _ in 0..20 {
        let seen: HeartbeatSeen = link.ask(&Heartbeat { used_bytes: 0 }).await.unwrap();
        if seen.reachable.is_some() {
            return seen.reachable;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_not_handed_out_after_three_heartbeats() {
    let mut town = Town::new(32);
    let coordinator = town.open().await;
    let (ada, ada_link) = town.member(&coordinator, "ada").await;
    publish(&ada_link, &ada.share(1)).await.unwrap();
    let (_, link) = town.member(&coordinator, "bob").await;
    assert_eq!(holders(&link, 1).await, ["ada"]);
    tokio::time::sleep(HEARTBEAT * 3 + Duration::from_secs(1)).await;
    welcome(&link).await;
    assert!(holders(&link, 1).await.is_empty());
    let _: HeartbeatSeen = ada_link.ask(&Heartbeat { used_bytes: 0 }).await.unwrap();
    assert_eq!(holders(&link, 1).await, ["ada"]);
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_lane_is_refused() {
    let mut town = Town::new(33);
    let coordinator = town.open().await;
    let (ada, _) = town.member(&coordinator, "ada").await;
    let to = Endpoint {
        host: "10.0.0.1".to_owned(),
        port: 7700,
    };
    let stream = ada.world.network.dial(&ada.key, &to, None).await.unwrap();
    let hello = skep_wire::message::Hello {
        lane: Lane::Talk,
        ..ada.hello()
    };
    let (link, _inbox) = skep_net::Link::open(stream, hello, skep_net::Limits::of(Lane::Talk))
        .await
        .unwrap();
    let closed = link.closed().await;
    assert!(
        matches!(
            closed,
            CloseReason::Refused {
                reason: Reason::BadRequest,
                ..
            }
        ),
        "{closed:?}"
    );
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_strangers_does_not_keep_members_out() {
    let mut town = Town::new(34);
    let coordinator = town.open().await;
    let ticket = coordinator.invite(InviteOptions::default()).await.unwrap();
    let (ada, _) = town.member(&coordinator, "ada").await;
    let crowd: Vec<Peer> = (0..8).map(|_| town.peer()).collect();
    let mut connections = Vec::new();
    for n in 0..300 {
        connections.push(
            crowd[n % crowd.len()]
                .connect(&ticket.coordinators[0])
                .await
                .unwrap(),
        );
    }
    let busy = connections.last().unwrap().0.closed().await;
    assert!(
        matches!(
            busy,
            CloseReason::Refused {
                reason: Reason::Busy,
                ..
            }
        ),
        "{busy:?}"
    );
    ada.attend(&ticket.coordinators[0]).await;
    // And after their time a newcomer gets in.
    tokio::time::sleep(Duration::from_secs(31)).await;
    town.peer().join(&ticket, Some("bob")).await.unwrap();
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_sessions_look_up_without_waiting_for_each_other() {
    const PEERS: u8 = 50;
    const LOOKUPS: u32 = 100;
    let mut town = Town::new(35);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    publish(&link, &ada.share(1)).await.unwrap();
    let (_, other) = town.member(&coordinator, "other").await;
    let alone = look_up(&other, LOOKUPS).await;
    let mut asking = JoinSet::new();
    for n in 0..PEERS {
        let (_, link) = town.member(&coordinator, &format!("peer{n}")).await;
        asking.spawn(async move { look_up(&link, LOOKUPS).await });
    }
    let slowest = asking.join_all().await.into_iter().max().unwrap();
    // Computing takes no time in this world, waiting does.
    assert!(
        slowest <= alone + Duration::from_millis(1),
        "{slowest:?}, alone {alone:?}"
    );
    coordinator.stop().await.unwrap();
}

/// How long a lookup takes on average.
async fn look_up(link: &skep_net::Link, lookups: u32) -> Duration {
    let began = Instant::now();
    for _ in 0..lookups {
        assert_eq!(holders(link, 1).await, ["ada"]);
    }
    began.elapsed() / lookups
}
