//! Frames without end, from a stranger and from a member, to a coordinator and to a peer.
//!
//! Who says what the protocol forbids is told so and hung up on. Who is merely tireless takes a bounded amount of memory,
//! and keeps nobody waiting.

use std::time::Duration;

use skep_net::Tls;
use skep_wire::{
    BlobId,
    frame::{HEADER_BYTES, Header, REPLY},
    message::{self, Cancel, Credit, Done, Endpoint, HaveMore, Lane, Lookup, Message, Ping, Refused},
};
use skep_world::Network as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    runtime::Runtime,
    time::timeout,
};

use super::{Cost, floods::town};
use crate::{strangers::Stranger, support::Process};

/// How long the tireless go on.
const FOR: Duration = Duration::from_secs(1);
/// And how long it may take until others are hung up on.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that are sent in one go, at least.
const AT_ONCE: usize = 64 << 10;
/// The most that a process may have then.
const MOST_MIB: u64 = 128;

/// Somebody who says the same over and over.
struct Script {
    says: &'static str,
    /// The n-th frame.
    frame: fn(u32) -> Vec<u8>,
    /// Whether it reads what it is answered.
    hears: bool,
    ends: Ends,
}

/// How that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It is told why, and hung up on.
    Told(&'static str),
    /// It is held back, sooner or later hung up on, and would not hear why.
    Somehow,
    /// By itself: nothing is wrong with any of the frames.
    Never,
}

const SCRIPTS: [Script; 9] = [
    Script {
        says: "pings",
        frame: |n| message_frame(n, &Ping {}),
        hears: true,
        ends: Ends::Never,
    },
    Script {
        says: "what is of no known kind",
        frame: |_| frame(0x7777, 0, &[7; message::UNKNOWN_LIMIT as usize]),
        hears: true,
        ends: Ends::Never,
    },
    Script {
        says: "the longest length",
        frame: |n| frame_header(Lookup::KIND, n, u32::MAX).to_vec(),
        hears: true,
        ends: Ends::Told("a frame over its type's limit"),
    },
    Script {
        says: "the longest frames",
        frame: |_| frame(HaveMore::KIND, 0, &vec![0xff; HaveMore::LIMIT as usize]),
        hears: true,
        ends: Ends::Never,
    },
    Script {
        says: "answers",
        frame: |n| message_frame(n | REPLY, &Done {}),
        hears: true,
        ends: Ends::Told("an answer to no request"),
    },
    Script {
        says: "bulk answers",
        frame: |n| frame(message::SEGMENT, n | REPLY, &[7; 1000]),
        hears: true,
        ends: Ends::Told("bulk bytes nobody asked for"),
    },
    Script {
        says: "credit",
        frame: |_| message_frame(0, &Credit { bytes: u32::MAX }),
        hears: true,
        ends: Ends::Told("more credit than makes sense"),
    },
    Script {
        says: "cancels",
        frame: |n| message_frame(0, &Cancel { request: n }),
        hears: true,
        ends: Ends::Never,
    },
    Script {
        says: "requests without reading the answers",
        frame: |n| {
            message_frame(
                n,
                &Lookup {
                    content: BlobId([7; 32]),
                },
            )
        },
        hears: false,
        ends: Ends::Somehow,
    },
];

#[test]
fn frames_without_end_are_cut_off_or_cost_little() {
    let (mut network, mut ada) = town();
    let runtime = Runtime::new().unwrap();
    let member = runtime.block_on(Stranger::member(1, &network.invite(&[])));
    let (coordinator, peer) = (
        network.listen.clone(),
        ada.ready["listen"].as_str().unwrap().to_owned(),
    );
    for script in &SCRIPTS {
        let stranger = Stranger::new(2);
        for (who, name) in [(&stranger, "a stranger"), (&member, "a member")] {
            let what = format!("{name} says {} to a coordinator", script.says);
            let flood = script.play(who, &coordinator, Lane::Control);
            judge(network.coordinator(), &what, script, || runtime.block_on(flood));
        }
        let what = format!("a member says {} to a peer", script.says);
        let flood = script.play(&member, &peer, Lane::Bulk);
        judge(ada.process(), &what, script, || runtime.block_on(flood));
        assert!(ada.listed("lorem").is_some(), "after {}", script.says);
    }
}

fn judge(process: &Process, what: &str, script: &Script, flood: impl FnOnce() -> (u64, Option<Last>)) {
    let cost = Cost::of(process);
    let (mib, last) = flood();
    let (_, resident) = cost.told(process, &format!("{what} ({mib} MiB)"));
    assert!(resident < MOST_MIB, "{what}: {resident} MiB");
    match (script.ends, last) {
        (Ends::Never, None) | (Ends::Somehow, _) => {}
        (Ends::Told(why), Some(Last(Some(told)))) if told == why => {}
        (ends, last) => panic!("{what}: {ends:?} was expected, and it was {last:?}"),
    }
}

/// The other side has hung up; the reason, if one was given.
#[derive(Debug)]
struct Last(Option<String>);

impl Script {
    /// Says it. Returns how many MiB of it were taken, and how it ended, if it did.
    async fn play(&self, who: &Stranger, at: &str, lane: Lane) -> (u64, Option<Last>) {
        let at: Endpoint = at.parse().unwrap();
        let mut stream = Tls.dial(&who.key, &at, None).await.unwrap();
        let hello = message_frame(0, &who.hello(lane));
        stream.writer.write_all(&hello).await.unwrap();
        let mut sent = 0;
        let talking = self.talk(&mut stream.writer, &mut sent);
        let whole = async {
            match self.hears {
                true => tokio::join!(talking, last_words(&mut stream.reader)).1,
                false => {
                    talking.await;
                    last_words(&mut stream.reader).await
                }
            }
        };
        let long = match self.ends {
            Ends::Told(_) => PATIENCE,
            Ends::Somehow | Ends::Never => FOR,
        };
        let last = timeout(long, whole).await.ok();
        (sent >> 20, last)
    }

    /// Until nothing more is taken.
    async fn talk(&self, writer: &mut (impl AsyncWrite + Unpin), sent: &mut u64) {
        let mut frames = (1..REPLY).map(self.frame);
        loop {
            let mut batch = Vec::new();
            while batch.len() < AT_ONCE {
                batch.extend(frames.next().unwrap_or_default());
            }
            if writer.write_all(&batch).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            *sent += batch.len() as u64;
        }
    }
}

/// Reads to the end; and what a refusal of the whole connection said.
async fn last_words(reader: &mut (impl AsyncRead + Unpin)) -> Last {
    let mut last = Last(None);
    let mut header = [0; HEADER_BYTES];
    while reader.read_exact(&mut header).await.is_ok() {
        let Header {
            kind,
            request,
            length,
        } = Header::decode(header);
        let mut body = vec![0; length as usize];
        if reader.read_exact(&mut body).await.is_err() {
            break;
        }
        if (kind, request) == (Refused::KIND, 0) {
            last = Last(Some(Refused::decode(&body).unwrap().text));
        }
    }
    last
}

fn message_frame<M: Message>(request: u32, message: &M) -> Vec<u8> {
    frame(M::KIND, request, &message.encode())
}

fn frame(kind: u16, request: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&frame_header(kind, request, length)[..], body].concat()
}

fn frame_header(kind: u16, request: u32, length: u32) -> [u8; HEADER_BYTES] {
    Header {
        length,
        kind,
        request,
    }
    .encode()
}
