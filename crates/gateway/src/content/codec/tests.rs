//! PDUs held against bytes that were written by hand, and against anything else.

use proptest::prelude::*;
use skep_wire::hostile;

use super::*;

/// Written by hand: the type, then text at places of the data.
fn golden(kind: u8, fields: &[(usize, &[u8])]) -> Pdu {
    let mut pdu = [0; 101];
    pdu[0] = kind;
    for (at, text) in fields {
        pdu[1 + at..1 + at + text.len()].copy_from_slice(text);
    }
    pdu
}

fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn requests() -> Vec<(Request, Pdu)> {
    let (peer, content) = (named("Mai"), named("lorem"));
    let both = [(0, &b"Mai\0"[..]), (10, &b"lorem\0"[..])];
    vec![
        (
            Request::Register {
                peer: peer.clone(),
                content: content.clone(),
                port: 49279,
            },
            golden(b'R', &[both[0], both[1], (20, b"49279\0")]),
        ),
        (
            Request::Search {
                peer: peer.clone(),
                content: content.clone(),
            },
            golden(b'S', &both),
        ),
        (Request::List, golden(b'O', &[])),
        (
            Request::Deregister {
                peer: peer.clone(),
                content: content.clone(),
            },
            golden(b'T', &both),
        ),
        (
            Request::Download {
                peer: Some(peer),
                content,
            },
            golden(b'D', &both),
        ),
    ]
}

fn answers() -> Vec<(Answer, Pdu)> {
    vec![
        (
            Answer::Done("registered".into()),
            golden(b'A', &[(0, b"registered")]),
        ),
        (
            Answer::Error("not here".into()),
            golden(b'E', &[(0, b"not here")]),
        ),
        (
            Answer::Provider {
                host: Ipv4Addr::LOCALHOST,
                port: 49279,
            },
            golden(b'S', &[(0, b"127.0.0.1"), (20, b"49279")]),
        ),
        (
            Answer::Listed("lorem".into()),
            golden(b'O', &[(0, b"lorem"), (10, b"lorem")]),
        ),
    ]
}

#[test]
fn every_pdu_has_the_bytes_of_the_document() {
    for (request, bytes) in requests() {
        assert_eq!(request.encode(), bytes, "{request}");
        assert_eq!(Request::decode(&bytes), Ok(request));
    }
    for (answer, bytes) in answers() {
        assert_eq!(answer.encode(), bytes, "{answer}");
        assert_eq!(Answer::decode(&bytes), Ok(answer));
    }
}

#[test]
fn the_journal_tells_every_pdu_in_a_line() {
    let mut asked: Vec<_> = requests().iter().map(|(pdu, _)| pdu.to_string()).collect();
    let content = named("lorem");
    asked.push(Request::Download { peer: None, content }.to_string());
    assert_eq!(
        asked,
        [
            "R Mai lorem 49279",
            "S Mai lorem",
            "O",
            "T Mai lorem",
            "D Mai lorem",
            "D lorem"
        ]
    );
    let answered: Vec<_> = answers().iter().map(|(pdu, _)| pdu.to_string()).collect();
    assert_eq!(
        answered,
        ["A registered", "E not here", "S 127.0.0.1 49279", "O lorem"]
    );
}

#[test]
fn a_listed_name_that_is_no_name_stands_where_text_starts() {
    let long = "a line that is longer than a name";
    let pdu = Answer::Listed(long.into()).encode();
    assert_eq!(pdu, golden(b'O', &[(0, long.as_bytes())]));
}

#[test]
fn spaces_that_pad_are_cut_off() {
    let padded = golden(b'R', &[(0, b"Mai      "), (10, b"lorem    \0"), (20, b"49279 ")]);
    assert_eq!(Request::decode(&padded), Ok(requests().swap_remove(0).0));
}

#[test]
fn a_download_may_have_the_content_in_front() {
    let content = named("lorem");
    let pdu = Request::encode_content_first(&named("Mai"), &content);
    assert_eq!(pdu, golden(b'D', &[(0, b"lorem"), (10, b"Mai")]));
    let alone = golden(b'D', &[(0, b"lorem")]);
    for pdu in [pdu, alone, requests().pop().unwrap().1] {
        let request = Request::decode(&pdu).unwrap();
        assert!(
            request.wants(&content) && !request.wants(&named("shrek")),
            "{request}"
        );
    }
}

#[test]
fn a_listed_name_is_found_in_either_place() {
    let listed = Ok(Answer::Listed("lorem".into()));
    assert_eq!(Answer::decode(&golden(b'O', &[(10, b"lorem")])), listed);
    assert_eq!(Answer::decode(&golden(b'O', &[(0, b"lorem")])), listed);
}

#[test]
fn the_transcripts_host_is_that_of_the_index() {
    let pdu = golden(b'S', &[(0, b"0"), (20, b"42741")]);
    let host = Ipv4Addr::UNSPECIFIED;
    assert_eq!(Answer::decode(&pdu), Ok(Answer::Provider { host, port: 42741 }));
}

#[test]
fn names_have_nine_bytes_at_most() {
    assert_eq!(named("123456789").as_str(), "123456789");
    assert_eq!(Name::parse("1234567890"), Err(BadPdu::LongName));
    let unterminated = golden(b'S', &[(0, b"1234567890"), (10, b"lorem")]);
    assert_eq!(Request::decode(&unterminated), Err(BadPdu::LongName));
    for text in hostile::components() {
        // Spaces around a name are padding here.
        let padded = text.trim_matches(' ') != text;
        assert!(padded || Name::parse(&text).is_err(), "{text:.40?}");
    }
}

#[test]
fn bad_ports_and_types_are_refused() {
    for port in ["", "0", "65536", "-1", "+1", "x", "1 2"] {
        let pdu = golden(b'R', &[(0, b"Mai"), (10, b"lorem"), (20, port.as_bytes())]);
        assert_eq!(Request::decode(&pdu), Err(BadPdu::Port), "{port}");
    }
    assert_eq!(Request::decode(&golden(b'x', &[])), Err(BadPdu::Kind('x')));
    assert_eq!(Answer::decode(&golden(0, &[])), Err(BadPdu::Kind('\0')));
}

#[test]
fn long_text_is_cut_and_short_datagrams_are_padded() {
    let long = Answer::Error("é".repeat(80)).encode();
    assert_eq!(Answer::decode(&long), Ok(Answer::Error("é".repeat(50))));
    assert_eq!(pdu(b"O"), golden(b'O', &[]));
    assert_eq!(pdu(&[b'E'; 200]), [b'E'; 101]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let pdu = pdu(&bytes);
        if let Ok(request) = Request::decode(&pdu) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        if let Ok(answer) = Answer::decode(&pdu) {
            let _ = answer.to_string();
        }
    }

    #[test]
    fn flipped_bytes_are_read_or_refused(which in 0..5_usize, at in 0..101_usize, to: u8) {
        let (_, mut pdu) = requests().swap_remove(which);
        pdu[at] = to;
        if let Ok(request) = Request::decode(&pdu) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }
}
