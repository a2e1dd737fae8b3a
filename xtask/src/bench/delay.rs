//! `cargo xtask delay`: forwards datagrams between two ends, later, and not all of them.
//!
//! The bench starts it where a path with delay and loss is wanted and the kernel has no netem. It keeps the
//! order of the packets of a direction, and knows nothing of what is in them.

use std::{
    net::{Ipv4Addr, UdpSocket},
    str::FromStr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustix::net::sockopt;

use crate::Outcome;

/// Where both ends, and the forwarder towards both, expect datagrams: VXLAN's port.
pub(crate) const PORT: u16 = 4789;
/// What is printed once it forwards.
pub(crate) const READY: &str = "ready";
/// So many packets are on the way in one direction at most; more are lost.
const MAX_PACKETS: usize = 1 << 16;
const MAX_PACKET_BYTES: usize = 1 << 16;
/// A burst waits here until it is read.
const BUFFER_BYTES: usize = 16 << 20;

/// Forward datagrams between two ends, later, and not all of them (the bench starts this)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How much later, in milliseconds
    #[arg(long)]
    millis: u64,
    /// How many of a thousand are lost
    #[arg(long)]
    lost_per_mille: u32,
    /// OURS-THEIRS: the address of this host towards an end, and the address of the end
    #[arg(num_args = 2)]
    ends: Vec<End>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    ours: Ipv4Addr,
    theirs: Ipv4Addr,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ours, theirs) = text.split_once('-').ok_or("not OURS-THEIRS")?;
        let address = |text: &str| text.parse().map_err(|e| format!("{text}: {e}"));
        Ok(Self {
            ours: address(ours)?,
            theirs: address(theirs)?,
        })
    }
}

/// A datagram and when it may go on.
struct Packet {
    due: Instant,
    bytes: Box<[u8]>,
}

/// Forwards until it is ended from outside, or a socket fails.
pub(crate) fn run(args: &Args) -> Outcome {
    let &[a, b] = &args.ends[..] else {
        return Err("two ends are needed".into());
    };
    let (socket_a, socket_b) = (socket(a.ours)?, socket(b.ours)?);
    let delay = Duration::from_millis(args.millis);
    let mut threads = Vec::new();
    for (seed, from, to, end) in [(1, &socket_a, &socket_b, b), (2, &socket_b, &socket_a, a)] {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        let (sender, receiver) = sync_channel(MAX_PACKETS);
        let loss = Loss::new(args.lost_per_mille, seed);
        threads.push(thread::spawn(move || receive(&from, delay, loss, &sender)));
        threads.push(thread::spawn(move || send(&to, end.theirs, &receiver)));
    }
    println!("{READY}");
    for thread in threads {
        thread.join().map_err(|_| "a direction panicked")??;
    }
    Ok(())
}

/// Not connected: the ends send from any port.
fn socket(ours: Ipv4Addr) -> Outcome<Arc<UdpSocket>> {
    let socket = UdpSocket::bind((ours, PORT))?;
    sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)?;
    sockopt::set_socket_send_buffer_size(&socket, BUFFER_BYTES)?;
    Ok(Arc::new(socket))
}

fn receive(
    socket: &UdpSocket,
    delay: Duration,
    mut loss: Loss,
    queue: &SyncSender<Packet>,
) -> Result<(), String> {
    let mut buffer = vec![0; MAX_PACKET_BYTES];
    loop {
        let length = socket
            .recv(&mut buffer)
            .map_err(|e| format!("cannot receive: {e}"))?;
        if loss.hits() {
            continue;
        }
        let packet = Packet {
            due: Instant::now() + delay,
            bytes: buffer[..length].into(),
        };
        // A full queue loses packets, as that of a router does.
        let _ = queue.try_send(packet);
    }
}

fn send(socket: &UdpSocket, end: Ipv4Addr, queue: &Receiver<Packet>) -> Result<(), String> {
    for packet in queue {
        thread::sleep(packet.due.saturating_duration_since(Instant::now()));
        // One that cannot be sent is lost, which is what networks do.
        let _ = socket.send_to(&packet.bytes, (end, PORT));
    }
    Ok(())
}

/// Which packets are lost: the same for the same seed.
struct Loss {
    per_mille: u32,
    random: SmallRng,
}

impl Loss {
    fn new(per_mille: u32, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { per_mille, random }
    }

    fn hits(&mut self) -> bool {
        self.random.random_range(0..1000) < self.per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_what_was_asked_for() {
        let mut loss = Loss::new(5, 1);
        let lost = (0..100_000).filter(|_| loss.hits()).count();
        assert!((400..600).contains(&lost), "{lost} of 100000");
        assert!((0..1000).all(|_| !Loss::new(0, 1).hits()));
    }

    #[test]
    fn an_end_is_two_addresses() {
        let end: End = "10.0.0.1-10.0.0.2".parse().unwrap();
        assert_eq!((end.ours.octets()[3], end.theirs.octets()[3]), (1, 2));
        assert!("10.0.0.1".parse::<End>().is_err());
    }
}
