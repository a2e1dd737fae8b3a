//! Sections 2.1 to 2.5 against the server alone: datagrams in, datagrams out, and a clock of our own.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A server, its clock, and what it keeps.
struct Rig {
    config: Config,
    server: Server,
    now: Duration,
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
    sent: Vec<(SocketAddr, String)>,
}

impl Rig {
    fn new(config: Config) -> Self {
        let server = Server::new(config.clone(), Duration::ZERO, 100, Vec::new());
        Self {
            config,
            server,
            now: Duration::ZERO,
            facts: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    fn with_replicas(replicas: usize) -> Self {
        Self::new(Config {
            replicas,
            ..Config::default()
        })
    }

    /// Everything but what was kept is lost.
    fn kill(&mut self) {
        let facts = self.facts.clone().into_iter().collect();
        self.server = Server::new(self.config.clone(), self.now, 5000, facts);
    }

    fn take(&mut self, effects: Effects) {
        for change in effects.changes {
            match change.value {
                Some(value) => drop(self.facts.insert(change.key, value)),
                None => drop(self.facts.remove(&change.key)),
            }
        }
        for output in effects.outputs {
            if let Output::Send { to, text } = output {
                self.sent.push((to, text));
            }
        }
    }

    /// A datagram comes; returns what goes back to where it came from.
    fn say(&mut self, from: SocketAddr, text: &str) -> Vec<String> {
        let before = self.sent.len();
        let mut effects = Effects::default();
        self.server.handle(self.now, from, text.as_bytes(), &mut effects);
        self.take(effects);
        let back = self.sent[before..].iter().filter(|(to, _)| *to == from);
        back.map(|(_, text)| text.clone()).collect()
    }

    fn register(&mut self, name: &str, role: &str, capacity: &str) {
        let from = at(name);
        let text = format!(
            "REGISTER 1 {name} {role} 10.0.0.9 {} {} {capacity}",
            from.port(),
            from.port() + 1000
        );
        assert_eq!(self.say(from, &text), ["REGISTERED 1"], "{name}");
    }

    /// Lets time pass; those named send their heartbeats.
    fn pass(&mut self, seconds: u32, alive: &[&str]) {
        let end = self.now + seconds * SECOND;
        while self.now < end {
            self.now += Duration::from_millis(500);
            for name in alive {
                self.say(at(name), &format!("HEARTBEAT 7 {name} 0 {}", self.now.as_secs()));
            }
            let mut effects = Effects::default();
            self.server.poll(self.now, &mut effects);
            self.take(effects);
        }
    }

    /// What was sent to a peer and begins like that, each once.
    fn told(&self, name: &str, beginning: &str) -> Vec<String> {
        let mut told = Vec::new();
        for (to, text) in &self.sent {
            if *to == at(name) && text.starts_with(beginning) && !told.contains(text) {
                told.push(text.clone());
            }
        }
        told
    }

    /// B, C and D store; A owns a file of three chunks, planned and brought.
    fn with_backup(replicas: usize) -> Self {
        let mut rig = Self::with_replicas(replicas);
        rig.register("A", "OWNER", "0");
        for name in ["B", "C", "D"] {
            rig.register(name, "STORAGE", "10MB");
        }
        assert_eq!(
            rig.say(at("A"), "BACKUP_REQ 2 f 10000 cbf43926"),
            ["BACKUP_PLAN 2 f [B:10.0.0.1:7066,C:10.0.0.1:7067,D:10.0.0.1:7068] 4096"]
        );
        for (n, names) in [["B", "C"], ["C", "D"], ["D", "B"]].iter().enumerate() {
            for name in &names[..replicas] {
                assert!(rig.say(at(name), &format!("STORE_ACK 9 f {n} 4096")).is_empty());
            }
        }
        assert!(rig.say(at("A"), "BACKUP_DONE 3 f").is_empty());
        rig
    }
}

/// Where a peer of a one-letter name sends from: all have the same address.
fn at(name: &str) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 6000 + u16::from(name.as_bytes()[0])))
}

