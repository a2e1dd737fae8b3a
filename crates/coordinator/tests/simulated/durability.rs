//! What was acknowledged is there after a restart, whatever ended the coordinator before.

use std::{path::Path, time::Duration};

use skep_coordinator::{Coordinator, Failure, InviteOptions, StartError};
use skep_ledger::{FactStore, Redb};
use skep_wire::{RelPath, message::Endpoint};
use skep_world::{Disk as _, simulated::Fault};
use tokio::{task::JoinSet, time::timeout};

use crate::town::{HOME, Town, holders, publish, shares};

fn at(coordinator: &Coordinator) -> Endpoint {
    let listen = coordinator.ready().listen;
    Endpoint {
        host: listen.ip().to_string(),
        port: listen.port(),
    }
}

/// How many commits there have been in all.
fn commits(town: &Town) -> u64 {
    let dir = town.hall.disk().dir(Path::new(HOME)).unwrap();
    let store = Redb::open(dir, &RelPath::parse("ledger").unwrap(), 1 << 20).unwrap();
    store.load(&mut |_, _| {}).unwrap().revision.0
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_peers_shares_holders_and_tickets() {
    let mut town = Town::new(21);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    publish(&link, &ada.share(1)).await.unwrap();
    let ticket = coordinator.invite(InviteOptions::default()).await.unwrap();
    coordinator.stop().await.unwrap();

    let coordinator = town.open().await;
    let mut bob = town.peer();
    bob.join(&ticket, Some("bob")).await.unwrap();
    let link = bob.attend(&at(&coordinator)).await;
    assert_eq!(shares(&link).await, ["share 1"]);
    assert!(holders(&link, 1).await.is_empty(), "ada is not there");
    let status = coordinator.handle().status().await.unwrap();
    assert_eq!(
        (status.peers, status.online, status.shares, status.holdings),
        (2, 1, 1, 1)
    );
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let mut town = Town::new(22);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    for n in 1..=5 {
        publish(&link, &ada.share(n)).await.unwrap();
    }
    town.power_cut(coordinator);
    let coordinator = town.open().await;
    let link = ada.attend(&at(&coordinator)).await;
    assert_eq!(shares(&link).await.len(), 5);
    coordinator.stop().await.unwrap();
}

/// The machine dies at every n-th operation of its disk while peers join and publish.
#[tokio::test(start_paused = true)]
async fn dying_anywhere_keeps_what_was_acknowledged() {
    for last in (0..150).step_by(3) {
        let mut town = Town::new(23);
        let coordinator = town.open().await;
        let (ada, link) = town.member(&coordinator, "ada").await;
        let disk = town.hall.disk().clone();
        disk.fail(disk.operations() + last..u64::MAX, Fault::Io);
        let mut acknowledged = Vec::new();
        for n in 1..=6 {
            let share = ada.share(n);
            let Ok(Ok(())) = timeout(Duration::from_secs(5), publish(&link, &share)).await else {
                break;
            };
            acknowledged.push(format!("share {n}"));
        }
        disk.heal();
        town.power_cut(coordinator);
        let coordinator = town.open().await;
        let link = ada.attend(&at(&coordinator)).await;
        let found = shares(&link).await;
        let missing: Vec<_> = acknowledged.iter().filter(|name| !found.contains(name)).collect();
        assert!(
            missing.is_empty(),
            "dead at {last}: {missing:?} of {acknowledged:?}"
        );
        coordinator.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_acknowledges_nothing_until_there_is_room() {
    let mut town = Town::new(24);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    publish(&link, &ada.share(1)).await.unwrap();
    let disk = town.hall.disk().clone();
    disk.fail(disk.operations()..u64::MAX, Fault::Full);
    let (waiting, share) = (link.clone(), ada.share(2));
    let first = tokio::spawn(async move { publish(&waiting, &share).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Said twice, it is no more durable; what is only read is answered meanwhile.
    let again = timeout(Duration::from_secs(5), publish(&link, &ada.share(2))).await;
    assert!(again.is_err(), "acknowledged on a full disk: {again:?}");
    assert_eq!(
        holders(&link, 1).await.len(),
        0,
        "a peer is not handed out to itself"
    );
    let status = coordinator.handle().status().await.unwrap();
    assert!(status.trouble.unwrap().contains("cannot be written"));
    assert!(!first.is_finished());

    disk.heal();
    timeout(Duration::from_secs(10), first)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(coordinator.handle().status().await.unwrap().trouble, None);
    town.power_cut(coordinator);
    let coordinator = town.open().await;
    let link = ada.attend(&at(&coordinator)).await;
    assert_eq!(shares(&link).await, ["share 1", "share 2"]);
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_fails_stops_the_coordinator_with_its_reason() {
    let mut town = Town::new(25);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    let disk = town.hall.disk().clone();
    // A commit writes before it syncs: the first operation that fails for good is a write.
    let before = disk.operations();
    publish(&link, &ada.share(1)).await.unwrap();
    let per_commit = disk.operations() - before;
    let now = disk.operations();
    disk.fail(now + per_commit - 1..u64::MAX, Fault::Io);
    let answered = publish(&link, &ada.share(2)).await;
    assert!(answered.is_err(), "acknowledged without a sync");
    coordinator.stopping().await;
    disk.heal();
    let ended = coordinator.stop().await;
    assert!(matches!(ended, Err(Failure::Ledger(_))), "{ended:?}");
    let again = town.open().await;
    again.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_commit_runs_is_committed_together() {
    const PUBLISHERS: u8 = 40;
    let mut town = Town::new(26);
    let coordinator = town.open_slow(Duration::from_millis(50)).await;
    let mut members = Vec::new();
    for n in 0..PUBLISHERS {
        members.push(town.member(&coordinator, &format!("peer{n}")).await);
    }
    coordinator.stop().await.unwrap();
    let before = commits(&town);

    let coordinator = town.open_slow(Duration::from_millis(50)).await;
    let to = at(&coordinator);
    let mut publishing = JoinSet::new();
    for (n, (peer, _)) in members.into_iter().enumerate() {
        let (to, n) = (to.clone(), u8::try_from(n).unwrap());
        publishing.spawn(async move {
            let link = peer.attend(&to).await;
            publish(&link, &peer.share(n)).await.unwrap();
            link
        });
    }
    let links = publishing.join_all().await;
    assert_eq!(shares(&links[0]).await.len(), usize::from(PUBLISHERS));
    coordinator.stop().await.unwrap();
    // 40 attend and 40 publish: one commit each would be 80, besides that of the start.
    let taken = commits(&town) - before;
    assert!((3..=12).contains(&taken), "{taken} commits");
}

#[tokio::test(start_paused = true)]
async fn stopping_answers_what_was_asked_within_five_seconds() {
    let mut town = Town::new(27);
    let coordinator = town.open_slow(Duration::from_millis(200)).await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    let asked = tokio::spawn({
        let (link, share) = (link.clone(), ada.share(1));
        async move { publish(&link, &share).await }
    });
    // It is on its way to the disk, and no answer is back yet.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!asked.is_finished());
    let began = tokio::time::Instant::now();
    coordinator.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    asked.await.unwrap().unwrap();
    link.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_ledger_is_an_error_that_names_the_file() {
    let mut town = Town::new(28);
    town.open().await.stop().await.unwrap();
    town.hall
        .disk()
        .write(&Path::new(HOME).join("ledger"), b"PK\x03\x04something")
        .unwrap();
    let Err(error @ StartError::Open(_)) = town.try_open(Town::config()).await else {
        panic!("it started")
    };
    assert!(error.to_string().contains("/coordinator/ledger"), "{error}");
}
