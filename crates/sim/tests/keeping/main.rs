//! Backups are kept: a real coordinator and real storage peers in a simulated world, and a device played by hand.

#![allow(clippy::unwrap_used)]

mod device;
mod forger;
mod leaving;
mod liar;
mod rotten;
mod surplus;
mod town;

use std::time::Duration;

use skep_wire::{
    backup::Retired,
    message::{Condemn, Done, Reason},
};
use skep_world::simulated::Crash;
use tokio::time::sleep;

use crate::{
    device::{Device, PACK_BYTES},
    town::Town,
};

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_replaced_while_the_owner_is_away() {
    let mut town = Town::with_keepers(4).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    assert_eq!(holders.len(), 3);
    device.leave_alone();
    town.crash(&holders[0], Crash::Power);
    sleep(Duration::from_secs(400)).await;
    device.attend().await;
    let located = device.locate(1).await;
    let replacement = located.iter().find(|peer| !holders.contains(peer));
    let replacement = *replacement.expect("a fourth peer has rebuilt it");
    assert!(device.read(1, &replacement).await.is_ok());
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_coordinator_learns_everything_from_the_holders() {
    let mut town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let mut holders = device.back_up(1).await;
    device.tell_head(1, &holders).await;
    device.leave_alone();
    town.found_another_network().await;
    let mut recovering = Device::join_known(&town).await;
    recovering.until_known(1).await;
    let mut located = recovering.locate(1).await;
    holders.sort();
    located.sort();
    assert_eq!(located, holders);
    assert_eq!(recovering.head_number().await, 1);
    assert!(recovering.read(1, &located[0]).await.is_ok());
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_the_loss_of_power() {
    let mut town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    for holder in &holders {
        town.crash(holder, Crash::Power);
    }
    town.start_keepers().await;
    for holder in &holders {
        device.until_online(1, holder).await;
        let bytes = device.read(1, holder).await.expect("it was acknowledged");
        assert_eq!(bytes.len(), PACK_BYTES);
    }
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_else_reads_or_stores() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let mut stranger = Device::stranger(&town).await;
    let refused = stranger.read_as_stranger(&device, 1, &holders[0]).await;
    assert_eq!(refused, Some(Reason::NotFound));
    assert_eq!(
        stranger.store_as_stranger(&device, &holders[0]).await,
        Some(Reason::NotAllowed)
    );
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_condemned_pack_goes_after_its_grace_and_not_before() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    device.back_up(2).await;
    let word = device.condemnation(1);
    let Done {} = device.ask(&Condemn { word }).await.unwrap();
    sleep(town::GRACE / 2).await;
    assert!(device.read(1, &holders[0]).await.is_ok());
    sleep(town::GRACE).await;
    for holder in &holders {
        assert!(device.read(1, holder).await.is_err());
        assert!(device.read(2, holder).await.is_ok());
    }
    assert_eq!(device.locate(1).await, []);
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_device_is_refused_by_everybody_and_its_past_stays() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let mut second = Device::stranger(&town).await;
    device.change_roster(2, &[device.id(), second.id()], vec![]).await;
    assert!(second.read(1, &holders[0]).await.is_ok());
    assert_eq!(second.offer_head(&device, 1, &holders[0]).await, [None, None]);

    let retired = Retired {
        peer: second.id(),
        last_head: 1,
    };
    device.change_roster(3, &[device.id()], vec![retired]).await;
    let refused = second.offer_head(&device, 2, &holders[0]).await;
    assert_eq!(refused, [Some(Reason::NotAllowed); 2]);
    assert!(second.read_as_stranger(&device, 1, &holders[0]).await.is_some());
    let stored = second.store_as_stranger(&device, &holders[0]).await;
    assert_eq!(stored, Some(Reason::NotAllowed));
    assert_eq!(
        device.head_number().await,
        1,
        "what it had said before still counts"
    );
    assert!(device.read(1, &holders[0]).await.is_ok());
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_away_hears_of_a_revocation_before_it_serves_the_lost_device() {
    let mut town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let mut second = Device::stranger(&town).await;
    device.change_roster(2, &[device.id(), second.id()], vec![]).await;
    assert!(second.read(1, &holders[0]).await.is_ok());
    town.crash(&holders[0], Crash::Kill);
    let retired = Retired {
        peer: second.id(),
        last_head: 0,
    };
    device.change_roster(3, &[device.id()], vec![retired]).await;
    town.start_keepers().await;
    device.until_online(1, &holders[0]).await;
    assert!(second.read_as_stranger(&device, 1, &holders[0]).await.is_some());
    assert!(device.read(1, &holders[0]).await.is_ok());
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_heard_of_a_head_from_the_coordinator_alone_deletes_all_the_same() {
    let mut town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    device.back_up(2).await;
    // Two are told by the device, and the third when it comes back.
    town.crash(&holders[2], Crash::Kill);
    device.tell_head(2, &holders[..2]).await;
    town.start_keepers().await;
    device.until_online(1, &holders[2]).await;
    let word = device.condemnation(1);
    let Done {} = device.ask(&Condemn { word }).await.unwrap();
    sleep(town::GRACE * 2).await;
    for holder in &holders {
        assert!(device.read(1, holder).await.is_err());
        assert!(device.read(2, holder).await.is_ok());
    }
    town.stop().await;
}
