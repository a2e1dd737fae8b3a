//! Frames without end: bulk answers, whether somebody waits for them or not any more, and floods of small messages.

use super::*;

#[tokio::test(start_paused = true)]
async fn more_bulk_than_asked_for_closes_the_link() {
    let (link, _inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let flooding = async {
        let (request, _) = hand.expect::<Read>().await;
        hand.send_raw(SEGMENT, request | REPLY, &[0; 101]).await;
        hand.expect_turned_away(&link).await;
    };
    let (read, ()) = tokio::join!(link.read(&READ, 100, BytesMut::new(), None), flooding);
    assert!(matches!(read, Err(AskError::Closed(CloseReason::Misbehaved(_)))));
}

/// A link whose read of 100 bytes was given up, and the id of that.
async fn given_up() -> (Link, Inbox, Hand, u32) {
    let (link, inbox, mut hand) = Hand::opposite(Limits::of(Lane::Bulk), 0).await;
    let reading = link.read(&READ, 100, BytesMut::new(), None);
    let request = tokio::select! {
        biased;
        _ = reading => unreachable!("nothing was answered"),
        (request, _) = hand.expect::<Read>() => request,
    };
    hand.expect::<Cancel>().await;
    (link, inbox, hand, request | REPLY)
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_may_still_come_but_no_more_than_was_asked_for() {
    let (link, _inbox, mut hand, answer) = given_up().await;
    hand.send_raw(SEGMENT, answer, &[0; 60]).await;
    hand.send_raw(SEGMENT_LAST, answer, &[0; 40]).await;
    let (pinged, ()) = tokio::join!(link.ping(), async {
        let (request, _) = hand.expect::<Ping>().await;
        hand.send(request | REPLY, &Done {}).await;
    });
    pinged.unwrap();

    let (link, _inbox, mut hand, answer) = given_up().await;
    hand.send_raw(SEGMENT, answer, &[0; 60]).await;
    hand.send_raw(SEGMENT, answer, &[0; 41]).await;
    hand.expect_turned_away(&link).await;
}

#[tokio::test(start_paused = true)]
async fn segments_with_nothing_in_them_are_none() {
    let (link, _inbox, mut hand, answer) = given_up().await;
    hand.send_raw(SEGMENT, answer, &[]).await;
    hand.expect_turned_away(&link).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_small_frames_lets_others_have_their_turns() {
    const FRAMES: usize = 20_000;
    let (near, far) = tokio::io::duplex(MIB);
    let mut hand = Hand { pipe: far };
    hand.send(0, &hello(Lane::Bulk)).await;
    let near = stream(near, 2);
    // All of it is here before the first frame is looked at, as with TLS.
    let near = Stream {
        reader: Box::new(tokio::io::BufReader::with_capacity(MIB, near.reader)),
        ..near
    };
    hand.pipe
        .write_all(
            &[&frame::header(Cancel::KIND, 0, 1)[..], &[9]]
                .concat()
                .repeat(FRAMES),
        )
        .await
        .unwrap();
    hand.send(0, &Credit { bytes: 7 }).await;
    let (link, _inbox) = Link::open(near, hello(Lane::Bulk), Limits::of(Lane::Bulk))
        .await
        .unwrap();
    let mut turns = 0;
    while link.shared().credit.available_permits() == 0 {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert!(turns > FRAMES / 200, "{turns} turns");
}
