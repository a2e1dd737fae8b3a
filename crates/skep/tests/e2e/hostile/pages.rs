//! The local API over TCP against what a web page can make a browser send, and against nonsense.

use serde_json::Value;

use super::say;
use crate::support::{Network, Peer, text, write_random};

struct Api {
    _network: Network,
    peer: Peer,
    at: String,
    token: String,
}

impl Api {
    fn start() -> Self {
        let network = Network::start();
        let peer = network.peer_with("ada", &["--api", "127.0.0.1:0"]);
        let at = peer.ready["api"].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(peer.home.join("api-token")).unwrap();
        write_random(&peer.files.join("secret"), 1000, 1);
        Self {
            _network: network,
            peer,
            at,
            token,
        }
    }

    fn port(&self) -> &str {
        self.at.rsplit_once(':').unwrap().1
    }

    /// One request; its status and all that is answered.
    fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = String::from_utf8_lossy(&say(&self.at, request.as_bytes())).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
    }

    /// What a page would like to be done: a file of the person is shared with everyone.
    fn wish(&self) -> String {
        serde_json::json!({ "path": text(&self.peer.files.join("secret")), "name": "stolen" }).to_string()
    }

    fn nothing_was_done(&self) {
        assert!(self.peer.listed("stolen").is_none());
    }
}

/// What a page of somebody else can make a browser send: any method that needs no permission, to any
/// name that leads here, with its own origin, and never the token.
#[test]
fn a_page_of_another_origin_changes_and_reads_nothing() {
    let api = Api::start();
    let (here, port) = (api.at.clone(), api.port().to_owned());
    let rebound = format!("evil.example:{port}");
    let token = format!("Bearer {}", api.token);
    for (host, origin, shown, status) in [
        (&here, Some("http://evil.example"), None, 403),
        (&here, Some("null"), None, 403),
        (&here, None, None, 401),
        (&rebound, Some("http://evil.example"), None, 421),
        (&rebound, None, None, 421),
        // Should the token ever be known to a page, it is of no use to it.
        (&here, Some("http://evil.example"), Some(&token), 403),
        (&rebound, None, Some(&token), 421),
    ] {
        let mut headers = vec![("Host", host.as_str())];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        headers.extend(shown.map(|token| ("Authorization", token.as_str())));
        for kind in [
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
        ] {
            let headers = [&headers[..], &[("Content-Type", kind)]].concat();
            assert_eq!(
                api.ask("POST /v1/share", &headers, &api.wish()).0,
                status,
                "{headers:?}"
            );
        }
        for path in [
            "/v1/status",
            "/v1/shares",
            "/v1/peers",
            "/metrics",
            "/v1/messages",
        ] {
            let (got, answer) = api.ask(&format!("GET {path}"), &headers, "");
            assert_eq!(got, status, "{path} {headers:?}");
            let lower = answer.to_lowercase();
            assert!(!lower.contains("access-control-allow"), "{answer}");
        }
        assert_eq!(api.ask("OPTIONS /v1/share", &headers, "").0, status);
    }
    api.nothing_was_done();
}

#[test]
fn reading_requests_change_nothing_even_with_the_token() {
    let api = Api::start();
    let token = format!("Bearer {}", api.token);
    let headers = [("Host", api.at.as_str()), ("Authorization", token.as_str())];
    assert_eq!(api.ask("GET /v1/status", &headers, "").0, 200);
    for path in [
        "/v1/share",
        "/v1/unshare",
        "/v1/get",
        "/v1/backup",
        "/v1/restore",
        "/v1/recover",
        "/v1/recovery-phrase",
        "/v1/stop",
        "/v1/leave",
        "/v1/forget",
    ] {
        let (status, answer) = api.ask(&format!("GET {path}"), &headers, &api.wish());
        assert!(matches!(status, 404 | 405), "{path}: {answer}");
    }
    api.nothing_was_done();
}

#[test]
fn nonsense_is_refused_and_costs_little() {
    let mut api = Api::start();
    let token = format!("Bearer {}", api.token);
    let headers = [
        ("Host", api.at.as_str()),
        ("Authorization", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    let before = api.peer.ready["id"].clone();
    let deep = "[".repeat(1_000_000);
    let deeper = format!("{{\"path\":{}", "{\"a\":".repeat(200_000));
    for body in [deep.as_str(), &deeper, "{}", "null", "\u{0}", "{\"path\":1}"] {
        let (status, answer) = api.ask("POST /v1/share", &headers, body);
        assert!((400..500).contains(&status), "{answer:.300}");
    }
    for line in [
        "GET /../../etc/passwd",
        "GET /v1/blobs/../../key",
        "GET /v1/blobs/%2e%2e%2fkey",
        "BREW /v1/status",
    ] {
        let (status, answer) = api.ask(line, &headers, "");
        assert!((400..500).contains(&status), "{line}: {answer:.300}");
    }
    // More than any request has: whether the refusal arrives before the connection ends is chance.
    let large = format!(
        "POST /v1/share HTTP/1.1\r\nHost: {}\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\r\n{}",
        api.at,
        64 << 20,
        "x".repeat(64 << 20)
    );
    say(&api.at, large.as_bytes());
    let status: Value = api.peer.ask(&["status"]);
    assert_eq!(status["connected"], true);
    assert_eq!(api.peer.ready["id"], before);
    let resident = api.peer.process().resident_mib();
    assert!(resident < 128, "{resident} MiB");
}
