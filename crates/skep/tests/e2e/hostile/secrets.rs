//! Canaries: tickets, tokens, keys and words are looked for in arguments, logs and error texts.

use std::{fs, path::Path};

use crate::support::{Network, Process, skep, text, write_random};

/// The arguments of all processes that this user may look at.
fn arguments() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // It may have ended meanwhile.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        all += &String::from_utf8_lossy(&line);
        all.push('\n');
    }
    all
}

/// Fails if a secret, or a good part of it, is in a text.
fn assert_absent(secrets: &[String], place: &str, text: &str) {
    for secret in secrets {
        let part = &secret[..secret.len().min(24)];
        assert!(!text.contains(part), "a secret is in {place}: {text}");
    }
}

#[test]
fn no_secret_is_in_arguments_logs_or_error_texts() {
    let mut network = Network::with(&["-v"]);
    let ticket = network.invite(&[]);
    let mut ada = network
        .joining("ada", &ticket, &["-v", "--api", "127.0.0.1:0"])
        .joined();
    write_random(&ada.files.join("lorem"), 1000, 1);
    ada.share(&ada.files.join("lorem"), "lorem");
    let words = ada.ask(&["recovery-phrase", "--yes"])["phrase"]
        .as_str()
        .unwrap()
        .to_owned();
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap().trim().to_owned();
    let homes = network.folder().join("coordinator");
    let secrets = [
        ticket.rsplit_once(':').unwrap().1[60..].to_owned(),
        words.clone(),
        read(ada.home.join("api-token")),
        read(ada.home.join("key")),
        read(homes.join("key")),
        read(homes.join("network-key")),
    ];
    // Every command that takes a secret, with one that is wrong by a little.
    let mut said = String::new();
    let swapped: Vec<&str> = words.split(' ').rev().collect();
    let file = ada.files.join("words");
    fs::write(&file, swapped.join(" ")).unwrap();
    let outcome = ada.run(&["-v", "recover", "--phrase-file", text(&file)]);
    said += &format!("{outcome:?}");
    for wrong in [
        ticket[..ticket.len() - 1].to_owned(),
        format!("{ticket}a"),
        ticket.clone(),
    ] {
        let outcome = network.joining("eve", &wrong, &["-v"]).outcome();
        assert_ne!(outcome.code, Some(0));
        said += &format!("{outcome:?}");
    }
    let used = Process::start(skep(&network.folder().join("mallory"), &["-v", "status"])).finish();
    said += &format!("{used:?}");
    assert_absent(&secrets, "what commands say", &said);
    let swapped = [swapped.join(" ")];
    assert_absent(&swapped, "what commands say", &said);
    assert_absent(&secrets, "arguments", &arguments());
    let logs = ada.process().errors() + &network.coordinator().errors();
    assert!(logs.len() > 200, "there are logs: {logs}");
    assert_absent(&secrets, "logs", &logs);
    assert_absent(&swapped, "logs", &logs);
}

#[test]
fn what_is_secret_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let network = Network::start();
    let ada = network.peer_with("ada", &["--api", "127.0.0.1:0"]);
    ada.ask(&["recovery-phrase", "--yes"]);
    let homes = [ada.home.clone(), network.folder().join("coordinator")];
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o077;
    let (mut paths, mut secret) = (homes.to_vec(), 0);
    while let Some(path) = paths.pop() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_secret = ["key", "token", "owner"].iter().any(|word| name.contains(word));
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if is_secret {
            assert_eq!(mode(&path), 0, "{} is open to others", path.display());
            secret += 1;
        }
    }
    // Whatever else lies there: nobody gets beneath a home.
    assert!(homes.iter().all(|home| mode(home) == 0));
    assert!(secret >= 4, "{secret}");
}
