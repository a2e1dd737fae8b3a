//! What an owner said rots on a holder's disk: the owner's check finds it, and it is written again.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use skep_node::{
    Node,
    api::types::{BackupRequest, CheckRequest, PaperDamage},
};
use skep_world::simulated::{Crash, Disk, Machine};
use tokio::time::{sleep, timeout};

use crate::town::Town;

const PATIENCE: Duration = Duration::from_secs(300);
/// How many bytes of each file are flipped.
const FLIPS: u64 = 12;

/// A backup with so many keepers, and its owner.
pub(crate) async fn backed_up(keepers: u8) -> (Town, Machine, Node) {
    let town = Town::with_keepers(keepers).await;
    let (machine, owner) = town.owner().await;
    machine
        .disk()
        .write(Path::new("/work/file"), &[7; 50_000])
        .unwrap();
    let request = BackupRequest {
        paths: vec!["/work".into()],
        ..BackupRequest::default()
    };
    // Who joined just now has to be reached first.
    let done = async {
        while owner.back_up(request.clone()).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(PATIENCE, done).await.expect("a backup");
    (town, machine, owner)
}

/// The files in which a holder keeps what the owner said, with how a check calls each.
pub(crate) fn papers(disk: &Disk) -> Vec<(PathBuf, &'static str)> {
    let kind = |path: &Path| match path.extension().map(|it| it.to_str().unwrap()) {
        Some("head") => Some("the head of a device"),
        Some("list") => Some("a list of packs"),
        _ if path.ends_with("roster") => Some("the roster"),
        _ if path.ends_with("docket") => Some("the list of what is condemned"),
        _ => None,
    };
    let kept = disk.files().into_iter();
    let kept = kept.filter(|path| path.starts_with("/home/shards"));
    kept.filter_map(|path| Some((kind(&path)?, path)))
        .map(|(kind, path)| (path, kind))
        .collect()
}

async fn check(owner: &Node) -> Vec<PaperDamage> {
    let request = CheckRequest { read_data: true };
    let done = owner.check(request).await.unwrap();
    assert_eq!((done.damaged, done.failed), (vec![], vec![]));
    done.papers
}

#[tokio::test(start_paused = true)]
async fn every_flipped_byte_of_a_paper_is_found_and_written_again() {
    let (town, _machine, owner) = backed_up(3).await;
    let (disk, name) = (town.disk(0), town.node(&town.keeper(0)).ready().name);
    let papers = papers(disk);
    assert_eq!(papers.len(), 4, "{papers:?}");
    assert_eq!(check(&owner).await, []);
    for (path, paper) in papers {
        let good = disk.read(&path).unwrap();
        for turn in 0..FLIPS {
            let at = turn * (good.len() as u64 - 1) / (FLIPS - 1);
            disk.flip_bit(&path, at * 8 + turn % 8).unwrap();
            let expected = PaperDamage {
                holder: name.clone(),
                paper: paper.to_owned(),
                repaired: true,
            };
            assert_eq!(check(&owner).await, [expected], "byte {at}");
            assert_eq!(disk.read(&path).unwrap(), good, "byte {at} of {}", path.display());
        }
    }
    assert_eq!(check(&owner).await, []);
    owner.stop().await;
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_again_is_told_each_time() {
    let (town, _machine, owner) = backed_up(3).await;
    let disk = town.disk(0);
    let (path, _) = papers(disk).pop().unwrap();
    disk.flip_bit(&path, 9).unwrap();
    disk.set_full(true);
    for _ in 0..2 {
        let found = check(&owner).await;
        assert_eq!(found.iter().map(|it| it.repaired).collect::<Vec<_>>(), [false]);
    }
    disk.set_full(false);
    assert!(check(&owner).await.iter().all(|it| it.repaired));
    assert_eq!(check(&owner).await, []);
    owner.stop().await;
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_its_holder_does_not_know_any_more_comes_from_another() {
    let (mut town, _machine, owner) = backed_up(3).await;
    let first = town.keeper(0);
    let of_list = |(_, paper): &(PathBuf, &str)| *paper == "a list of packs";
    let (path, _) = papers(town.disk(0)).into_iter().find(of_list).unwrap();
    let good = town.disk(0).read(&path).unwrap();
    town.disk(0).flip_bit(&path, 100).unwrap();
    town.crash(&first, Crash::Kill);
    town.start_keepers().await;
    let found = async {
        loop {
            let request = CheckRequest { read_data: true };
            let found = owner.check(request).await.unwrap().papers;
            if !found.is_empty() {
                return found;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let found = timeout(PATIENCE, found).await.expect("it is found");
    assert_eq!(found[0].paper, "a list of packs");
    assert!(found[0].repaired);
    assert_eq!(town.disk(0).read(&path).unwrap(), good);
    owner.stop().await;
    town.stop().await;
}
