//! Others that misbehave by script: holders that lie, and a coordinator that forges, withholds and rolls back.
//! The peer that meets them is a real one, over a simulated world.

#![allow(clippy::unwrap_used)]

mod holder;
mod realm;

use skep_node::fetch::GetError;
use skep_wire::{NetworkId, Signed, record::ShareRecord};
use tokio::task::JoinSet;

use crate::{
    holder::{Blob, Mischief, publisher},
    realm::{Realm, keyed},
};

/// A realm in which `file` is published.
async fn with_share(blob: &Blob) -> Realm {
    let (realm, publisher) = (Realm::new().await, publisher());
    let record = realm.record(&publisher, blob.content(), 1);
    realm.list(&publisher, "bob", Signed::new(&record, &publisher));
    realm
}

#[tokio::test(start_paused = true)]
async fn whatever_a_holder_does_an_honest_one_is_enough() {
    for mischief in Mischief::ALL {
        let (blob, mut serving) = (Blob::new(5), JoinSet::new());
        let realm = with_share(&blob).await;
        holder::start(&realm, 1, &blob, mischief, &mut serving).await;
        holder::start(&realm, 2, &blob, mischief, &mut serving).await;
        holder::start(&realm, 3, &blob, Mischief::None, &mut serving).await;
        let got = realm
            .get("file")
            .await
            .unwrap_or_else(|e| panic!("{mischief:?}: {e}"));
        assert!(got == blob.bytes, "{mischief:?}: other bytes");
        realm.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_lying_holder_gets_the_files_name() {
    for mischief in Mischief::ALL {
        if mischief == Mischief::Crawls {
            // It tells the truth, and would be done in a month.
            continue;
        }
        let (blob, mut serving) = (Blob::new(3), JoinSet::new());
        let realm = with_share(&blob).await;
        holder::start(&realm, 1, &blob, mischief, &mut serving).await;
        let got = realm.get("file").await;
        assert!(got.is_err(), "{mischief:?}");
        assert!(realm.visible().is_empty(), "{mischief:?}: {:?}", realm.visible());
        realm.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_coordinator_forges_is_not_believed() {
    let (blob, mut serving) = (Blob::new(2), JoinSet::new());
    let (realm, publisher, forger) = (Realm::new().await, publisher(), keyed(66));
    holder::start(&realm, 1, &blob, Mischief::None, &mut serving).await;
    let honest = realm.record(&publisher, blob.content(), 1);
    let elsewhere = ShareRecord {
        network: NetworkId([1; 32]),
        ..realm.record(&publisher, Blob::new(3).content(), 2)
    };
    let mut changed = Signed::new(&honest, &publisher).encode();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let forged = [
        // Signed by somebody else, said to be the publisher's.
        Signed::new(&honest, &forger),
        // The publisher's own, of another network, or changed on the way.
        Signed::new(&elsewhere, &publisher),
        Signed::decode(&changed).unwrap(),
    ];
    for record in forged {
        realm.list(&publisher, "bob", record);
        let error = realm.get("file").await.unwrap_err();
        assert!(matches!(*error, GetError::NotFound(_)), "{error}");
    }
    realm.list(&publisher, "bob", Signed::new(&honest, &publisher));
    assert!(realm.get("file").await.unwrap() == blob.bytes);
    realm.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_rolls_back_is_found_out_and_another_key_under_a_known_name_too() {
    let (old, new, mut serving) = (Blob::new(3), Blob::new(2), JoinSet::new());
    let (realm, publisher) = (Realm::new().await, publisher());
    holder::start(&realm, 1, &new, Mischief::None, &mut serving).await;
    let signed =
        |blob: &Blob, sequence| Signed::new(&realm.record(&publisher, blob.content(), sequence), &publisher);
    realm.list(&publisher, "bob", signed(&new, 2));
    assert!(realm.get("file").await.unwrap() == new.bytes);

    realm.list(&publisher, "bob", signed(&old, 1));
    let error = realm.get("again").await.unwrap_err();
    assert!(
        matches!(
            *error,
            GetError::RolledBack {
                offered: 1,
                seen: 2,
                ..
            }
        ),
        "{error}"
    );

    // It has the network's key, and can give the name to a key of its own.
    let impostor = keyed(67);
    let record = realm.record(&impostor, old.content(), 9);
    realm.list(&impostor, "bob", Signed::new(&record, &impostor));
    let error = realm.get("again").await.unwrap_err();
    assert!(matches!(*error, GetError::KeyChanged { .. }), "{error}");
    assert_eq!(realm.visible(), [std::path::Path::new("/down/file")]);
    realm.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_withholds_costs_the_download_and_nothing_else() {
    let (blob, mut serving) = (Blob::new(2), JoinSet::new());
    let realm = with_share(&blob).await;
    let listed = std::mem::take(&mut realm.says().shares);
    let error = realm.get("file").await.unwrap_err();
    assert!(matches!(*error, GetError::NotFound(_)), "{error}");
    realm.says().shares = listed;
    let error = realm.get("file").await.unwrap_err();
    assert!(matches!(*error, GetError::NoHolders(_)), "{error}");
    assert!(realm.visible().is_empty());
    holder::start(&realm, 1, &blob, Mischief::None, &mut serving).await;
    assert!(realm.get("file").await.unwrap() == blob.bytes);
    realm.node.stop().await;
}