#[test]
fn a_name_belongs_to_its_endpoint_until_its_peer_has_failed() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "BOTH", "1MB");
    rig.register("A", "BOTH", "2MB");
    let elsewhere = SocketAddr::from(([10, 0, 0, 1], 9999));
    let text = "REGISTER 5 A BOTH 10.0.0.1 9999 9998 1MB";
    assert_eq!(rig.say(elsewhere, text), ["REGISTER-DENIED 5 Name_In_Use"]);
    rig.pass(31, &[]);
    let stranger = SocketAddr::from(([10, 0, 0, 2], 9999));
    assert_eq!(rig.say(stranger, text), ["REGISTER-DENIED 5 Name_In_Use"]);
    assert_eq!(
        rig.say(elsewhere, "REGISTER 6 A BOTH 10.0.0.1 9999 9998 1MB"),
        ["REGISTERED 6"]
    );
    assert_eq!(rig.server.registered(), 1);
}

#[test]
fn denials_have_their_reasons() {
    let mut rig = Rig::new(Config {
        max_peers: 2,
        ..Config::default()
    });
    assert_eq!(
        rig.say(at("A"), "BACKUP_REQ 1 f 10 0"),
        ["BACKUP-DENIED 1 Not_Registered"]
    );
    assert!(rig.say(at("A"), "HEARTBEAT 1 A 0 0").is_empty());
    assert!(rig.say(at("A"), "STORE_ACK 1 f 0").is_empty());
    assert!(rig.say(at("A"), "DE-REGISTER 1 A").is_empty());
    rig.register("A", "BOTH", "1MB");
    rig.register("B", "STORAGE", "1MB");
    let third = "REGISTER 1 C BOTH 10.0.0.1 6067 7067 1MB";
    assert_eq!(rig.say(at("C"), third), ["REGISTER-DENIED 1 Server_Full"]);
    assert_eq!(
        rig.say(at("B"), "BACKUP_REQ 1 f 10 0"),
        ["BACKUP-DENIED 1 Storage_Role"]
    );
    assert_eq!(
        rig.say(at("A"), "BACKUP_REQ 2 f 2000000 0"),
        ["BACKUP-DENIED 2 No_Storage"]
    );
    assert_eq!(
        rig.say(at("A"), "BACKUP_REQ 3 f ten 0"),
        ["BACKUP-DENIED 3 Bad_Request"]
    );
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 4 f"),
        ["RESTORE_FAIL 4 f No_Such_File"]
    );
    assert_eq!(rig.say(at("A"), "BACKUP_REQ 5 f 10 0").len(), 1);
    rig.register("B", "BOTH", "1MB");
    assert_eq!(
        rig.say(at("B"), "BACKUP_REQ 6 f 10 0"),
        ["BACKUP-DENIED 6 File_Name_In_Use"]
    );
    assert_eq!(
        rig.say(at("B"), "RESTORE_REQ 7 f"),
        ["RESTORE_FAIL 7 f No_Such_File"]
    );
}

#[test]
fn a_repetition_has_the_same_answer_and_no_second_effect() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "1MB");
    let first = rig.say(at("A"), "BACKUP_REQ 2 f 10000 0");
    rig.register("C", "STORAGE", "2MB");
    let tasks = rig.sent.len();
    assert_eq!(rig.say(at("A"), "BACKUP_REQ 2 f 10000 0"), first);
    assert_eq!(rig.sent.len(), tasks + 1);
    assert!(rig.told("C", "STORAGE_TASK").is_empty());
}

#[test]
fn storage_peers_are_asked_for_their_chunks_and_told_who_brings_them() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "10MB");
    rig.register("C", "STORAGE", "20MB");
    let plan = rig.say(at("A"), "BACKUP_REQ 2 f 10000 0 5000");
    assert_eq!(plan, ["BACKUP_PLAN 2 f [C:10.0.0.1:7067,B:10.0.0.1:7066] 5000"]);
    rig.pass(1, &[]);
    let rq = 101;
    assert_eq!(
        rig.told("B", "STORAGE_TASK"),
        [format!("STORAGE_TASK {rq} f 5000 A 10.0.0.1:6065:7065")]
    );
    let asked = [0, 1].map(|n| format!("STORE_REQ {rq} f {n} A 10.0.0.1:6065:7065"));
    assert_eq!(
        rig.told("C", "STORE_REQ"),
        asked,
        "its own, and that of which it is the fallback"
    );
}

