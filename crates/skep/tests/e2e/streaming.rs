//! Files read in order while they come: `cat`, and ranges over HTTP.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

use crate::support::{Network, Peer, eventually, skep, write_random};

const MIB: usize = 1 << 20;

/// Runs `cat`; what it wrote, and how it ended.
fn cat(peer: &Peer, words: &[&str]) -> (Vec<u8>, String, Option<i32>) {
    let output = skep(&peer.home, &[&["cat"], words].concat()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.stdout, stderr, output.status.code())
}

fn served(peer: &Peer) -> u64 {
    peer.ask(&["status"])["served"].as_u64().unwrap()
}

#[test]
fn a_file_is_written_in_order_and_not_kept() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x y%"), 40 * MIB + 77, 1);
    ann.share(&ann.files.join("x y%"), "x y%");
    let (out, err, code) = cat(&bob, &["x y%"]);
    assert!(out == bytes, "{} of {}: {err}", out.len(), bytes.len());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(bob.listed("x y%").unwrap()["holders"], 1);
    assert!(fs::read_dir(&bob.files).unwrap().next().is_none());

    // What is on the machine itself needs nobody.
    let before = served(&ann);
    let (out, _, code) = cat(&ann, &["x y%", "--range", "5MiB-5242899"]);
    assert_eq!((&out[..], code), (&bytes[5 * MIB..5 * MIB + 20], Some(0)));
    assert_eq!(served(&ann), before);
}

#[test]
fn a_range_costs_little_more_than_itself() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), 32 * MIB + 5, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut before = served(&ann);
    let size = bytes.len();
    for (range, expected) in [
        ("0-0", 0..1),
        ("16383-16384", 16383..16385),
        ("10MiB-10485860", 10 * MIB..10 * MIB + 101),
        ("-7", size - 7..size),
        ("33554430-", size - 7..size),
    ] {
        let (out, err, code) = cat(&bob, &["x", "--range", range]);
        assert!(out == bytes[expected], "{range}: {err}");
        assert_eq!(code, Some(0));
        let now = served(&ann);
        assert!(now - before <= 34 * 1024, "{range} cost {}", now - before);
        before = now;
    }
    let (out, err, code) = cat(&bob, &["x", "--range", "40MiB-"]);
    assert_eq!((out.len(), code), (0, Some(1)));
    assert!(err.contains("beyond the end"), "{err}");
    assert_eq!(cat(&bob, &["x", "--range", "7-3"]).2, Some(2));
}

