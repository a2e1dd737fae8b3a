//! Full messages fit, longer ones are refused.

use super::*;
use crate::{
    id::{BlobId, PeerId},
    name::{PeerName, ShareName},
    record::Role,
};

fn fits<M: Message + PartialEq>(message: &M) {
    let body = message.encode();
    assert!(
        body.len() <= M::LIMIT as usize,
        "{}: {} bytes",
        M::NAME,
        body.len()
    );
    assert!(M::decode(&body).is_ok_and(|read| read == *message), "{}", M::NAME);
}

fn refused<M: Message>(message: &M) {
    assert_eq!(
        M::decode(&message.encode()).err(),
        Some(MalformedMessage { kind: M::KIND })
    );
}

fn peer_name() -> PeerName {
    PeerName::parse(&"x".repeat(64)).unwrap()
}

fn endpoint() -> Endpoint {
    Endpoint {
        host: "x".repeat(255),
        port: u16::MAX,
    }
}

fn triples(count: usize) -> Vec<Triple> {
    let (nonce, leaf, answer) = ([0xff; 32], u64::MAX, [0xff; 32]);
    vec![Triple { nonce, leaf, answer }; count]
}

fn answers(count: usize, triple_count: usize) -> Answers {
    let answer = Answer {
        content: BlobId([0xff; 32]),
        answer: Some([0xff; 32]),
        triples: triples(triple_count),
    };
    Answers {
        answers: vec![answer; count],
    }
}

fn holders(count: usize) -> Holders {
    let holder = Holder {
        peer: PeerId([0xff; 32]),
        name: peer_name(),
        address: Some(endpoint()),
        complete: true,
    };
    Holders {
        holders: vec![holder; count],
    }
}

fn peers(count: usize) -> Peers {
    let row = PeerRow {
        peer: PeerId([0xff; 32]),
        name: peer_name(),
        role: Role::Both,
        presence: Presence::Failed,
        reachable: true,
        capacity_bytes: u64::MAX,
        used_bytes: u64::MAX,
        last_seen_unix_s: u64::MAX,
    };
    Peers {
        peers: vec![row; count],
        more: true,
    }
}

fn page(leaves: usize, path: usize) -> OutlinePage {
    OutlinePage {
        leaves: vec![[0xff; 32]; leaves],
        path: vec![[0xff; 32]; path],
    }
}

fn questions(count: usize) -> Questions {
    let (content, nonce, leaf) = (BlobId([0xff; 32]), [0xff; 32], u64::MAX);
    Questions {
        questions: vec![Question { content, nonce, leaf }; count],
    }
}

fn have_more(count: usize) -> HaveMore {
    HaveMore {
        content: BlobId([0xff; 32]),
        chunks: vec![u64::MAX; count],
    }
}

fn find(words: usize) -> Find {
    Find {
        query: Query::Words(vec!["x".repeat(255); words]),
        after: Some((peer_name(), ShareName::parse(&"x".repeat(255)).unwrap())),
    }
}

#[test]
fn full_lists_fit_their_messages() {
    fits(&answers(1024, 8));
    fits(&holders(50));
    fits(&peers(500));
    fits(&page(4096, 64));
    fits(&questions(1024));
    fits(&have_more(4096));
    fits(&find(16));
    fits(&Deposit { triples: triples(8) });
    fits(&Drop {
        contents: vec![BlobId([0xff; 32]); 1024],
    });
    fits(&Dial {
        peer: PeerId([0xff; 32]),
        address: endpoint(),
    });
}

#[test]
fn longer_lists_are_refused() {
    refused(&answers(1025, 0));
    refused(&answers(1, 9));
    refused(&holders(51));
    refused(&peers(501));
    refused(&page(4097, 0));
    refused(&page(0, 65));
    refused(&questions(1025));
    refused(&have_more(4097));
    refused(&find(17));
    refused(&Deposit { triples: triples(9) });
}

#[test]
fn texts_for_people_are_bounded_and_do_not_deceive() {
    let reason = Reason::Busy;
    for text in [
        "x".repeat(513),
        "\u{1b}[2J".into(),
        "a\nb".into(),
        "\u{202e}".into(),
    ] {
        refused(&Refused {
            reason,
            text: text.clone(),
        });
        fits(&Refused::new(reason, &text));
    }
    assert_eq!(Refused::new(reason, "no\tway").text, "no?way");
    assert_eq!(Refused::new(reason, &"é".repeat(300)).text, "é".repeat(256));
}

mod backup {
    //! The lists of the messages about backups, whose limits are those of the records in them.

