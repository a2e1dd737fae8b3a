//! Two links over a pipe in memory, or one link and a hand that writes frames, in paused time.

use bytes::Bytes;
use skep_wire::{
    BlobId,
    frame::{HEADER_BYTES, Header, REPLY},
    message::{self, Cancel, Credit, HaveMore, Holders, Lane, Lookup, Read, SEGMENT, SEGMENT_LAST, WantHave},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

mod endless;

const SEG: usize = SEGMENT_BYTES as usize;
const MIB: usize = 1 << 20;

fn hello(lane: Lane) -> Hello {
    Hello {
        features: 0,
        agent: "test".to_owned(),
        lane,
        grant: None,
        certificate: None,
        revocations: 0,
    }
}

fn stream(pipe: DuplexStream, peer: u8) -> Stream {
    let (reader, writer) = tokio::io::split(pipe);
    Stream {
        peer: PeerId([peer; 32]),
        remote: SocketAddr::from(([127, 0, 0, 1], 1)),
        reader: Box::new(reader),
        writer: Box::new(writer),
    }
}

/// Two linked sides with these limits, over a pipe that holds 64 KiB.
async fn pair_with(limits: Limits) -> ((Link, Inbox), (Link, Inbox)) {
    let (a, b) = tokio::io::duplex(64 << 10);
    let open = |pipe, peer| Link::open(stream(pipe, peer), hello(Lane::Bulk), limits);
    let (a, b) = tokio::join!(open(a, 2), open(b, 1));
    (a.unwrap(), b.unwrap())
}

async fn pair() -> ((Link, Inbox), (Link, Inbox)) {
    pair_with(Limits::of(Lane::Bulk)).await
}

const READ: Read = Read {
    content: BlobId([0; 32]),
    chunk: 0,
    first_unit: 0,
    units: 64,
    proof: false,
};

const LOOKUP: Lookup = Lookup {
    content: BlobId([7; 32]),
};

/// Bytes that differ from place to place.
fn data(count: usize) -> Bytes {
    (0..=250).cycle().take(count).collect()
}

/// The other side of a link, by hand.
struct Hand {
    pipe: DuplexStream,
}

impl Hand {
    /// A link whose other side has said hello and granted `credit`.
    async fn opposite(limits: Limits, credit: u32) -> (Link, Inbox, Self) {
        let (near, far) = tokio::io::duplex(MIB);
        let mut hand = Self { pipe: far };
        let greeting = async {
            hand.send(0, &hello(Lane::Bulk)).await;
            hand.send(0, &Credit { bytes: credit }).await;
            hand.expect::<Hello>().await;
            hand.expect::<Credit>().await;
        };
        let opening = Link::open(stream(near, 2), hello(Lane::Bulk), limits);
        let (opened, ()) = tokio::join!(opening, greeting);
        let (link, inbox) = opened.unwrap();
        (link, inbox, hand)
    }

    async fn send<M: Message>(&mut self, request: u32, message: &M) {
        self.send_raw(M::KIND, request, &message.encode()).await;
    }

    async fn send_raw(&mut self, kind: u16, request: u32, body: &[u8]) {
        let header = frame::header(kind, request, body.len());
        self.pipe.write_all(&header).await.unwrap();
        self.pipe.write_all(body).await.unwrap();
    }

    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<(Header, Bytes)> {
        let mut header = [0; HEADER_BYTES];
        self.pipe.read_exact(&mut header).await.ok()?;
        let header = Header::decode(header);
        let body = frame::read_body(&mut self.pipe, header.length).await.ok()?;
        Some((header, body))
    }

    async fn expect<M: Message>(&mut self) -> (u32, M) {
        let (header, body) = self.next().await.expect("a frame");
        assert_eq!(message::name(header.kind), M::NAME);
        (header.request, M::decode(&body).unwrap())
    }

    /// The link says what is wrong, and closes.
    async fn expect_turned_away(mut self, link: &Link) {
        let (request, refused) = self.expect::<Refused>().await;
        assert_eq!((request, refused.reason), (0, Reason::BadRequest));
        assert!(self.next().await.is_none());
        drop(self);
        assert!(matches!(link.closed().await, CloseReason::Misbehaved(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_yet_is_counted() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let serving = async {
        let (first, _) = hand.expect::<Lookup>().await;
        let (second, _) = hand.expect::<Lookup>().await;
        assert_eq!(link.waiting(), 2);
        let nobody = Holders { holders: vec![] };
        hand.send(second | REPLY, &nobody).await;
        hand.send(first | REPLY, &nobody).await;
    };
    let ask = || link.ask::<_, Holders>(&LOOKUP);
    let (first, second, ()) = tokio::join!(ask(), ask(), serving);
    assert!(first.is_ok() && second.is_ok() && link.waiting() == 0);
}

#[tokio::test(start_paused = true)]
async fn both_sides_ask_tell_and_answer() {
    let ((a, mut a_inbox), (b, mut b_inbox)) = pair().await;
    let serving = async {
        let asked = b_inbox.recv().await.unwrap();
        assert_eq!(asked.decode::<Lookup>(), Ok(LOOKUP));
        assert!(asked.decode::<WantHave>().is_err());
        asked.responder.reply(&Holders { holders: vec![] }).await;
        let told = b_inbox.recv().await.unwrap();
        assert!(told.kind == HaveMore::KIND && !told.responder.is_wanted());
        let asked = b_inbox.recv().await.unwrap();
        asked.responder.refuse(Reason::NotFound, "no").await;
        let asked = b_inbox.recv().await.unwrap();
        asked.responder.unsupported().await;
        drop(b_inbox.recv().await.unwrap());
    };
    let more = HaveMore {
        content: BlobId([0; 32]),
        chunks: vec![1],
    };
    let asking = async {
        let holders: Holders = a.ask(&LOOKUP).await.unwrap();
        assert_eq!(holders.holders, []);
        a.tell(&more).await.unwrap();
        let refused = a.ask::<_, Holders>(&LOOKUP).await.unwrap_err();
        assert!(matches!(refused, AskError::Refused { reason: Reason::NotFound, text } if text == "no"));
        let unsupported = a.ask::<_, Holders>(&LOOKUP).await.unwrap_err();
        assert!(matches!(unsupported, AskError::Unsupported));
        let dropped = a.ask::<_, Holders>(&LOOKUP).await.unwrap_err();
        assert!(matches!(
            dropped,
            AskError::Refused {
                reason: Reason::Internal,
                ..
            }
        ));
    };
    let other_way = async {
        let asking = b.ask::<_, Holders>(&LOOKUP);
        let serving = async {
            let asked = a_inbox.recv().await.unwrap();
            asked.responder.reply(&Holders { holders: vec![] }).await;
        };
        tokio::join!(asking, serving).0.unwrap();
        b.ping().await.unwrap();
    };
    tokio::join!(serving, asking, other_way);
    assert_eq!(a.peer(), PeerId([2; 32]));
    assert_eq!(a.hello().agent, "test");
}

#[tokio::test(start_paused = true)]
async fn bulk_answers_arrive_whole_and_beyond_the_window() {
    let limits = Limits {
        window_bytes: 2 * SEGMENT_BYTES,
        ..Limits::of(Lane::Bulk)
    };
    let ((a, _a), (_b, mut inbox)) = pair_with(limits).await;
    let sizes = [0, 1, SEG, SEG + 1, 5 * MIB + 3];
    let serving = async {
        for size in sizes {
            let asked = inbox.recv().await.unwrap();
            asked.responder.bulk(data(size)).await.unwrap();
        }
    };
    let reading = async {
        for size in sizes {
            let arrived = Arc::new(AtomicU64::new(0));
            let counter = Some(Arc::clone(&arrived));
            let buffer = BytesMut::from(&b"kept"[..]);
            let read = a.read(&READ, size, buffer, counter).await.unwrap();
            assert_eq!(read[..4], b"kept"[..]);
            assert!(read[4..] == data(size));
            assert_eq!(arrived.load(Ordering::Relaxed), size as u64);
        }
    };
    tokio::join!(serving, reading);
}

#[tokio::test(start_paused = true)]
async fn several_bulk_answers_and_messages_share_the_link() {
    let ((a, _a), (_b, mut inbox)) = pair().await;
    let serving = async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let asked = inbox.recv().await.unwrap();
            tasks.spawn(async move { asked.responder.bulk(data(MIB)).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        while inbox.recv().await.is_some() {}
    };
    let asking = async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let a = a.clone();
            tasks.spawn(async move { a.read(&READ, MIB, BytesMut::new(), None).await.unwrap() });
        }
        for _ in 0..20 {
            a.ping().await.unwrap();
        }
        while let Some(read) = tasks.join_next().await {
            assert!(read.unwrap() == data(MIB));
        }
        a.close();
    };
    tokio::join!(serving, asking);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_between_segments_ends_a_read() {
    let ((a, _a), (_b, mut inbox)) = pair().await;
    let serving = async {
        let mut responder = inbox.recv().await.unwrap().responder;
        let count = responder.credit(2 * SEG).await.unwrap();
        responder.segments(data(count), false).unwrap();
        responder.refuse(Reason::Changed, "it changed").await;
    };
    let (read, ()) = tokio::join!(a.read(&READ, MIB, BytesMut::new(), None), serving);
    assert!(matches!(
        read,
        Err(AskError::Refused {
            reason: Reason::Changed,
            ..
        })
    ));
    a.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_credit_nothing_is_sent() {
    let (_link, mut inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 10).await;
    hand.send(1, &READ).await;
    let mut responder = inbox.recv().await.unwrap().responder;
    let (credit, ()) = tokio::join!(biased; responder.credit(20), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        hand.send(0, &Credit { bytes: 15 }).await;
    });
    assert_eq!(credit.unwrap(), 20);
    // What was taken and not used is not taken again.
    assert_eq!(responder.credit(25).await.unwrap(), 25);
    assert_eq!(responder.credit(25).await.unwrap(), 25);
    responder.segments(data(25), true).unwrap();
    let (header, body) = hand.next().await.unwrap();
    assert_eq!((header.kind, header.request), (SEGMENT_LAST, 1 | REPLY));
    assert_eq!(body, data(25));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_read_cancels_it_and_the_link_goes_on() {
    let ((a, _a), (_b, mut inbox)) = pair().await;
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Some(Arc::clone(&arrived));
    let asker = a.clone();
    let reading = tokio::spawn(async move { asker.read(&READ, 64 * MIB, BytesMut::new(), counter).await });
    let responder = inbox.recv().await.unwrap().responder;
    let sending = tokio::spawn(responder.bulk(data(64 * MIB)));
    while arrived.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    reading.abort();
    assert!(matches!(sending.await.unwrap(), Err(Stopped::Cancelled)));
    // The credit of what was on its way has come back: much more than a window passes.
    let again = async {
        let responder = inbox.recv().await.unwrap().responder;
        responder.bulk(data(20 * MIB)).await.unwrap();
    };
    let (read, ()) = tokio::join!(a.read(&READ, 20 * MIB, BytesMut::new(), None), again);
    assert!(read.unwrap() == data(20 * MIB));
    assert_eq!(a.shared().served.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_come_time_out_and_may_come_late() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let start = Instant::now();
    assert!(matches!(
        link.ask::<_, Holders>(&LOOKUP).await,
        Err(AskError::TimedOut)
    ));
    assert_eq!(start.elapsed(), Duration::from_secs(20));
    let (request, _) = hand.expect::<Lookup>().await;
    let (_, cancel) = hand.expect::<Cancel>().await;
    assert_eq!(cancel.request, request);
    hand.send(request | REPLY, &Holders { holders: vec![] }).await;
    let (pinged, ()) = tokio::join!(link.ping(), async {
        let (request, _) = hand.expect::<Ping>().await;
        hand.send(request | REPLY, &Done {}).await;
    });
    pinged.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_lasts_as_long_as_bytes_come_and_no_longer() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let start = Instant::now();
    let dripping = async {
        let (request, _) = hand.expect::<Read>().await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(15)).await;
            hand.send_raw(SEGMENT, request | REPLY, &[1]).await;
        }
        assert_eq!(hand.expect::<Cancel>().await.1.request, request);
    };
    let (read, ()) = tokio::join!(link.read(&READ, MIB, BytesMut::new(), None), dripping);
    assert!(matches!(read, Err(AskError::TimedOut)));
    assert!(start.elapsed() > Duration::from_secs(150) && start.elapsed() < Duration::from_secs(200));
}

#[tokio::test(start_paused = true)]
async fn what_the_protocol_forbids_closes_the_link() {
    let ask = 1 | REPLY;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("over its limit", frame::header(Lookup::KIND, 1, 41).to_vec()),
        (
            "endless",
            frame::header(Lookup::KIND, 1, u32::MAX as usize).to_vec(),
        ),
        (
            "unknown and large",
            frame::header(0x7777, 1, message::UNKNOWN_LIMIT as usize + 1).to_vec(),
        ),
        (
            "an answer to nothing",
            frame::header(Done::KIND, 77 | REPLY, 0).to_vec(),
        ),
        ("bulk for nobody", frame::header(SEGMENT, 77 | REPLY, 0).to_vec()),
        ("bulk unasked", frame::header(SEGMENT, 0, 0).to_vec()),
        ("bulk to a question", frame::header(SEGMENT, ask, 1).to_vec()),
        ("a second hello", {
            let mut bytes = Vec::new();
            Frame::new(0, &hello(Lane::Talk)).append_to(&mut bytes);
            bytes
        }),
        (
            "malformed credit",
            [&frame::header(Credit::KIND, 0, 1)[..], &[0xff]].concat(),
        ),
    ];
    for (case, bytes) in cases {
        let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
        let asking = link.clone();
        let asking = tokio::spawn(async move { asking.ask::<_, Holders>(&LOOKUP).await });
        hand.expect::<Lookup>().await;
        hand.pipe.write_all(&bytes).await.unwrap();
        hand.expect_turned_away(&link).await;
        let error = asking.await.unwrap().unwrap_err();
        assert!(
            matches!(error, AskError::Closed(CloseReason::Misbehaved(_))),
            "{case}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn small_unknown_messages_are_answered_and_ignored_when_told() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Talk), 0).await;
    let body = [1; message::UNKNOWN_LIMIT as usize];
    hand.send_raw(0x7777, 0, &body).await;
    hand.send_raw(0x7777, 5, &body).await;
    let (request, unsupported) = hand.expect::<Unsupported>().await;
    assert_eq!((request, unsupported.kind), (5 | REPLY, 0x7777));
    assert!(!link.is_closed());
    hand.send_raw(0x7777, 6, &[1; message::UNKNOWN_LIMIT as usize + 1])
        .await;
    hand.expect_turned_away(&link).await;
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_bound_are_busy_and_ids_in_use_are_not_reused() {
    let limits = Limits {
        outstanding: 2,
        ..Limits::of(Lane::Talk)
    };
    let (link, mut inbox, mut hand) = Hand::opposite(limits, 0).await;
    for request in 1..=3 {
        hand.send(request, &LOOKUP).await;
    }
    let (request, refused) = hand.expect::<Refused>().await;
    assert_eq!((request, refused.reason), (3 | REPLY, Reason::Busy));
    let first = inbox.recv().await.unwrap();
    first.responder.reply(&Holders { holders: vec![] }).await;
    hand.expect::<Holders>().await;
    hand.send(2, &LOOKUP).await;
    hand.expect_turned_away(&link).await;
}

#[tokio::test(start_paused = true)]
async fn who_floods_without_reading_is_closed() {
    let limits = Limits {
        queued_bytes: 4096,
        ..Limits::of(Lane::Talk)
    };
    let (link, _inbox, mut hand) = Hand::opposite(limits, 0).await;
    let flood = async {
        for request in 1.. {
            let header = frame::header(Ping::KIND, request, 0);
            if hand.pipe.write_all(&header).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(biased; flood, async {
        assert!(matches!(link.closed().await, CloseReason::Misbehaved(_)));
    });
}

#[tokio::test(start_paused = true)]
async fn a_byte_per_second_is_not_enough() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Talk), 0).await;
    hand.pipe
        .write_all(&frame::header(Lookup::KIND, 1, 32))
        .await
        .unwrap();
    let dripping = async {
        while hand.pipe.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let start = Instant::now();
    tokio::join!(dripping, async {
        assert!(matches!(link.closed().await, CloseReason::Misbehaved(_)));
        assert!(start.elapsed() < Duration::from_secs(70));
    });
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_about_and_then_the_end() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Talk), 0).await;
    let start = Instant::now();
    for _ in 0..3 {
        let (request, _) = hand.expect::<Ping>().await;
        hand.send(request | REPLY, &Done {}).await;
    }
    assert_eq!(start.elapsed(), Duration::from_secs(90));
    assert!(matches!(link.closed().await, CloseReason::Silent));
    assert_eq!(start.elapsed(), Duration::from_secs(150));
}

#[tokio::test(start_paused = true)]
async fn closing_says_all_that_was_said_before() {
    let ((a, mut a_inbox), (b, mut b_inbox)) = pair().await;
    for _ in 0..10 {
        b.tell(&LOOKUP).await.unwrap();
    }
    b.close();
    assert!(b.is_closed());
    for _ in 0..10 {
        assert!(a_inbox.recv().await.is_some());
    }
    assert!(a_inbox.recv().await.is_none());
    assert!(matches!(a.closed().await, CloseReason::Theirs));
    assert!(matches!(b.closed().await, CloseReason::Ours));
    assert!(b_inbox.recv().await.is_none());
    assert!(b.tell(&LOOKUP).await.is_err());
    assert!(matches!(b.ping().await, Err(AskError::Closed(CloseReason::Ours))));
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_says_why() {
    let ((a, _a), (b, _b)) = pair().await;
    b.refuse(Reason::Revoked, "the grant was revoked");
    let reason = a.closed().await;
    assert!(
        matches!(reason, CloseReason::Refused { reason: Reason::Revoked, text } if text.contains("revoked"))
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_every_part_of_a_link_closes_it() {
    let ((a, _a), (b, b_inbox)) = pair().await;
    drop(b);
    a.ping().await.unwrap();
    drop(b_inbox);
    assert!(matches!(a.closed().await, CloseReason::Theirs));
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_middle_of_bulk_is_an_error() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let cutting = async {
        let (request, _) = hand.expect::<Read>().await;
        let header = frame::header(SEGMENT, request | REPLY, 1000);
        hand.pipe.write_all(&header).await.unwrap();
        hand.pipe.write_all(&[0; 10]).await.unwrap();
        drop(hand);
    };
    let (read, ()) = tokio::join!(link.read(&READ, 1000, BytesMut::new(), None), cutting);
    assert!(matches!(read, Err(AskError::Closed(CloseReason::Io(_)))));
}

#[tokio::test(start_paused = true)]
async fn what_opens_with_something_else_is_turned_away() {
    let garbage: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &frame::header(Ping::KIND, 1, 0),
        &frame::header(Hello::KIND, 0, 1 << 20),
    ];
    for bytes in garbage {
        let (near, mut far) = tokio::io::duplex(MIB);
        far.write_all(bytes).await.unwrap();
        let opened = Link::open(stream(near, 2), hello(Lane::Talk), Limits::of(Lane::Talk)).await;
        assert!(matches!(opened.err().unwrap(), OpenError::NoHello));
    }
}

#[tokio::test(start_paused = true)]
async fn opening_is_refused_times_out_or_breaks_off() {
    let open = |pipe| Link::open(stream(pipe, 2), hello(Lane::Talk), Limits::of(Lane::Talk));
    let (near, mut far) = tokio::io::duplex(MIB);
    let mut refusal = Vec::new();
    Frame::refusal(0, Reason::Full, "no room").append_to(&mut refusal);
    far.write_all(&refusal).await.unwrap();
    let error = open(near).await.err().unwrap();
    assert!(matches!(
        error,
        OpenError::Refused {
            reason: Reason::Full,
            ..
        }
    ));

    let (near, _silent) = tokio::io::duplex(MIB);
    let start = Instant::now();
    assert!(matches!(open(near).await.err().unwrap(), OpenError::TimedOut));
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    let (near, far) = tokio::io::duplex(MIB);
    drop(far);
    assert!(matches!(open(near).await.err().unwrap(), OpenError::Io(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_its_time_while_something_moves() {
    let ((a, _inbox), (_b, mut inbox)) = pair().await;
    let progress = AtomicU64::new(0);
    let answered = async {
        let incoming = inbox.recv().await.expect("the request");
        for _ in 0..10 {
            tokio::time::sleep(a.shared().limits.reply_timeout / 2).await;
            progress.fetch_add(1, Ordering::Relaxed);
        }
        incoming.responder.reply(&Done {}).await;
    };
    let (done, ()) = tokio::join!(a.ask_while::<_, Done>(&LOOKUP, &progress), answered);
    assert_eq!(done.unwrap(), Done {});
    let silent = a.ask_while::<_, Done>(&LOOKUP, &progress).await;
    assert!(matches!(silent, Err(AskError::TimedOut)));
}
