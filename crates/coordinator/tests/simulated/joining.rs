//! Who gets in, by which name, and what a stranger gets.

use std::time::Duration;

use skep_coordinator::{Coordinator, InviteOptions, StartError};
use skep_net::CloseReason;
use skep_wire::{
    NetworkId, PeerName,
    message::{Find, ListPeers, Lookup, Message, Peers, Query, Reason, Shares},
    record::Role,
    ticket::{Secret, Ticket},
};

use crate::town::{Town, reason, shares, welcome};

async fn ticket(coordinator: &Coordinator) -> Ticket {
    coordinator.invite(InviteOptions::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_ticket_lets_a_peer_in_and_the_coordinator_shows_its_certificate() {
    let mut town = Town::new(1);
    let coordinator = town.open().await;
    let ticket: Ticket = ticket(&coordinator).await.to_string().parse().unwrap();
    let mut ada = town.peer();
    let joined = ada.join(&ticket, Some("ada")).await.unwrap();
    let grant = joined.grant.open(&ticket.network.0).unwrap();
    assert_eq!((grant.name.as_str(), grant.peer), ("ada", ada.key.peer_id()));
    assert!(!joined.returning);

    let (link, _inbox) = ada.connect(&ticket.coordinators[0]).await.unwrap();
    let certificate = link.hello().certificate.as_ref().unwrap();
    let certificate = certificate.open(&ticket.network.0).unwrap();
    assert_eq!(certificate.coordinator, link.peer());
    assert_eq!(certificate.network, coordinator.ready().network);
    let welcome = welcome(&link).await;
    assert_eq!(welcome.name.as_str(), "ada");
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wrong_used_and_expired_tickets_are_denied() {
    let mut town = Town::new(2);
    let coordinator = town.open().await;
    let good = ticket(&coordinator).await;
    let forged = Ticket {
        secret: Secret([7; 16]),
        ..good.clone()
    };
    assert_eq!(reason(town.peer().join(&forged, None).await), Reason::BadTicket);
    let joined = town.peer().join(&good, None).await.unwrap();
    assert_eq!(joined.grant.peek().unwrap().name.as_str(), "peer_1");
    assert_eq!(reason(town.peer().join(&good, None).await), Reason::BadTicket);

    let old = ticket(&coordinator).await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    let denied = reason(town.peer().join(&old, None).await);
    assert!(
        matches!(denied, Reason::Expired | Reason::BadTicket),
        "{denied:?}"
    );
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_name_in_use_and_a_wider_role_are_denied() {
    let mut town = Town::new(3);
    let coordinator = town.open().await;
    town.member(&coordinator, "ada").await;
    let other = ticket(&coordinator).await;
    assert_eq!(
        reason(town.peer().join(&other, Some("ada")).await),
        Reason::NameInUse
    );

    let narrow = InviteOptions {
        role: Role::Owner,
        ..InviteOptions::default()
    };
    let narrow = coordinator.invite(narrow).await.unwrap();
    assert_eq!(narrow.role, Role::Owner);
    let joined = town.peer().join(&narrow, None).await.unwrap();
    assert_eq!(joined.grant.peek().unwrap().role, Role::Owner);
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_network_says_so() {
    let mut town = Town::new(4);
    let config = skep_coordinator::Config {
        max_peers: 2,
        ..Town::config()
    };
    let coordinator = town.try_open(config).await.unwrap();
    town.member(&coordinator, "one").await;
    town.member(&coordinator, "two").await;
    let third = ticket(&coordinator).await;
    assert_eq!(reason(town.peer().join(&third, None).await), Reason::Full);
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_nothing_and_not_for_long() {
    let mut town = Town::new(5);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    crate::town::publish(&link, &ada.share(1)).await.unwrap();
    let at = ticket(&coordinator).await.coordinators[0].clone();

    let (stranger, _inbox) = town.peer().connect(&at).await.unwrap();
    let find = Find {
        query: Query::All,
        after: None,
    };
    assert_eq!(reason(stranger.ask::<_, Shares>(&find).await), Reason::NotAllowed);
    assert_eq!(
        reason(stranger.ask::<_, Peers>(&ListPeers { after: None }).await),
        Reason::NotAllowed
    );
    assert_eq!(
        reason(stranger.ask::<_, Peers>(&ada.share(2)).await),
        Reason::NotAllowed
    );
    let closed = stranger.closed().await;
    assert!(
        matches!(
            closed,
            CloseReason::Refused {
                reason: Reason::NotAllowed,
                ..
            }
        ),
        "{closed:?}"
    );
    assert_eq!(shares(&link).await, ["share 1"]);
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_or_forged_grant_closes_the_connection() {
    let mut town = Town::new(6);
    let coordinator = town.open().await;
    let (ada, _link) = town.member(&coordinator, "ada").await;
    let at = ticket(&coordinator).await.coordinators[0].clone();
    let mut thief = town.peer();
    thief.grant = ada.grant.clone();
    let (link, _inbox) = thief.connect(&at).await.unwrap();
    let closed = link.closed().await;
    assert!(
        matches!(
            closed,
            CloseReason::Refused {
                reason: Reason::NotAllowed,
                ..
            }
        ),
        "{closed:?}"
    );
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revoked_peer_is_put_out_and_stays_out() {
    let mut town = Town::new(7);
    let coordinator = town.open().await;
    let (ada, link) = town.member(&coordinator, "ada").await;
    let (_, other) = town.member(&coordinator, "bob").await;
    coordinator
        .handle()
        .revoke(PeerName::parse("ada").unwrap())
        .await
        .unwrap();
    let closed = link.closed().await;
    assert!(
        matches!(
            closed,
            CloseReason::Refused {
                reason: Reason::Revoked,
                ..
            }
        ),
        "{closed:?}"
    );
    let again = ticket(&coordinator).await;
    let (link, _inbox) = ada.connect(&again.coordinators[0]).await.unwrap();
    let closed = link.closed().await;
    assert!(
        matches!(
            closed,
            CloseReason::Refused {
                reason: Reason::Revoked,
                ..
            }
        ),
        "{closed:?}"
    );
    // The next hello says that there are new revocations.
    assert_eq!(link.hello().revocations, 1);
    assert!(!other.is_closed());
    coordinator.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_that_make_no_sense_are_answered_and_survived() {
    let mut town = Town::new(8);
    let coordinator = town.open().await;
    let (_, link) = town.member(&coordinator, "ada").await;
    let answered = link.ask::<_, Peers>(&Nonsense(vec![0xff; 40])).await;
    assert_eq!(reason(answered), Reason::BadRequest);
    let read = skep_wire::message::WantHave {
        content: skep_wire::BlobId([0; 32]),
    };
    let answered = link.ask::<_, Peers>(&read).await;
    assert!(
        matches!(answered, Err(skep_net::AskError::Unsupported)),
        "{answered:?}"
    );
    assert_eq!(shares(&link).await.len(), 0);
    coordinator.stop().await.unwrap();
}

/// Bytes that are no lookup, in place of one.
#[derive(serde::Serialize, serde::Deserialize)]
struct Nonsense(Vec<u8>);

impl Message for Nonsense {
    const KIND: u16 = ListPeers::KIND;
    const LIMIT: u32 = Lookup::LIMIT;
    const NAME: &'static str = "Nonsense";
}

#[tokio::test(start_paused = true)]
async fn a_home_is_for_one_coordinator_and_keeps_its_network() {
    let mut town = Town::new(9);
    let first = town.open().await;
    let ready = first.ready().clone();
    let second = town.try_open(Town::config()).await;
    assert!(matches!(second, Err(StartError::InUse { .. })));
    first.stop().await.unwrap();
    let again = town.open().await;
    assert_eq!(*again.ready(), ready);
    again.stop().await.unwrap();

    let mut other = Town::new(10);
    let other = other.open().await;
    assert_ne!(other.ready().network, ready.network);
    assert_ne!(other.ready().network, NetworkId(other.ready().id.0));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_without_its_keys_gets_no_others() {
    let mut town = Town::new(11);
    town.open().await.stop().await.unwrap();
    let path = std::path::Path::new(crate::town::HOME);
    town.hall
        .disk()
        .write(&path.join("network-key"), b"not a key")
        .unwrap();
    let damaged = town.try_open(Town::config()).await;
    assert!(matches!(damaged, Err(StartError::BadKey { .. })));
    let world = town.hall.boot();
    let home = world.disk.dir(path).unwrap();
    home.remove_file(&skep_wire::RelPath::parse("network-key").unwrap())
        .unwrap();
    let missing = town.try_open(Town::config()).await;
    assert!(matches!(missing, Err(StartError::NoKey { .. })));
}
