//! A part is kept once too often, since who was missed came back: the owner's next prune ends that, and never what is
//! needed.

use std::time::Duration;

use skep_node::{
    Node,
    api::types::{CheckRequest, PruneRequest},
};
use skep_world::simulated::{Crash, Machine};
use tokio::time::{sleep, timeout};

use crate::{
    rotten::{backed_up, papers},
    town::{GRACE, Town},
};

const PATIENCE: Duration = Duration::from_secs(600);

/// Four keepers have all packs of a backup of which three copies are wanted.
async fn one_too_many() -> (Town, Machine, Node) {
    let (mut town, machine, owner) = backed_up(4).await;
    let packs = town.shards().iter().sum::<usize>() / 3;
    let missed = town.shards().iter().position(|count| *count == packs).unwrap();
    town.crash(&town.keeper(missed), Crash::Kill);
    eventually("rebuilt", || town.shards().iter().sum::<usize>() == 4 * packs).await;
    town.start_keepers().await;
    let back = async {
        while !check(&owner).await {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("who was missed is back");
    assert_eq!(town.shards(), vec![packs; 4]);
    (town, machine, owner)
}

/// What each keeper has noted of what may be deleted.
fn dockets(town: &Town) -> Vec<Vec<u8>> {
    let docket = |number| {
        let disk = town.disk(number);
        let (path, _) = papers(disk)
            .into_iter()
            .find(|(path, _)| path.ends_with("docket"))
            .unwrap();
        disk.read(&path).unwrap()
    };
    (0..4).map(docket).collect()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

/// Whether everything is whole, with two that may vanish, and three copies of all can be read.
async fn check(owner: &Node) -> bool {
    let request = CheckRequest { read_data: true };
    let done = owner.check(request).await.unwrap();
    done.failed.is_empty() && done.damaged.is_empty() && done.survives >= 2
}

async fn prune(owner: &Node) -> usize {
    let done = owner.prune(PruneRequest::default()).await.unwrap();
    assert_eq!(done.packs, 0, "everything is needed");
    done.surplus
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_once_too_often_goes_after_a_prune_and_its_grace() {
    let (town, _machine, owner) = one_too_many().await;
    let packs = town.shards()[0];
    sleep(GRACE * 2).await;
    assert_eq!(
        town.shards(),
        vec![packs; 4],
        "nobody has said that it is too much"
    );
    assert_eq!(prune(&owner).await, packs);
    sleep(GRACE / 2).await;
    assert_eq!(town.shards(), vec![packs; 4]);
    eventually("it is gone", || town.shards().iter().sum::<usize>() == 3 * packs).await;
    assert!(check(&owner).await);
    assert_eq!(prune(&owner).await, 0);
    sleep(GRACE * 2).await;
    assert_eq!(town.shards().iter().sum::<usize>(), 3 * packs);
    owner.stop().await;
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_too_much_stays_when_another_holder_is_lost_meanwhile() {
    let (mut town, _machine, owner) = one_too_many().await;
    let packs = town.shards()[0];
    let before = dockets(&town);
    assert_eq!(prune(&owner).await, packs);
    let after = dockets(&town);
    let changed: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a != b).collect();
    assert!(changed.contains(&true) && changed.contains(&false), "{changed:?}");
    sleep(GRACE / 4).await;
    let another = changed.iter().position(|changed| !changed).unwrap();
    town.crash(&town.keeper(another), Crash::Kill);
    sleep(GRACE * 3).await;
    assert_eq!(town.shards(), vec![packs; 4]);
    assert!(check(&owner).await, "three are there");
    // That it was too much once is forgotten.
    town.start_keepers().await;
    sleep(GRACE * 3).await;
    assert_eq!(town.shards(), vec![packs; 4]);
    owner.stop().await;
    town.stop().await;
}