#[test]
fn a_failed_holder_is_replaced_by_a_copy_of_the_other() {
    let mut rig = Rig::with_backup(2);
    rig.pass(31, &["A", "C", "D"]);
    rig.pass(2, &["A", "C", "D"]);
    // B held chunks 0 and 2; C has 0 and D has 2, and each gets what it lacks.
    assert_eq!(rig.told("C", "REPLICATE_REQ").len(), 1);
    assert!(rig.told("C", "REPLICATE_REQ")[0].ends_with(" f 0 D:10.0.0.1:7068"));
    assert!(rig.told("D", "REPLICATE_REQ")[0].ends_with(" f 2 C:10.0.0.1:7067"));
    assert!(
        rig.told("D", "STORE_REQ")
            .iter()
            .any(|it| it.ends_with(" f 0 A 10.0.0.1:6067:7067"))
    );
    rig.say(at("D"), "STORE_ACK 9 f 0");
    rig.say(at("C"), "STORE_ACK 9 f 2");
    rig.pass(31, &["A", "D"]);
    let plan = rig.say(at("A"), "RESTORE_REQ 8 f");
    assert_eq!(plan, ["RESTORE_PLAN 8 f [D:10.0.0.1:7068] 4096 3 cbf43926"]);
}

#[test]
fn who_leaves_is_replaced_and_its_files_wait_for_it() {
    let mut rig = Rig::with_backup(2);
    rig.say(at("B"), "DE-REGISTER 4 B");
    rig.pass(2, &["A", "C", "D"]);
    assert_eq!(
        rig.told("C", "REPLICATE_REQ").len() + rig.told("D", "REPLICATE_REQ").len(),
        2
    );
    rig.say(at("A"), "DE-REGISTER 4 A");
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 8 f"),
        ["RESTORE_FAIL 8 f Not_Registered"]
    );
    rig.kill();
    rig.register("A", "OWNER", "0");
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 9 f"),
        ["RESTORE_PLAN 9 f [C:10.0.0.1:7067,D:10.0.0.1:7068] 4096 3 cbf43926"]
    );
}

#[test]
fn chunks_that_are_not_acknowledged_are_brought_elsewhere() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.register("C", "STORAGE", "20MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 8192 0");
    rig.register("D", "STORAGE", "10MB");
    rig.say(at("C"), "STORE_ACK 9 f 1");
    rig.pass(33, &["A", "B", "C", "D"]);
    assert_eq!(
        rig.told("A", "BACKUP_PLAN")[1],
        "BACKUP_PLAN 2 f [C:10.0.0.1:7067,C:10.0.0.1:7067] 4096",
        "C has the most room"
    );
    assert!(rig.told("C", "STORE_REQ").iter().any(|it| it.contains(" f 0 A ")));
    rig.say(at("C"), "STORE_ACK 9 f 0");
    rig.say(at("A"), "BACKUP_DONE 3 f");
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 4 f"),
        ["RESTORE_PLAN 4 f [C:10.0.0.1:7067] 4096 2 0"]
    );
}

#[test]
fn what_nobody_was_left_to_take_waits_for_somebody_to_come() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 100 0");
    rig.say(at("A"), "BACKUP_DONE 3 f");
    rig.pass(40, &["A", "B"]);
    assert_eq!(rig.told("A", "BACKUP_PLAN").len(), 1);
    rig.register("C", "STORAGE", "30MB");
    rig.pass(1, &["A", "B", "C"]);
    assert_eq!(
        rig.told("A", "BACKUP_PLAN")[1],
        "BACKUP_PLAN 2 f [C:10.0.0.1:7067] 4096"
    );
    rig.say(at("C"), "STORE_ACK 9 f 0");
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 4 f"),
        ["RESTORE_PLAN 4 f [C:10.0.0.1:7067] 4096 1 0"]
    );
}

