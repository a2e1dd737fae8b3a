//! Who becomes a peer and who does not, and what they are told.

use std::time::{SystemTime, UNIX_EPOCH};

use skep_wire::Ticket;

use crate::support::{Network, eventually, text, write_random};

/// The ticket with something else in it, and a right checksum.
fn forge(ticket: &str, change: impl FnOnce(&mut Ticket)) -> String {
    let mut ticket: Ticket = ticket.parse().unwrap();
    change(&mut ticket);
    ticket.to_string()
}

#[test]
fn a_ticket_works_as_often_as_it_says() {
    let network = Network::start();
    let once = network.invite(&[]);
    let _ann = network.joining("ann", &once, &[]).joined();
    network
        .joining("bob", &once, &[])
        .outcome()
        .refused(1, "bad_ticket");

    let twice = network.invite(&["--uses", "2"]);
    let _cem = network.joining("cem", &twice, &[]).joined();
    let _dee = network.joining("dee", &twice, &[]).joined();
    network
        .joining("eve", &twice, &[])
        .outcome()
        .refused(1, "bad_ticket");
}

#[test]
fn an_expired_ticket_is_refused_also_where_the_clock_is_wrong() {
    let network = Network::start();
    let ticket = network.invite(&["--expires", "1s"]);
    let expires = ticket.parse::<Ticket>().unwrap().expires_unix_s;
    eventually("the ticket has expired", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        (now > expires).then_some(())
    });
    network
        .joining("ann", &ticket, &[])
        .outcome()
        .refused(1, "expired");
    let later = forge(&ticket, |ticket| ticket.expires_unix_s += 3600);
    let outcome = network.joining("bob", &later, &[]).outcome();
    let kind = if outcome.stdout.contains("bad_ticket") {
        "bad_ticket"
    } else {
        "expired"
    };
    outcome.refused(1, kind);
}

#[test]
fn a_damaged_or_forged_ticket_is_refused() {
    let network = Network::start();
    let ticket = network.invite(&[]);
    let mut damaged = ticket.clone().into_bytes();
    let at = damaged.len() / 2;
    damaged[at] = if damaged[at] == b'a' { b'b' } else { b'a' };
    let damaged = String::from_utf8(damaged).unwrap();
    network
        .joining("ann", &damaged, &[])
        .outcome()
        .refused(2, "usage");
    network
        .joining("ann", "come in", &[])
        .outcome()
        .refused(2, "usage");
    let forged = forge(&ticket, |ticket| ticket.secret.0[0] ^= 1);
    let outcome = network.joining("ann", &forged, &[]).outcome();
    outcome.refused(1, "bad_ticket");
    let secret = ticket.split_once(':').unwrap().1;
    assert!(
        !outcome.stderr.contains(&secret[..20]),
        "secrets are not for logs"
    );
    network.joining("ann", &ticket, &[]).joined();
}

#[test]
fn a_role_may_be_narrowed_but_not_widened() {
    let network = Network::start();
    let storage = network.invite(&["--role", "storage"]);
    network
        .joining("ann", &storage, &["--role", "both"])
        .outcome()
        .refused(1, "role_too_wide");
    let forged = forge(&storage, |ticket| ticket.role = skep_wire::record::Role::Both);
    network
        .joining("ann", &forged, &["--role", "both"])
        .outcome()
        .refused(1, "role_too_wide");
    let ann = network.joining("ann", &storage, &[]).joined();
    let bob = network
        .joining("bob", &network.invite(&[]), &["--role", "owner"])
        .joined();
    let roles = ["ann", "bob"].map(|name| ann.sees(name).unwrap()["role"].clone());
    assert_eq!(roles, ["storage", "owner"]);
    assert_eq!(bob.ask(&["status"])["role"], "owner");
    assert_eq!(ann.sees("ann").unwrap()["capacity"], 1_u64 << 30);
}

#[test]
fn a_name_is_one_peers_alone() {
    let network = Network::start();
    let _ann = network.peer("ann");
    let ticket = network.invite(&[]);
    let outcome = network.joining_as(Some("ann"), "other", &ticket, &[]).outcome();
    let refused = outcome.refused(1, "name_in_use");
    assert!(refused["message"].as_str().unwrap().contains("ann"));
    // A denial has not used the ticket up.
    network.joining_as(Some("bob"), "other", &ticket, &[]).joined();
}

