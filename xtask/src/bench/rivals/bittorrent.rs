//! BitTorrent programs: any number of holders, plain TCP, pieces of 1 MiB verified with SHA-1.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use super::PYTHON;
use crate::{
    Outcome,
    bench::{
        material::Material,
        report::Cost,
        stage::{Side, Stage, command, free_port, wait_ready},
        torrent::{self, Tracker},
    },
};

/// One session of libtorrent, seeding or fetching.
const SESSION: &str = include_str!("libtorrent.py");

/// aria2 takes no addresses by hand, so it gets a tracker.
pub(super) fn aria2(stage: &mut Stage, material: &Material, holders: usize) -> Outcome<Cost> {
    let tracker = Tracker::start()?;
    let metainfo = stage.path("payload.torrent");
    torrent::write_metainfo(material, Some(&tracker.announce_url()), &metainfo)?;
    let client = |port: u16, folder: PathBuf, extra: &[&str]| {
        let mut client = command(
            "aria2c",
            [
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
            ],
        );
        client.args([
            "--enable-peer-exchange=false",
            "--no-conf",
            "--quiet",
            "--bt-max-peers=0",
        ]);
        client
            .arg(format!("--listen-port={port}"))
            .arg(format!("--dir={}", folder.display()));
        client.args(extra).arg(&metainfo);
        client
    };
    for (name, folder) in holder_folders(stage, material, holders)? {
        let keep = [
            "--seed-ratio=0.0",
            "--check-integrity=true",
            "--allow-overwrite=true",
        ];
        stage.start(Side::Sender, &name, &mut client(free_port()?, folder, &keep))?;
    }
    wait_ready("aria2's seeders", || {
        Ok((tracker.complete() == holders).then_some(()))
    })?;
    let leave = ["--seed-time=0", "--file-allocation=none"];
    stage.fetch(&mut client(free_port()?, stage.folder("out")?, &leave))
}

/// The library behind qBittorrent and Deluge.
pub(super) fn libtorrent(stage: &mut Stage, material: &Material, holders: usize) -> Outcome<Cost> {
    let metainfo = stage.path("payload.torrent");
    torrent::write_metainfo(material, None, &metainfo)?;
    let session = |verb: &str, folder: PathBuf, ports: &[u16]| {
        let mut session = command(PYTHON, ["-c", SESSION, verb]);
        session
            .arg(&metainfo)
            .arg(folder)
            .args(ports.iter().map(u16::to_string));
        session
    };
    let mut ports = vec![free_port()?];
    for (name, folder) in holder_folders(stage, material, holders)? {
        let port = free_port()?;
        ports.push(port);
        stage.start(Side::Sender, &name, &mut session("seed", folder, &[port]))?;
        stage.wait_printed(&name, |printed| printed.contains("seeding").then_some(()))?;
    }
    stage.fetch(&mut session("fetch", stage.folder("out")?, &ports))
}

/// BitTorrent in Rust.
pub(super) fn rqbit(stage: &mut Stage, material: &Material, holders: usize) -> Outcome<Cost> {
    let metainfo = stage.path("payload.torrent");
    torrent::write_metainfo(material, None, &metainfo)?;
    let client = |port: u16, api: u16, folder: PathBuf, extra: &[&str]| {
        let mut client = command(
            "rqbit",
            [
                "-v",
                "error",
                "--disable-dht",
                "--disable-lsd",
                "--disable-trackers",
            ],
        );
        client.args(["--disable-upnp-port-forward", "--listen-ip=127.0.0.1"]);
        client
            .arg(format!("--listen-port={port}"))
            .arg(format!("--http-api-listen-addr=127.0.0.1:{api}"));
        client
            .arg("download")
            .arg("-o")
            .arg(folder)
            .args(extra)
            .arg(&metainfo);
        client
    };
    let mut peers = Vec::new();
    for (name, folder) in holder_folders(stage, material, holders)? {
        let (port, api) = (free_port()?, free_port()?);
        peers.push(format!("127.0.0.1:{port}"));
        stage.start(
            Side::Sender,
            &name,
            &mut client(port, api, folder, &["--overwrite"]),
        )?;
        let finished = |state: String| state.contains("\"finished\":true").then_some(());
        wait_ready("rqbit's seeder", || {
            Ok(http_get(api, "/torrents/0/stats/v1").and_then(finished))
        })?;
    }
    let leave = ["--exit-on-finish", "--initial-peers", &peers.join(",")];
    let folder = stage.folder("out")?;
    stage.fetch(&mut client(free_port()?, free_port()?, folder, &leave))
}

/// A folder with the file for each holder, and the holder's name.
fn holder_folders(stage: &Stage, material: &Material, holders: usize) -> Outcome<Vec<(String, PathBuf)>> {
    let folder = |number: usize| {
        let name = format!("holder-{number}");
        let folder = stage.folder(&name)?;
        material.link_into(&folder)?;
        Ok((name, folder))
    };
    (1..=holders).map(folder).collect()
}

/// The answer of a local server; none while there is no server.
fn http_get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
