//! Examples of what is said about backups.

use skep_wire::{
    BlobId, OwnerId, PackId, PeerId, Signed, SigningKey,
    backup::{
        Cancelation, Condemnation, Device, Head, PackList, PackRecord, Permit, Retired, Rights, Roster,
        Scheme, Surplus,
    },
    message::*,
    signed::Record,
};

use super::{Example, NETWORK_SEED, PEER_SEED, endpoint, message, network, record as signed};

const OWNER_SEED: [u8; 32] = [3; 32];

fn owner() -> OwnerId {
    OwnerId(SigningKey::from_seed(OWNER_SEED).public())
}

fn device() -> PeerId {
    SigningKey::from_seed(PEER_SEED).peer_id()
}

fn by_device<T: Record>(record: &T) -> Signed<T> {
    Signed::new(record, &SigningKey::from_seed(PEER_SEED))
}

fn by_owner<T: Record>(record: &T) -> Signed<T> {
    Signed::new(record, &SigningKey::from_seed(OWNER_SEED))
}

fn holder(n: u8) -> Holder {
    Holder {
        peer: PeerId([n; 32]),
        name: format!("peer_{n}").parse().unwrap(),
        address: Some(endpoint()),
        complete: true,
    }
}

fn pack(n: u8) -> PackId {
    PackId([n; 32])
}

fn shard() -> ShardName {
    ShardName {
        pack: pack(0xa1),
        shard: 5,
    }
}

fn record() -> PackRecord {
    PackRecord {
        owner: owner(),
        device: device(),
        pack: pack(0xa1),
        size: 16 << 20,
        epoch: 2,
        scheme: Scheme::new(4, 2).unwrap(),
        shards: (0..6).map(|n| BlobId([n; 32])).collect(),
    }
}

fn held() -> Vec<HeldShard> {
    vec![HeldShard {
        record: by_device(&record()),
        shard: 5,
    }]
}

fn roster() -> Roster {
    Roster {
        owner: owner(),
        number: 7,
        epoch: 2,
        devices: vec![Device {
            peer: device(),
            sealing: [0x5e; 32],
            rights: Rights::ALL,
            keys: vec![0x6e; 9],
        }],
        retired: vec![Retired {
            peer: PeerId([8; 32]),
            last_head: 300,
        }],
    }
}

fn head() -> Head {
    Head {
        owner: owner(),
        device: device(),
        number: 12,
        previous: [0x11; 32],
        roster: 7,
        made_unix_s: 1_790_000_000,
        epoch: 2,
        salt: [0x5a; 32],
        sealed: vec![0x6e; 9],
        packs: PackList {
            id: BlobId([0x1d; 32]),
            size: 64,
        },
    }
}

fn condemnation() -> Condemnation {
    Condemnation {
        owner: owner(),
        device: device(),
        number: 4,
        made_unix_s: 1_790_000_000,
        packs: vec![pack(0xa1)],
    }
}

fn cancelation() -> Cancelation {
    Cancelation {
        owner: owner(),
        device: device(),
        condemned_by: PeerId([8; 32]),
        up_to: 4,
        packs: vec![],
    }
}

fn surplus() -> Surplus {
    Surplus {
        owner: owner(),
        device: device(),
        number: 5,
        made_unix_s: 1_790_000_000,
        holder: PeerId([9; 32]),
        packs: vec![pack(0xa1)],
    }
}

fn permit() -> Permit {
    Permit {
        network: network(),
        owner: owner(),
        pack: pack(0xa1),
        reader: PeerId([4; 32]),
        expires_unix_s: 1_790_000_600,
    }
}

/// The records by themselves, signed as they should be.
pub(super) fn records() -> Vec<Example> {
    let by_coordinator = Signed::new(&permit(), &SigningKey::from_seed(NETWORK_SEED));
    vec![signed("signed-permit", &by_coordinator)]
}

