//! Attacks on running processes: floods, garbage, web pages, and a search for secrets where they do not belong.
//!
//! What a single parser or machine refuses is shown beside it; here is what only processes can show.

mod browser;
mod endless;
mod floods;
mod pages;
mod secrets;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::support::Process;

/// Says it on a connection of its own, and returns what is answered until that ends.
fn say(at: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may be hung up on before all was said.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// What a process costs while something is done to it.
struct Cost {
    began: Instant,
    cpu: Duration,
}

impl Cost {
    fn of(process: &Process) -> Self {
        Self {
            began: Instant::now(),
            cpu: process.cpu(),
        }
    }

    /// Prints what it was, for who asked (`--no-capture`), and returns the time of processors and the memory in MiB.
    #[allow(clippy::print_stdout)]
    fn told(self, process: &Process, what: &str) -> (Duration, u64) {
        let (took, cpu, mib) = (
            self.began.elapsed(),
            process.cpu() - self.cpu,
            process.resident_mib(),
        );
        println!("{what}: {cpu:.1?} of a processor in {took:.1?}, {mib} MiB");
        (cpu, mib)
    }
}

/// Another address of this machine: to others it looks like another host.
fn host(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0))
}
