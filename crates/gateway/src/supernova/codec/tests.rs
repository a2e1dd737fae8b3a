//! Messages held against text that was written by hand, and against anything else.

use proptest::prelude::*;
use skep_wire::hostile;

use super::*;

fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn file(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

/// Written by hand.
fn all() -> Vec<(Message, &'static str)> {
    let host = Host::parse("127.0.0.1").unwrap();
    vec![
        (Message::Hello(None), "HELLO\n\0"),
        (Message::Hello(Some(named("PEER_1"))), "HELLO PEER_1\n\0"),
        (Message::Available(named("peer_3")), "AVAILABLE peer_3\n\0"),
        (Message::IWant(named("Ann")), "IWANT Ann\n\0"),
        (Message::Welcome(named("Ann")), "WELCOME Ann\n\0"),
        (
            Message::Listening { host, port: 53784 },
            "LISTENING 127.0.0.1 53784\n\0",
        ),
        (Message::List(vec![]), "LIST 0\n\0"),
        (
            Message::List(vec![file("video.mov"), file(" two words ~")]),
            "LIST 2\nvideo.mov\n two words ~\n\0",
        ),
        (Message::Ok, "OK\n\0"),
        (Message::SendList, "SENDLIST\n\0"),
        (Message::FullList(vec![]), "FULLLIST 0\n\0"),
        (
            Message::FullList(vec![
                (named("PEER_1"), file("a b")),
                (named("PEER_2"), file(".DS_Store")),
            ]),
            "FULLLIST 2\nPEER_1 a b\nPEER_2 .DS_Store\n\0",
        ),
        (Message::Where(named("PEER_1")), "WHERE PEER_1\n\0"),
        (Message::At { host, port: 1 }, "AT 127.0.0.1 1\n\0"),
        (Message::Give(file("a b")), "GIVE a b\n\0"),
        (Message::Take(u64::MAX), "TAKE 18446744073709551615\n\0"),
        (Message::Thanks, "THANKS\n\0"),
        (Message::Error(String::new()), "ERROR\n\0"),
        (Message::Error("no such file".into()), "ERROR no such file\n\0"),
    ]
}

#[test]
fn every_message_is_written_and_read_as_agreed() {
    for (message, text) in all() {
        assert_eq!(message.encode(), text.as_bytes());
        let body = text.strip_suffix("\n\0").unwrap();
        assert_eq!(Message::decode(body.as_bytes()), Ok(message));
    }
}

#[test]
fn the_documents_localhost_is_an_address() {
    let at = Message::decode(b"AT localhost 53784");
    let host = Host::parse("127.0.0.1").unwrap();
    assert_eq!(at, Ok(Message::At { host, port: 53784 }));
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| Message::decode(text.as_bytes()).unwrap_err();
    for (text, expected) in [
        ("", BadMessage::Word),
        ("hello", BadMessage::Word),
        ("HELLO a b", BadMessage::Name),
        ("HELLO ../x", BadMessage::Name),
        ("IWANT", BadMessage::Name),
        ("OK then", BadMessage::Shape),
        ("OK\nOK", BadMessage::Shape),
        ("LISTENING 127.0.0.1", BadMessage::Shape),
        ("LISTENING example.org 1", BadMessage::Address),
        ("LISTENING 127.0.0.1 0", BadMessage::Address),
        ("LISTENING 127.0.0.1 65536", BadMessage::Address),
        ("LIST", BadMessage::Number),
        ("LIST -1", BadMessage::Number),
        ("LIST 1", BadMessage::Shape),
        ("LIST 1\na\nb", BadMessage::Shape),
        ("LIST 18446744073709551616\na", BadMessage::Number),
        ("LIST 18446744073709551615\na", BadMessage::Shape),
        ("LIST 1\n", BadMessage::File),
        ("TAKE", BadMessage::Number),
        ("TAKE +1", BadMessage::Number),
        ("GIVE ../secret", BadMessage::File),
        ("GIVE /etc/passwd", BadMessage::File),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
    assert_eq!(Message::decode(b"\xff"), Err(BadMessage::Text));
}

#[test]
fn hostile_files_are_refused_in_a_request_and_left_out_of_a_list() {
    for text in hostile::components() {
        let give = format!("GIVE {text}");
        assert!(Message::decode(give.as_bytes()).is_err(), "{text:.40?}");
        let list = format!("FULLLIST 1\nPEER_1 {text}");
        if let Ok(Message::FullList(files)) = Message::decode(list.as_bytes()) {
            assert_eq!(files, [], "{text:.40?}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_read_or_refused(text in "(HELLO|LIST|FULLLIST|AT|GIVE|TAKE|ERROR)?[ \\n0-3]{0,3}\\PC{0,40}") {
        if let Ok(message) = Message::decode(text.as_bytes()) {
            let again = message.encode();
            let body = again.strip_suffix(END).unwrap();
            prop_assert_eq!(Message::decode(body), Ok(message));
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&bytes);
    }
}
