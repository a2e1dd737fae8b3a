//! Attacks on running processes: floods, garbage, web pages, and a search for secrets where they do not belong.
//!
//! What a single parser or machine refuses is shown beside it; here is what only processes can show.

mod browser;
mod floods;
mod pages;
mod secrets;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

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

/// Another address of this machine: to others it looks like another host.
fn host(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0))
}