    use super::*;
    use crate::{
        backup::{Condemnation, Head, MAX_NAMED_PACKS, MAX_SEALED_BYTES, PackList, PackRecord, Scheme},
        id::{OwnerId, PackId},
        key::SigningKey,
        signed::Signed,
    };

    const OWNER: OwnerId = OwnerId([0xff; 32]);
    const PACK: PackId = PackId([0xff; 32]);
    const PEER: PeerId = PeerId([0xff; 32]);

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn record() -> Signed<PackRecord> {
        let record = PackRecord {
            owner: OWNER,
            device: PEER,
            pack: PACK,
            size: u64::MAX,
            epoch: u32::MAX,
            scheme: Scheme::copies(32).unwrap(),
            shards: vec![BlobId(PACK.0); 32],
        };
        Signed::new(&record, &key())
    }

    fn whom() -> Holder {
        holders(1).holders.remove(0)
    }

    fn held(count: usize) -> Vec<HeldShard> {
        let (record, shard) = (record(), u8::MAX);
        vec![HeldShard { record, shard }; count]
    }

    fn planned(packs: usize, holders: usize) -> Planned {
        let plan = PackPlan {
            pack: PACK,
            holders: vec![PEER; 32],
        };
        Planned {
            scheme: Scheme::copies(32).unwrap(),
            fragile: true,
            packs: vec![plan; packs],
            holders: vec![whom(); holders],
        }
    }

    fn located(packs: usize, held: usize, holders: usize) -> Located {
        let at = ShardAt {
            shard: u8::MAX,
            peer: PEER,
        };
        let pack = LocatedPack {
            record: record(),
            held: vec![at; held],
        };
        Located {
            packs: vec![pack; packs],
            holders: vec![whom(); holders],
        }
    }

    fn kept_by(count: usize) -> KeptBy {
        let keeper = Keeper {
            peer: PEER,
            name: peer_name(),
            presence: Presence::Failed,
        };
        KeptBy {
            keepers: vec![keeper; count],
        }
    }

    fn proof(leaf: usize, proof: usize, leaves: usize, path: usize) -> ShardProof {
        ShardProof {
            leaf: vec![0xff; leaf],
            proof: vec![[0xff; 32]; proof],
            leaves: vec![[0xff; 32]; leaves],
            path: vec![[0xff; 32]; path],
        }
    }

    #[test]
    fn full_lists_fit_their_messages() {
        fits(&planned(64, 2048));
        fits(&located(256, 64, 2048));
        fits(&Held { shards: held(256) });
        fits(&Records {
            shards: held(256),
            more: true,
        });
        fits(&StoreShard {
            record: record(),
            shard: u8::MAX,
        });
        fits(&proof(16 << 10, 64, 4096, 64));
        fits(&PackIds {
            packs: vec![PACK; 4096],
            more: true,
        });
        fits(&Health {
            owner: OWNER,
            packs: vec![PACK; 4096],
        });
        fits(&WhoKeeps {
            owner: OWNER,
            packs: vec![PACK; 4096],
        });
        fits(&kept_by(2048));
    }

    #[test]
    fn the_longest_records_fit_their_messages() {
        let head = Head {
            owner: OWNER,
            device: PEER,
            number: u64::MAX,
            previous: [0xff; 32],
            roster: u64::MAX,
            made_unix_s: u64::MAX,
            epoch: u32::MAX,
            salt: [0xff; 32],
            sealed: vec![0xff; MAX_SEALED_BYTES],
            packs: PackList {
                id: BlobId([0xff; 32]),
                size: u64::MAX,
            },
        };
        let head = Signed::new(&head, &key());
        fits(&KeepHead { head: head.clone() });
        fits(&HeadIs { head });
        let word = Condemnation {
            owner: OWNER,
            device: PEER,
            number: u64::MAX,
            made_unix_s: u64::MAX,
            packs: vec![PACK; MAX_NAMED_PACKS],
        };
        let word = Signed::new(&word, &key());
        fits(&Condemn { word });
    }

    #[test]
    fn longer_lists_are_refused() {
        refused(&planned(65, 0));
        refused(&planned(0, 2049));
        refused(&located(257, 0, 0));
        refused(&located(1, 65, 0));
        refused(&located(0, 0, 2049));
        refused(&Held { shards: held(257) });
        refused(&kept_by(2049));
        refused(&proof((16 << 10) + 1, 0, 0, 0));
        refused(&proof(0, 65, 0, 0));
        refused(&proof(0, 0, 4097, 0));
        refused(&proof(0, 0, 0, 65));
    }
}
