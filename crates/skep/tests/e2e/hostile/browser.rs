//! The local API over TCP against a web page in a real browser: headless Chromium, which is not on every machine,
//! so `cargo xtask test browser` asks for this test by name.
//!
//! The page is loaded from `http://evil.example:PORT`, a name that the browser is told to look up as this machine.
//! Then its server goes away and the peer's API takes the port: to the browser that is what a rebound name looks
//! like. The page knows everything that a page could ever find out, even the token, and tries what pages can do.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::support::{Network, text, write_random};

const PATIENCE: Duration = Duration::from_secs(60);
/// The script of the page: `ORDERS` is where it gets its orders and reports to.
const SCRIPT: &str = include_str!("page.js");

#[test]
#[ignore = "needs Chromium; `cargo xtask test browser`"]
fn no_page_in_a_browser_changes_or_reads_anything() {
    let network = Network::start();
    let (page, orders) = (Site::found(), Site::found());
    let port = page.at.port();
    let script = format!("const ORDERS = 'http://{}';\n{SCRIPT}", orders.at);
    page.open("text/html", &format!("<!DOCTYPE html><script>{script}</script>"));
    let _browser = Browser::start(&format!("http://evil.example:{port}/"));
    page.wait_for("/loaded");
    // From now on the name leads to whoever takes the port next.
    drop(page);
    let peer = network.peer_with("ada", &["--api", &format!("127.0.0.1:{port}")]);
    write_random(&peer.files.join("secret"), 1000, 1);
    peer.share(&peer.files.join("secret"), "canary-share");
    let token = fs::read_to_string(peer.home.join("api-token")).unwrap();
    let order = json!({
        "token": token.trim(),
        "bases": ["", format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")],
        "wish": { "path": text(&peer.files.join("secret")), "name": "stolen" },
    });
    orders.open("application/json", &order.to_string());
    let report = orders.wait_for("/report");
    let report = serde_json::from_str(&report).expect("the page reports in JSON");
    judge(&report, peer.ready["id"].as_str().unwrap());
    assert!(peer.listed("stolen").is_none());
    assert_eq!(peer.ask(&["status"])["connected"], true, "it was not stopped");
}

/// What was tried, and what came of it.
fn judge(report: &Value, id: &str) {
    let attempts = report.as_array().expect("a list");
    assert_eq!(attempts.len(), 3 * 17, "{report:#}");
    for attempt in attempts {
        let read = attempt["read"].as_str().unwrap_or_default();
        for canary in ["canary-share", id, "\"connected\"", "skep_"] {
            assert!(!read.contains(canary), "the page has read {attempt}");
        }
        // Only of its own name does a page hear anything, and that is a refusal.
        let status = attempt["status"].as_u64().unwrap_or_default();
        assert!(matches!(status, 0 | 421), "{attempt}");
    }
    let refused = attempts.iter().filter(|attempt| attempt["status"] == 421).count();
    assert!(refused >= 8, "the page did not reach the API: {report:#}");
}

/// A web server that has one answer to everything, and tells what it was asked.
struct Site {
    at: SocketAddr,
    listener: std::net::TcpListener,
    runtime: Runtime,
    asked: Receiver<(String, String)>,
    sender: Sender<(String, String)>,
}

impl Site {
    /// Takes an address. Who connects waits until it is open.
    fn found() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (sender, asked) = mpsc::channel();
        Self {
            at: listener.local_addr().unwrap(),
            listener,
            runtime: Runtime::new().unwrap(),
            asked,
            sender,
        }
    }

    fn open(&self, kind: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Access-Control-Allow-Origin: *\r\n\r\n{body}",
            body.len()
        );
        let (listener, sender) = (self.listener.try_clone().unwrap(), self.sender.clone());
        self.runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer.clone(), sender.clone()));
            }
        });
    }

    /// The body that came with this path.
    fn wait_for(&self, path: &str) -> String {
        loop {
            let (asked, body) = self.asked.recv_timeout(PATIENCE).expect("the page asks");
            if asked == path {
                return body;
            }
        }
    }
}

/// One request. A browser also opens connections that it does not use.
async fn serve(stream: TcpStream, answer: String, asked: Sender<(String, String)>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    asked.send((path, String::from_utf8(body).ok()?)).ok()
}

struct Browser {
    process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-sync",
                "--disable-features=HttpsUpgrades",
            ])
            .arg("--host-resolver-rules=MAP evil.example 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium is installed");
        Self {
            process,
            _profile: profile,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