#[test]
fn a_nameless_peer_gets_a_name_and_keeps_it() {
    let network = Network::start();
    let mut peer = network.joining_as(None, "x", &network.invite(&[]), &[]).joined();
    let name = peer.ready["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("peer_"), "{name}");
    assert_eq!(peer.ready["returning"], false);
    let id = peer.ready["id"].clone();
    peer.ask(&["down"]);
    assert!(peer.process().wait(std::time::Duration::from_secs(5)).success());
    peer.restart();
    assert_eq!(peer.ready["returning"], true);
    assert_eq!((&peer.ready["name"], &peer.ready["id"]), (&name.into(), &id));
}

#[test]
fn a_full_network_takes_nobody() {
    let network = Network::with(&["--max-peers", "1"]);
    let ann = network.peer("ann");
    let ticket = network.invite(&[]);
    network.joining("bob", &ticket, &[]).outcome().refused(1, "full");
    ann.ask(&["leave"]);
    network.joining("bob", &ticket, &[]).joined();
}

#[test]
fn who_has_left_is_gone_with_all_shares() {
    let network = Network::start();
    let [mut ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let path = ann.files.join("x");
    let bytes = write_random(&path, 2000, 1);
    ann.share(&path, "x");
    bob.get("x", &bob.files);
    ann.ask(&["leave"]);
    assert!(ann.process().wait(std::time::Duration::from_secs(5)).success());
    eventually("it is not listed any more", || {
        let gone = bob.sees("ann").is_none() && bob.listed("x").is_none();
        gone.then_some(())
    });
    assert!(std::fs::read(&path).unwrap() == bytes, "files stay");
    ann.start_again().finish().refused(1, "no_network");
    let again = network.joining("ann", &network.invite(&[]), &[]).joined();
    assert_eq!(again.ready["name"], "ann", "its name has waited for its key");
}

#[test]
fn a_revoked_peer_is_out_at_once_and_for_good() {
    let network = Network::start();
    let [mut ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    write_random(&bob.files.join("x"), 2000, 1);
    bob.share(&bob.files.join("x"), "x");
    network.admin(&["peers", "revoke", "zoe"]).refused(1, "not_found");
    network.admin(&["peers", "revoke", "ann"]).done();

    eventually("it is cut off", || {
        (ann.ask(&["status"])["connected"] == false).then_some(())
    });
    let outcome = ann.run(&["get", "x", "-o", text(&ann.files)]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(!ann.files.join("x").exists());
    assert!(bob.sees("ann").is_none_or(|row| row["state"] != "online"));
    ann.kill();
    ann.start_again().finish().refused(1, "revoked");
    network
        .joining("ann", &network.invite(&[]), &[])
        .outcome()
        .refused(1, "revoked");
}

#[test]
fn a_home_without_a_network_says_how_to_get_one() {
    let network = Network::start();
    let ann = network.peer("ann");
    let stranger = network.folder().join("stranger");
    let command = crate::support::skep(&stranger, &["--json", "up", "--listen", "127.0.0.1:0"]);
    let refused = crate::support::Process::start(command)
        .finish()
        .refused(1, "no_network");
    assert!(refused["hint"].as_str().unwrap().contains("skep up --join"));
    ann.start_again().finish().refused(1, "in_use");
}

#[test]
fn who_answers_in_a_coordinators_place_is_found_out() {
    let mut ours = Network::start();
    let ticket = ours.invite(&[]);
    let ann = ours.peer("ann");
    ours.kill();
    let theirs = Network::at(&ours.listen, &[]);
    assert_ne!(ours.id, theirs.id);
    ours.joining("bob", &ticket, &[])
        .outcome()
        .refused(1, "wrong_coordinator");
    let refused = ann.run(&["ls"]).refused(1, "not_connected");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("not a coordinator of this network")
    );
    drop(theirs);
    ours.restart();
    ann.wait_until_connected();
    ours.joining("bob", &ticket, &[]).joined();
}

#[test]
fn nobody_answers_where_the_coordinator_was() {
    let mut network = Network::start();
    let ticket = network.invite(&[]);
    network.kill();
    network
        .joining("ann", &ticket, &[])
        .outcome()
        .refused(1, "not_connected");
    network.admin(&["invite"]).refused(1, "not_running");
}