#[test]
fn a_chunk_brought_to_its_fallback_is_as_good() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.register("C", "STORAGE", "20MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 100 0");
    rig.say(at("C"), "STORE_ACK 9 f 0");
    rig.say(at("A"), "BACKUP_DONE 3 f");
    rig.pass(60, &["A", "B", "C"]);
    assert_eq!(rig.told("A", "BACKUP_PLAN").len(), 1, "nothing is reallocated");
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 4 f"),
        ["RESTORE_PLAN 4 f [C:10.0.0.1:7067] 4096 1 0"]
    );
}

#[test]
fn a_new_backup_replaces_the_former_when_it_is_complete() {
    let mut rig = Rig::with_backup(1);
    let plan = rig.say(at("A"), "BACKUP_REQ 5 f 4096 11111111");
    assert!(
        !plan[0].contains("[B:"),
        "it would overwrite what B holds: {plan:?}"
    );
    let former = rig.say(at("A"), "RESTORE_REQ 6 f");
    assert!(former[0].ends_with(" 4096 3 cbf43926"), "{former:?}");
    rig.say(at("D"), "STORE_ACK 9 f 0");
    rig.say(at("A"), "BACKUP_DONE 7 f");
    let new = rig.say(at("A"), "RESTORE_REQ 8 f");
    assert!(new[0].ends_with("] 4096 1 11111111"), "{new:?}");
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_point() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.kill();
    rig.register("B", "STORAGE", "30MB");
    rig.register("C", "STORAGE", "20MB");
    rig.kill();
    rig.say(at("A"), "BACKUP_REQ 2 f 8192 0");
    rig.kill();
    rig.say(at("B"), "STORE_ACK 9 f 0");
    rig.kill();
    rig.say(at("C"), "STORE_ACK 9 f 1");
    rig.kill();
    rig.say(at("A"), "BACKUP_DONE 3 f");
    rig.kill();
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 4 f"),
        ["RESTORE_PLAN 4 f [B:10.0.0.1:7066,C:10.0.0.1:7067] 4096 2 0"]
    );
    assert_eq!(rig.server.registered(), 3);
}

#[test]
fn an_unfinished_backup_goes_on_after_a_crash() {
    let mut rig = Rig::with_replicas(1);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.register("C", "STORAGE", "20MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 8192 0");
    rig.say(at("B"), "STORE_ACK 9 f 0");
    rig.kill();
    rig.sent.clear();
    rig.pass(2, &["A", "B", "C"]);
    let asked = |name: &str, chunk: &str| rig.told(name, "STORE_REQ").iter().any(|it| it.contains(chunk));
    assert!(
        !asked("B", " f 0 ") && !asked("C", " f 0 "),
        "B has what it was to take"
    );
    assert!(asked("C", " f 1 "));
}

#[test]
fn more_peers_bring_the_replicas_that_were_missing() {
    let mut rig = Rig::with_replicas(2);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 100 0");
    rig.say(at("B"), "STORE_ACK 9 f 0");
    rig.say(at("A"), "BACKUP_DONE 3 f");
    rig.register("C", "STORAGE", "30MB");
    rig.pass(1, &["A", "B", "C"]);
    assert!(rig.told("B", "REPLICATE_REQ")[0].ends_with(" f 0 C:10.0.0.1:7067"));
}

#[test]
fn what_the_owner_brought_once_is_copied_to_the_others() {
    let mut rig = Rig::with_replicas(2);
    rig.register("A", "OWNER", "0");
    rig.register("B", "STORAGE", "30MB");
    rig.register("C", "STORAGE", "20MB");
    rig.say(at("A"), "BACKUP_REQ 2 f 100 0");
    rig.say(at("B"), "STORE_ACK 9 f 0");
    rig.say(at("A"), "BACKUP_DONE 3 f");
    rig.pass(1, &["A", "B", "C"]);
    assert!(rig.told("B", "REPLICATE_REQ")[0].ends_with(" f 0 C:10.0.0.1:7067"));
    assert!(
        rig.told("C", "STORE_REQ")
            .iter()
            .any(|it| it.ends_with(" f 0 A 10.0.0.1:6066:7066"))
    );
}