pub(super) fn placing() -> Vec<Example> {
    let owner = owner();
    vec![
        message(Plan {
            owner,
            scheme: Some(Scheme::new(4, 2).unwrap()),
            packs: vec![NewPack {
                pack: pack(0xa1),
                size: 16 << 20,
            }],
        }),
        message(Planned {
            scheme: Scheme::copies(2).unwrap(),
            fragile: false,
            packs: vec![PackPlan {
                pack: pack(0xa1),
                holders: vec![PeerId([4; 32]), PeerId([5; 32])],
            }],
            holders: vec![holder(4), holder(5)],
        }),
        message(ShardFailed {
            owner,
            shard: shard(),
            holder: PeerId([4; 32]),
        }),
        message(Instead { holder: holder(5) }),
        message(Held { shards: held() }),
        message(Returned { shards: [0x33; 32] }),
        message(ShardsKnown { known: false }),
        message(Reported {}),
        message(Lost {
            shards: vec![shard()],
        }),
        message(Release {
            owner: Some(owner),
            seconds: 60,
        }),
        message(Releasing {
            shards: 300,
            bytes: 5 << 30,
        }),
        message(Keepers { owner }),
        message(KeepersAre {
            holders: vec![holder(4)],
        }),
    ]
}

pub(super) fn looking() -> Vec<Example> {
    let owner = owner();
    vec![
        message(Locate {
            owner,
            packs: vec![pack(0xa1)],
        }),
        message(Located {
            packs: vec![LocatedPack {
                record: by_device(&record()),
                held: vec![ShardAt {
                    shard: 5,
                    peer: PeerId([4; 32]),
                }],
            }],
            holders: vec![holder(4)],
        }),
        message(ListPacks {
            owner,
            after: Some(pack(0xa1)),
        }),
        message(PackIds {
            packs: vec![pack(0xa1)],
            more: true,
        }),
        message(Health { owner, packs: vec![] }),
        message(HealthIs {
            level: Level::Degraded,
            survives: 1,
            reachable: 999,
            packs: 1000,
            missing_bytes: 4 << 20,
            lost: vec![pack(0xa2)],
            audited_unix_s: 1_790_000_000,
        }),
        message(WhoKeeps {
            owner,
            packs: vec![pack(0xa1)],
        }),
        message(KeptBy {
            keepers: vec![Keeper {
                peer: PeerId([4; 32]),
                name: "nas".parse().expect("a name"),
                presence: Presence::Failed,
            }],
        }),
        message(ListCondemned { owner, after: None }),
        message(Sentences {
            sentences: vec![Sentence {
                pack: pack(0xa1),
                device: device(),
                number: 3,
            }],
            more: false,
        }),
    ]
}

pub(super) fn keeping() -> Vec<Example> {
    let (owner, device) = (owner(), device());
    let roster = by_owner(&roster());
    vec![
        message(KeepRoster {
            roster: roster.clone(),
        }),
        message(KeepHead {
            head: by_device(&head()),
        }),
        message(OwnerState { owner }),
        message(OwnerStands {
            roster: Some(roster),
            heads: vec![HeadNumber { device, number: 12 }],
        }),
        message(GetHead { owner, device }),
        message(HeadIs {
            head: by_device(&head()),
        }),
        message(Condemn {
            word: by_device(&condemnation()),
        }),
        message(Pardon {
            word: by_device(&cancelation()),
        }),
    ]
}

pub(super) fn moving() -> Vec<Example> {
    let (owner, device, shard) = (owner(), device(), shard());
    let permit = Signed::new(&permit(), &SigningKey::from_seed(NETWORK_SEED));
    vec![
        message(Rebuild {
            record: by_device(&record()),
            shard: 5,
            sources: vec![ShardSource {
                shard: 0,
                holder: holder(4),
            }],
            permit: permit.clone(),
        }),
        message(ProveShard {
            owner,
            shard,
            leaf: 200,
        }),
        message(ShardProof {
            leaf: vec![0x6e; 9],
            proof: vec![[0x66; 32]],
            leaves: vec![[0x77; 32], [0x88; 32]],
            path: vec![],
        }),
        message(StoreShard {
            record: by_device(&record()),
            shard: 5,
        }),
        message(ReadShard {
            owner,
            shard,
            first: 48,
            bytes: 1 << 20,
            permit: Some(permit),
        }),
        message(ReadPackList {
            owner,
            device,
            number: 12,
        }),
        message(ListRecords {
            owner,
            after: Some(shard),
        }),
        message(Records {
            shards: held(),
            more: false,
        }),
        message(Review { owner }),
        message(Reviewed {
            damaged: vec![
                DamagedPaper {
                    paper: Paper::List,
                    mended: true,
                },
                DamagedPaper {
                    paper: Paper::Docket,
                    mended: false,
                },
            ],
        }),
        message(GiveUp { pack: pack(0xa1) }),
        message(Unneeded {
            word: by_device(&surplus()),
        }),
    ]
}
