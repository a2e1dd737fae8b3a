//! Connections that say a byte now and then and nothing more, from a process of their own: strangers are elsewhere.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, net::TcpSocket, time::sleep};

use crate::Failed;

/// The first argument of the process that makes them.
pub(crate) const WORD: &str = "slow";
const BYTE_EVERY: Duration = Duration::from_secs(10);
/// Addresses that they come from.
const HOSTS: usize = 50;

/// The process; its connections end with it.
pub(crate) struct Slow(Child);

impl Slow {
    /// Returns when all of them were opened once.
    pub(crate) fn start(at: SocketAddr, count: usize) -> Result<Self, Failed> {
        let mut command = Command::new(env::current_exe()?);
        command.args([WORD, &at.to_string(), &count.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().ok_or("no output")?;
        let slow = Self(child);
        BufReader::new(said).read_line(&mut String::new())?;
        Ok(slow)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process does: opens them, and opens again what is closed.
pub(crate) async fn run(at: SocketAddr, count: usize) {
    let opened = Arc::new(AtomicUsize::new(0));
    for n in 0..count {
        tokio::spawn(hold(at, n, opened.clone()));
    }
    while opened.load(Ordering::Relaxed) < count {
        sleep(Duration::from_millis(10)).await;
    }
    println!("open");
    std::future::pending().await
}

async fn hold(at: SocketAddr, n: usize, opened: Arc<AtomicUsize>) {
    let host = u8::try_from(n % HOSTS).unwrap_or_default();
    let from = SocketAddr::from((Ipv4Addr::new(127, 1, 0, host), 0));
    let mut known = false;
    loop {
        let connected = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(from)?;
            socket.connect(at).await
        };
        if let Ok(mut stream) = connected.await {
            if !std::mem::replace(&mut known, true) {
                opened.fetch_add(1, Ordering::Relaxed);
            }
            while stream.write_all(&[0x16]).await.is_ok() {
                sleep(BYTE_EVERY).await;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}