/// An empty file needs nobody to acknowledge it, and whoever likes may register.
#[test]
fn an_owner_has_only_so_many_files() {
    let mut rig = Rig::with_replicas(1);
    rig.register("Alice", "OWNER", "0MB");
    let mut denied = 0;
    for n in 0..5000 {
        let from = at("Alice");
        let answers = rig.say(from, &format!("BACKUP_REQ {n} f{n} 0 0"));
        denied += usize::from(answers == [format!("BACKUP-DENIED {n} Too_Many_Backups")]);
        rig.say(from, &format!("BACKUP_DONE {n}0 f{n}"));
    }
    assert_eq!((denied, rig.facts.len()), (5000 - 4096, 4096 + 1));
    let again = rig.say(at("Alice"), "BACKUP_REQ 1 f1 0 0");
    assert_eq!(again.len(), 1);
    assert!(again[0].starts_with("BACKUP_PLAN"), "{again:?}");
}

#[test]
fn acknowledgements_are_sent_to_those_who_wait_for_them() {
    let mut rig = Rig::new(Config {
        acks: true,
        ..Config::default()
    });
    rig.register("A", "BOTH", "1MB");
    assert_eq!(rig.say(at("A"), "HEARTBEAT 3 A 0 17"), ["HEARTBEAT 3 A OK"]);
    rig.say(at("A"), "BACKUP_REQ 4 f 0 0");
    assert_eq!(rig.say(at("A"), "BACKUP_DONE 5 f"), ["BACKUP_DONE 5 f"]);
    assert_eq!(
        rig.say(at("A"), "RESTORE_REQ 6 f"),
        ["RESTORE_PLAN 6 f [] 4096 0 0"]
    );
}

#[test]
fn names_alone_or_with_chunks_are_listed_if_wished() {
    for (style, list) in [
        (Style::Names, "[B, C]"),
        (Style::At, "[B@10.0.0.1:7066:0,2;C@10.0.0.1:7067:1]"),
    ] {
        let mut rig = Rig::new(Config {
            style,
            ..Config::default()
        });
        rig.register("A", "OWNER", "0");
        rig.register("B", "STORAGE", "30MB");
        rig.register("C", "STORAGE", "20MB");
        let plan = rig.say(at("A"), "BACKUP_REQ 2 f 10000 0");
        assert_eq!(plan, [format!("BACKUP_PLAN 2 f {list} 4096")]);
    }
}

#[test]
fn strangers_get_little_and_not_often() {
    let mut rig = Rig::with_replicas(1);
    let text = format!("BACKUP_REQ 1 {}", "x".repeat(200));
    let answers = (0..50).filter(|_| !rig.say(at("A"), &text).is_empty()).count();
    assert_eq!(answers, 10);
}

#[test]
fn a_flood_of_mutated_messages_changes_little_and_never_panics() {
    let mut rig = Rig::with_backup(2);
    let lines = [
        "REGISTER 1 A BOTH 10.0.0.1 6065 7065 1MB",
        "BACKUP_REQ 2 g 10000 cbf43926 4096",
        "STORE_ACK 9 f 1 4096",
        "RESTORE_REQ 4 f",
        "HEARTBEAT 3 B 0 17",
        "BACKUP_DONE 5 f",
        "DE-REGISTER 4 C",
    ];
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let mut text = lines[random(lines.len())].as_bytes().to_vec();
        for _ in 0..random(3) {
            let at = random(text.len());
            text[at] = u8::try_from(random(256)).unwrap();
        }
        let from = SocketAddr::from(([10, 0, 0, 1], u16::try_from(6065 + random(8)).unwrap()));
        let mut effects = Effects::default();
        rig.server.handle(rig.now, from, &text, &mut effects);
        rig.now += Duration::from_millis(3);
        rig.server.poll(rig.now, &mut effects);
        rig.take(effects);
        rig.sent.clear();
    }
    assert!(rig.server.registered() < 600);
    rig.kill();
}
