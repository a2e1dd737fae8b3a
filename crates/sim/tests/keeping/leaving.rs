//! Keepers that want to be rid of what they keep: first others have it.

use std::time::Duration;

use skep_node::api::types::{EvictRequest, LeaveRequest};
use skep_world::simulated::Crash;
use tokio::{sync::watch, time::sleep};

use crate::{
    device::{Device, PACK_BYTES, owner},
    town::Town,
};

fn evict(wait_seconds: u64) -> EvictRequest {
    EvictRequest {
        owner: owner().to_string(),
        wait_seconds,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_evicted_is_elsewhere_first() {
    let town = Town::with_keepers(4).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    device.leave_alone();
    let node = town.node(&holders[0]);
    let done = node.evict(evict(3600), &watch::Sender::default()).await.unwrap();
    assert_eq!((done.shards, done.left_shards), (1, 0));
    assert!(done.bytes > PACK_BYTES as u64);
    device.attend().await;
    let located = device.locate(1).await;
    assert_eq!(located.len(), 3);
    assert!(!located.contains(&holders[0]), "and it is not given back");
    for holder in &located {
        assert!(device.read(1, holder).await.is_ok());
    }
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_take_is_told_and_deleted_when_the_time_is_over() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let node = town.node(&holders[0]);
    let unknown = EvictRequest {
        owner: "nobody".to_owned(),
        wait_seconds: 0,
    };
    assert!(node.evict(unknown, &watch::Sender::default()).await.is_err());
    let done = node.evict(evict(300), &watch::Sender::default()).await.unwrap();
    assert_eq!((done.shards, done.left_shards), (1, 1));
    assert_eq!(device.locate(1).await.len(), 2);
    sleep(Duration::from_secs(1200)).await;
    assert_eq!(device.locate(1).await.len(), 2, "it is not given back");
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_is_given_up_changes_nothing() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let (node, tell) = (town.node(&holders[0]), watch::Sender::default());
    let given_up = tokio::time::timeout(Duration::from_secs(30), node.evict(evict(3600), &tell));
    assert!(given_up.await.is_err());
    assert_eq!(device.locate(1).await.len(), 3);
    device.back_up(2).await;
    assert_eq!(device.locate(2).await.len(), 3, "it takes again what is brought");
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_lets_others_rebuild_first() {
    let mut town = Town::with_keepers(5).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    device.leave_alone();
    let request = LeaveRequest {
        force: false,
        wait_seconds: 3600,
    };
    for holder in &holders[..2] {
        let left = town.node(holder).leave(request, &watch::Sender::default()).await;
        assert_eq!(left.unwrap().left_shards, 0);
        town.crash(holder, Crash::Kill);
    }
    device.attend().await;
    let located = device.locate(1).await;
    assert_eq!(located.len(), 3);
    assert!(!holders[..2].iter().any(|gone| located.contains(gone)));
    for holder in &located {
        assert!(device.read(1, holder).await.is_ok());
    }
    town.stop().await;
}
