//! Golden lines of every message, written out by hand; round trips; and what must not panic.

use super::*;

/// Every message of the document and of docs/dialects/p2pbrs.md, as it is sent.
const GOLDEN: &[&str] = &[
    "REGISTER 01 Alice BOTH 192.168.1.10 5001 6001 1024MB",
    "REGISTERED 01",
    "REGISTER-DENIED 01 Name_In_Use",
    "DE-REGISTER 02 Alice",
    "DE-REGISTERED 02",
    "BACKUP_REQ 03 photo.jpg 10000 cbf43926",
    "BACKUP_REQ 03 my%20photo.jpg 10000 cbf43926 4096",
    "BACKUP_PLAN 03 photo.jpg [B:10.0.0.2:6002,C:10.0.0.3:6003] 4096",
    "BACKUP_PLAN 03 photo.jpg [B@10.0.0.2:6002:0,2;C@10.0.0.3:6003:1] 4096",
    "BACKUP_PLAN photo.jpg [PeerB, PeerC] 4096",
    "BACKUP_PLAN 03 [draft].txt [B:10.0.0.2:6002] 4096",
    "BACKUP-DENIED 03 No_Storage",
    "STORAGE_TASK 7 photo.jpg 4096 Alice",
    "STORAGE_TASK 7 photo.jpg 4096 Alice 192.168.1.10:5001:6001",
    "STORE_REQ RQ#1 report.pdf 1 Alice",
    "STORE_REQ 8 report.pdf 1 Alice 192.168.1.10:5001:6001",
    "CHUNK_OK 24 myphoto.jpg 0",
    "CHUNK_ERROR 24 myphoto.jpg 0 Checksum_Mismatch",
    "BACKUP_DONE 03 photo.jpg",
    "STORE_ACK 24 photo.jpg 0",
    "STORE_ACK 24 photo.jpg 0 4096",
    "HEARTBEAT 9 Alice 12 1732186200",
    "HEARTBEAT 9 Alice OK",
    "RESTORE_REQ 10 photo.jpg",
    "RESTORE_PLAN 10 photo.jpg [PeerB, PeerC]",
    "RESTORE_PLAN 10 photo.jpg [B:10.0.0.2:6002,C:10.0.0.3:6003] 4096 3 cbf43926",
    "RESTORE_OK 10 photo.jpg",
    "RESTORE_FAIL 10 photo.jpg No_Such_File",
    "REPLICATE_REQ 11 photo.jpg 2 D:10.0.0.4:6004",
    "REPLICATE_REQ 11 photo.jpg 2 D",
];

/// Every line of a connection.
const GOLDEN_HEADERS: &[&str] = &[
    "SEND_CHUNK 24 myphoto.jpg 0 4096 cbf43926\n",
    "SEND_CHUNK 24 myphoto.jpg 0 4096\n",
    "GET_CHUNK 25 myphoto.jpg 0\n",
    "CHUNK_DATA 25 myphoto.jpg 0 cbf43926\n",
    "CHUNK_OK 24 myphoto.jpg 0\n",
    "CHUNK_ERROR 24 myphoto.jpg 0 Not Expected at all\n",
];

#[test]
fn every_message_is_read_and_written_as_it_is_sent() {
    for text in GOLDEN {
        let message = Message::decode(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(message.encode(), *text);
        let terminated = format!("{text}\r\n");
        assert_eq!(Message::decode(terminated.as_bytes()), Ok(message));
    }
    for line in GOLDEN_HEADERS {
        let header = Header::decode(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(header.encode(), line.as_bytes());
    }
}

#[test]
fn fields_are_what_the_document_says() {
    let message = Message::decode(b"REGISTER 01 Alice BOTH 192.168.1.10 5001 6001 1024MB").unwrap();
    let expected = Message::Register {
        rq: "01".parse().unwrap(),
        name: "Alice".parse().unwrap(),
        role: Role::Both,
        ip: [192, 168, 1, 10].into(),
        udp: 5001,
        tcp: 6001,
        capacity: Capacity { bytes: 1 << 30 },
    };
    assert_eq!(message, expected);
}

#[test]
fn a_header_without_keyword_is_a_chunk_that_is_sent() {
    let with = Header::decode(b"SEND_CHUNK 24 myphoto.jpg 0 4096 CBF43926").unwrap();
    assert_eq!(Header::decode(b"24 myphoto.jpg 0 4096 CBF43926\n"), Ok(with));
}

#[test]
fn what_makes_no_sense_is_denied_where_there_is_a_denial() {
    let denial = |text: &[u8]| {
        Message::decode(text)
            .unwrap_err()
            .denial
            .map(|denial| denial.encode())
    };
    let denied = |text: &str| denial(text.as_bytes());
    assert_eq!(
        denied("REGISTER 01 Alice"),
        Some("REGISTER-DENIED 01 Bad_Request".into())
    );
    assert_eq!(
        denied("REGISTER 01 A BOTH here 1 2 3"),
        Some("REGISTER-DENIED 01 Bad_Request".into())
    );
    assert_eq!(
        denied("BACKUP_REQ 2 f -1 cbf43926"),
        Some("BACKUP-DENIED 2 Bad_Request".into())
    );
    assert_eq!(
        denied("BACKUP_REQ 2 f 1 crc"),
        Some("BACKUP-DENIED 2 Bad_Request".into())
    );
    assert_eq!(denied("RESTORE_REQ 2"), None);
    assert_eq!(denied("STORE_ACK 2 f x"), None);
    assert_eq!(denied("HELLO 2"), None);
    assert_eq!(denied(""), None);
    let long = format!("BACKUP_REQ 2 {} 1 cbf43926", "x".repeat(DATAGRAM_BYTES));
    assert_eq!(denied(&long), Some("BACKUP-DENIED 2 Bad_Request".into()));
    assert_eq!(
        denial(b"REGISTER 1 \xff\xfe"),
        Some("REGISTER-DENIED 1 Bad_Request".into())
    );
}

#[test]
fn too_long_a_header_is_refused() {
    let line = format!("GET_CHUNK 1 f 0 {}", " ".repeat(HEADER_BYTES));
    assert_eq!(Header::decode(line.as_bytes()), Err(BadHeader));
}

/// Every prefix and every single change of every golden line: whatever is read is written back to
/// something that reads the same.
#[test]
fn nothing_panics_and_what_is_read_survives_a_round_trip() {
    let check = |bytes: &[u8]| {
        if let Ok(message) = Message::decode(bytes) {
            assert_eq!(Message::decode(message.encode().as_bytes()), Ok(message));
        }
        if let Ok(header) = Header::decode(bytes) {
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    };
    for line in GOLDEN.iter().chain(GOLDEN_HEADERS) {
        for end in 0..line.len() {
            check(&line.as_bytes()[..end]);
        }
        for at in 0..line.len() {
            for byte in [
                b' ', b'[', b']', b':', b'@', b',', b';', b'%', b'-', b'0', b'\n', 0, 0xff,
            ] {
                let mut changed = line.as_bytes().to_vec();
                changed[at] = byte;
                check(&changed);
            }
        }
    }
}
