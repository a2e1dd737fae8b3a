//! Facts from a ledger that somebody wrote into: an error or a state that works, for each role that keeps some.
//!
//! Input: for each fact the lengths of key and value, two bytes each, then both.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use skep_engine::{
    deletion::Docket,
    depot::Settings,
    index::{Config, Effects, Index},
};
use skep_gateway::p2pbrs::server;
use skep_wire::{Moment, SigningKey};

static KEY: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::from_seed([1; 32])));

fuzz_target!(|data: &[u8]| {
    if let Some(docket) = Docket::decode(data) {
        assert!(Docket::decode(&docket.encode()).is_some());
    }
    let facts = facts(data);
    let heartbeat = Duration::from_secs(10);
    let config = Config {
        coordinator_key: Arc::clone(&KEY),
        network_key: Arc::clone(&KEY),
        max_peers: 100,
        heartbeat,
        failed_after: 30 * heartbeat,
        backups: Settings::new(heartbeat, 30 * heartbeat),
    };
    let now = Moment {
        mono: Duration::from_secs(1),
        unix_s: 1_800_000_000,
    };
    if let Ok(mut index) = Index::restore(config, [2; 32], now, facts.clone()) {
        index.poll(now, &mut Effects::default());
    }
    let mut server = server::Server::new(server::Config::default(), now.mono, 1, facts);
    let mut effects = server::Effects::default();
    let from = ([127, 0, 0, 1], 5001).into();
    server.handle(now.mono, from, b"RESTORE_REQ 1 f", &mut effects);
    server.poll(now.mono + Duration::from_secs(100), &mut effects);
});

fn facts(mut data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut facts = Vec::new();
    while let Some(([a, b, c, d], rest)) = data.split_first_chunk() {
        let lengths = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let Some((key, rest)) = rest.split_at_checked(lengths.0.into()) else {
            break;
        };
        let Some((value, rest)) = rest.split_at_checked(lengths.1.into()) else {
            break;
        };
        facts.push((key.to_vec(), value.to_vec()));
        data = rest;
    }
    facts
}
