//! Sending a file: its segments in order, each on a connection of its own.
//!
//! Blocking, on a thread of its own: a connection costs a handful of system calls, and waiting for
//! each of them asynchronously would double that. Only a few connections are under way at once;
//! a leecher closes each when it has read it, so that a slow one slows its seeder down.

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::{Shutdown, SocketAddrV4, TcpStream},
    time::Duration,
};

use rustix::net::{AddressFamily, SendFlags, SocketType, sockopt};
use skep_world::File;
use tokio_util::sync::CancellationToken;

use super::{
    assembly,
    codec::{Listing, Message, Segment},
};
use crate::journal::{Journal, Over, Way};

/// The most connections that the leecher has not closed yet.
const UNDER_WAY: usize = 16;
/// How long a connection may take to open, and a segment to be read.
const SEGMENT_WITHIN: Duration = Duration::from_secs(10);

/// Sends all of a file; returns once the leecher has closed every connection.
pub(super) fn send(
    file: &dyn File,
    listing: &Listing,
    segment_bytes: u32,
    to: SocketAddrV4,
    journal: &Journal,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut under_way = VecDeque::with_capacity(UNDER_WAY);
    let mut data = vec![0; segment_bytes as usize];
    for number in 0..assembly::count(listing.file_size, segment_bytes) {
        if stop.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let start = u64::from(number) * u64::from(segment_bytes);
        let left = u64::from(listing.file_size) - start;
        let bytes = u32::try_from(left).unwrap_or(u32::MAX).min(segment_bytes);
        read_padded(file, start, bytes, &mut data)?;
        let message = Message::Data(Segment {
            of: listing.clone(),
            number,
            segment_size: bytes,
            data: &data,
        });
        if under_way.len() == UNDER_WAY {
            under_way.pop_front().map_or(Ok(()), wait_until_read)?;
        }
        under_way.push_back(deliver(to, &message)?);
        journal.bulk(Way::Sent, Over::Tcp, to.into(), &message);
    }
    under_way.into_iter().try_for_each(wait_until_read)
}

/// The bytes of a segment; NUL up to its full size.
fn read_padded(file: &dyn File, start: u64, bytes: u32, data: &mut [u8]) -> io::Result<()> {
    let (content, padding) = data
        .split_at_mut_checked(bytes as usize)
        .ok_or(io::ErrorKind::InvalidInput)?;
    padding.fill(0);
    file.read_exact_at(start, content)
}

fn deliver(to: SocketAddrV4, message: &Message<'_>) -> io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    // This bounds the time to connect, too.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(SEGMENT_WITHIN))?;
    rustix::net::connect(&socket, &to)?;
    let (stream, bytes) = (TcpStream::from(socket), message.encode());
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        // The end of the connection follows, in the last packet of the message.
        let sent = rustix::net::send(&stream, left, SendFlags::MORE | SendFlags::NOSIGNAL)?;
        left = left.get(sent..).unwrap_or_default();
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(stream)
}

/// A leecher has nothing to say here: it closes the connection when it has read it.
fn wait_until_read(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SEGMENT_WITHIN))?;
    match stream.read(&mut [0; 64]) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}
