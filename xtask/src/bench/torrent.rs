//! What the BitTorrent programs need to meet: a metainfo file (BEP 3) and, for those that take no
//! addresses by hand, a tracker (BEP 23) that knows this machine only.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use sha1::{Digest, Sha1};

use super::{
    interrupt,
    material::{MIB, Material},
};
use crate::Outcome;

/// A request line of a tracker's client is not longer.
const MAX_REQUEST_BYTES: u64 = 16 << 10;

/// The SHA-1 of each MiB of the file at `path`.
pub(super) fn hash_pieces(path: &Path) -> Outcome<Vec<u8>> {
    let file = File::open(path)?;
    let mut hashes = Vec::new();
    let mut piece = Vec::new();
    loop {
        interrupt::check()?;
        piece.clear();
        if (&file).take(MIB).read_to_end(&mut piece)? == 0 {
            return Ok(hashes);
        }
        hashes.extend_from_slice(&Sha1::digest(&piece));
    }
}

/// Writes the metainfo of `material` to `path`.
pub(super) fn write_metainfo(material: &Material, announce: Option<&str>, path: &Path) -> Outcome {
    let bytes = metainfo(material.bytes, material.piece_hashes()?, announce);
    Ok(fs::write(path, bytes)?)
}

/// Keys in order, as bencoding wants them.
fn metainfo(length: u64, piece_hashes: &[u8], announce: Option<&str>) -> Vec<u8> {
    let announce = announce
        .map(|url| format!("8:announce{}:{url}", url.len()))
        .unwrap_or_default();
    let head = format!(
        "d{announce}4:infod6:lengthi{length}e4:name7:payload12:piece lengthi{MIB}e6:pieces{}:",
        piece_hashes.len()
    );
    [head.as_bytes(), piece_hashes, b"ee"].concat()
}

/// Tells everybody who asks about everybody who asked before.
pub(super) struct Tracker {
    port: u16,
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Ports on this machine.
#[derive(Default)]
struct Known {
    all: BTreeSet<u16>,
    /// Those that said they have everything.
    complete: BTreeSet<u16>,
}

impl Tracker {
    /// Listens on a free port of the loopback interface.
    pub(super) fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (known, stop) = <(Arc<Mutex<Known>>, Arc<AtomicBool>)>::default();
        let thread = thread::spawn({
            let (known, stop) = (Arc::clone(&known), Arc::clone(&stop));
            move || serve(&listener, &known, &stop)
        });
        Ok(Self {
            port,
            known,
            stop,
            thread: Some(thread),
        })
    }

    /// What its clients ask.
    pub(super) fn announce_url(&self) -> String {
        format!("http://127.0.0.1:{}/announce", self.port)
    }

    /// How many clients have said that they have everything.
    pub(super) fn complete(&self) -> usize {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .complete
            .len()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it, so that it looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(listener: &TcpListener, known: &Mutex<Known>, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A client that goes away is no loss: it asks again.
        let _ = stream.and_then(|stream| answer(&stream, known));
    }
}

fn answer(stream: &TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream).take(MAX_REQUEST_BYTES);
    reader.read_line(&mut request)?;
    // The rest of the head is read too, or closing would reset the connection.
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let body = known
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .announce(&request);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut writer = stream;
    writer.write_all(&[head.as_bytes(), &body].concat())
}

impl Known {
    /// Takes note of who asks; the answer has six bytes for every other one.
    fn announce(&mut self, request: &str) -> Vec<u8> {
        let me = parameter(request, "port").and_then(|port| u16::try_from(port).ok());
        let others: Vec<u8> = self
            .all
            .iter()
            .filter(|port| Some(**port) != me)
            .flat_map(|port| compact(*port))
            .collect();
        self.all.extend(me);
        if parameter(request, "left") == Some(0) {
            self.complete.extend(me);
        }
        [
            format!("d8:intervali2e5:peers{}:", others.len()).as_bytes(),
            &others,
            b"e",
        ]
        .concat()
    }
}

fn compact(port: u16) -> [u8; 6] {
    let [high, low] = port.to_be_bytes();
    [127, 0, 0, 1, high, low]
}

/// The number `name=` in the query of an HTTP request line.
fn parameter(request: &str, name: &str) -> Option<u64> {
    let query = request.split_whitespace().nth(1)?.split_once('?')?.1;
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metainfo_is_bencoded() {
        let bytes = metainfo(5, b"abc", Some("http://t"));
        let want =
            "d8:announce8:http://t4:infod6:lengthi5e4:name7:payload12:piece lengthi1048576e6:pieces3:abcee";
        assert_eq!(String::from_utf8(bytes).unwrap(), want);
    }

    #[test]
    fn the_tracker_tells_of_the_others() {
        let mut known = Known::default();
        assert_eq!(
            known.announce("GET /announce?port=258&left=0 HTTP/1.1"),
            b"d8:intervali2e5:peers0:e"
        );
        let second = known.announce("GET /announce?left=9&port=1 HTTP/1.1");
        assert_eq!(second, b"d8:intervali2e5:peers6:\x7f\0\0\x01\x01\x02e");
        assert_eq!((known.all.len(), known.complete.len()), (2, 1));
    }
}
