//! `up --share DIR`: the index follows what happens in a folder.

use std::{fs, time::Duration};

use crate::support::{Network, Peer, text, within, write_random};

/// Two seconds are promised; a busy machine gets more.
const SOON: Duration = Duration::from_secs(10);

fn id_of(peer: &Peer, share: &str) -> Option<String> {
    let row = peer.listed(share)?;
    (row["holders"] == 1).then(|| row["id"].as_str().unwrap().to_owned())
}

#[test]
fn a_watched_folder_is_followed() {
    let network = Network::start();
    let bob = network.peer("bob");
    let watched = network.folder().join("watched");
    write_random(&watched.join("first"), 3000, 1);
    write_random(&watched.join("album/one.jpg"), 4000, 2);
    fs::write(watched.join(".secret"), "not this").unwrap();
    let ann = network.peer_with("ann", &["--share", text(&watched)]);
    within(SOON, "what was there is listed", || {
        id_of(&bob, "first").and(id_of(&bob, "album"))
    });

    let second = write_random(&watched.join("second"), 5000, 3);
    within(SOON, "a new file is listed", || id_of(&bob, "second"));
    bob.get("second", &bob.files);
    assert!(fs::read(bob.files.join("second")).unwrap() == second);

    let before = id_of(&bob, "first").unwrap();
    let changed = write_random(&watched.join("first"), 3000, 4);
    within(SOON, "the new state is listed", || {
        id_of(&bob, "first").filter(|now| *now != before)
    });
    bob.get("first", &bob.files);
    assert!(fs::read(bob.files.join("first")).unwrap() == changed);

    let before = id_of(&bob, "album").unwrap();
    write_random(&watched.join("album/sub/two.jpg"), 100, 5);
    within(SOON, "a file deep in a folder changes the folder", || {
        id_of(&bob, "album").filter(|now| *now != before)
    });

    fs::remove_file(watched.join("second")).unwrap();
    fs::remove_dir_all(watched.join("album")).unwrap();
    within(SOON, "what is gone is not listed", || {
        let names = [bob.listed("second"), bob.listed("album"), bob.listed(".secret")];
        names.iter().all(Option::is_none).then_some(())
    });
    drop(ann);
}

#[test]
fn what_happened_while_it_was_down_is_seen_when_it_is_back() {
    let network = Network::start();
    let bob = network.peer("bob");
    let watched = network.folder().join("watched");
    write_random(&watched.join("stays"), 100, 1);
    write_random(&watched.join("goes"), 200, 2);
    let mut ann = network.peer_with("ann", &["--share", text(&watched)]);
    within(SOON, "both are listed", || {
        id_of(&bob, "stays").and(id_of(&bob, "goes"))
    });
    let before = id_of(&bob, "stays").unwrap();
    ann.kill();
    write_random(&watched.join("stays"), 100, 3);
    fs::remove_file(watched.join("goes")).unwrap();
    ann.restart();
    within(SOON, "the index says what is there now", || {
        let now = id_of(&bob, "stays")?;
        (now != before && bob.listed("goes").is_none()).then_some(())
    });
}
