//! Fifty peers on one coordinator.

use std::fs;

use crate::support::{Network, Peer, eventually, text, write_random};

const PEERS: usize = 50;

#[test]
fn fifty_peers_get_one_file() {
    let network = Network::start();
    let ticket = network.invite(&["--uses", &PEERS.to_string()]);
    let joining: Vec<_> = (0..PEERS)
        .map(|number| network.joining(&format!("peer-{number}"), &ticket, &[]))
        .collect();
    let peers: Vec<Peer> = joining.into_iter().map(|joining| joining.joined()).collect();
    let rows = peers[PEERS - 1].run(&["peers"]).rows();
    assert_eq!(rows.len(), PEERS);
    assert!(rows.iter().all(|row| row["state"] == "online"), "{rows:?}");

    let bytes = write_random(&peers[0].files.join("news"), 300_000, 1);
    peers[0].share(&peers[0].files.join("news"), "news");
    for some in peers[1..].chunks(10) {
        let gets: Vec<_> = some
            .iter()
            .map(|peer| peer.begin_get("news", &peer.files))
            .collect();
        gets.into_iter().for_each(|get| drop(get.finish().done()));
    }
    for peer in &peers {
        assert!(
            fs::read(peer.files.join("news")).unwrap() == bytes,
            "{}",
            peer.name
        );
    }
    eventually("all hold it", || {
        (peers[7].listed("news")?["holders"] == PEERS).then_some(())
    });
    let served = |peer: &Peer| peer.ask(&["status"])["served"].as_u64() > Some(0);
    assert!(peers[1..].iter().any(served), "those who got it served it too");
    peers[0].ask(&["get", "news", "-o", text(&peers[0].files.join("again"))]);
}