#[test]
fn files_in_folders_are_read_too_and_folders_are_not() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let folder = ann.files.join("folder");
    let small = write_random(&folder.join("a/small"), 20_000, 1);
    write_random(&folder.join("b"), 20_000, 2);
    let large = write_random(&folder.join("large"), 3 * MIB, 3);
    fs::write(folder.join("empty"), b"").unwrap();
    ann.share(&folder, "folder");
    for (name, expected) in [("a/small", &small), ("large", &large), ("empty", &Vec::new())] {
        let (out, err, code) = cat(&bob, &[&format!("folder/{name}")]);
        assert!(&out == expected, "{name}: {err}");
        assert_eq!(code, Some(0));
    }
    let (out, _, _) = cat(&bob, &["folder/large", "--range", "2000000-2000099"]);
    assert!(out == large[2_000_000..2_000_100]);
    let (out, err, code) = cat(&bob, &["folder"]);
    assert_eq!((out.len(), code), (0, Some(1)));
    assert!(err.contains("is a folder") && err.contains("hint"), "{err}");
    assert_eq!(cat(&bob, &["folder/none"]).2, Some(1));
    assert_eq!(cat(&bob, &["nothing"]).2, Some(1));
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let network = Network::start();
    let ann = network.peer_with("ann", &["--up-rate", "20MiB"]);
    let bob = network.peer("bob");
    let bytes = write_random(&ann.files.join("x"), 64 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut process = skep(&bob.home, &["cat", "x"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = vec![0; 1000];
    process.stdout.take().unwrap().read_exact(&mut head).unwrap();
    assert!(head == bytes[..1000]);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let quiet = eventually("nothing more is fetched", || {
        let before = served(&ann);
        std::thread::yield_now();
        (bob.ask(&["status"])["connected"] == true && served(&ann) == before).then_some(before)
    });
    assert!(quiet < 63 * MIB as u64, "{quiet}");
}

#[test]
fn a_file_is_read_past_a_holder_that_changed_it() {
    let network = Network::start();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| network.peer(name));
    let path = ann.files.join("x");
    let bytes = write_random(&path, 5 * MIB, 1);
    ann.share(&path, "x");
    bob.get("x", &bob.files);
    eve.wait_for_holders("x", 2);
    write_random(&path, 5 * MIB, 2);
    let (out, err, _) = cat(&eve, &["x"]);
    assert!(out == bytes, "{err}");
    write_random(&bob.files.join("x"), 5 * MIB, 3);
    let (out, err, code) = cat(&eve, &["x"]);
    assert_eq!((out.len(), code), (0, Some(1)), "{err}");
}

/// One request to the API on loopback: status, headers, body.
fn http(peer: &Peer, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
    let at = peer.ready["api"].as_str().unwrap();
    let token = fs::read_to_string(peer.home.join("api-token")).unwrap();
    let mut stream = TcpStream::connect(at).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Authorization") {
        request += &format!("Authorization: Bearer {token}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all((request + "\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head[9..12].parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

#[test]
fn a_player_seeks_in_a_file_that_is_not_there_yet() {
    let network = Network::start();
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &["--api", "127.0.0.1:0"]);
    let bytes = write_random(&ann.files.join("film.mkv"), 24 * MIB, 1);
    let id = ann.share(&ann.files.join("film.mkv"), "film.mkv")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = "/v1/blobs/film.mkv";

    let (status, head, body) = http(&bob, "HEAD", path, &[]);
    assert_eq!((status, body.len()), (200, 0));
    assert!(head.contains("accept-ranges: bytes") && head.contains(&format!("content-length: {}", 24 * MIB)));
    let tag = format!("\"{id}\"");
    assert!(head.contains(&format!("etag: {tag}")), "{head}");

    let range = ("Range", "bytes=20000000-20000999");
    let (status, head, body) = http(&bob, "GET", path, &[range]);
    assert_eq!(status, 206);
    assert!(body == bytes[20_000_000..20_001_000]);
    assert!(
        head.contains(&format!("content-range: bytes 20000000-20000999/{}", 24 * MIB)),
        "{head}"
    );
    let (status, _, body) = http(&bob, "GET", path, &[range, ("If-Range", &tag)]);
    assert_eq!((status, body.len()), (206, 1000));
    let (status, _, body) = http(&bob, "GET", path, &[range, ("If-Range", "\"other\"")]);
    assert_eq!((status, body == bytes), (200, true));
    assert_eq!(http(&bob, "GET", path, &[("If-None-Match", &tag)]).0, 304);
    let (status, head, _) = http(&bob, "GET", path, &[("Range", "bytes=99999999-")]);
    assert_eq!(status, 416);
    assert!(
        head.contains(&format!("content-range: bytes */{}", 24 * MIB)),
        "{head}"
    );

    let (status, _, body) = http(&bob, "GET", &format!("/v1/blobs/{id}"), &[("Range", "bytes=-5")]);
    assert_eq!((status, &body[..]), (206, &bytes[24 * MIB - 5..]));
    assert_eq!(http(&bob, "GET", "/v1/blobs/nothing", &[]).0, 404);
    assert_eq!(http(&bob, "GET", "/v1/blobs/..%2f..%2fetc%2fpasswd", &[]).0, 400);
    let (status, _, body) = http(&bob, "GET", "/metrics", &[]);
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    let received = body
        .lines()
        .find_map(|line| line.strip_prefix("skep_received_bytes_total "));
    assert!(received.unwrap().parse::<u64>().unwrap() > 24 << 20, "{body}");
    assert!(
        body.contains("skep_downloads{state=\"waiting for space\"} 0\n"),
        "{body}"
    );
    assert_eq!(
        http(&bob, "GET", "/metrics", &[("Authorization", "Bearer x")]).0,
        401
    );
    assert_eq!(http(&bob, "GET", path, &[("Authorization", "Bearer x")]).0, 401);
    assert_eq!(
        http(&bob, "GET", path, &[("Origin", "http://evil.example")]).0,
        403
    );
}
