//! The messages about backups.
//!
//! What holders keep travels by asking alone: who is to keep a shard reads it from whoever has it, with
//! [`ReadShard`], also right after [`StoreShard`] from the very sender of that. So there is one way in which
//! bytes move, with the receiver's credit, and the receiver decides what it takes and when.

use serde::{Deserialize, Serialize};

use super::{
    DamagedPaper, HeadNumber, HeldShard, Holder, KIB, Keeper, Level, LocatedPack, Message, NewPack, PackPlan,
    Sentence, ShardName, ShardSource,
};
use crate::{
    backup::{
        Cancelation, Condemnation, Head, MAX_DEVICES, MAX_RETIRED, PackRecord, Permit, Roster, Scheme,
        Surplus,
    },
    bounded,
    id::{OwnerId, PackId, PeerId},
    signed::Signed,
};

const MAX_SHARDS: usize = Scheme::MAX_SHARDS;
const MAX_HEADS: usize = MAX_DEVICES + MAX_RETIRED;
const MAX_LEAF_BYTES: usize = 16 << 10;

messages! {
    // --- a peer to its coordinator ------------------------------------------------------------
    /// Where shall these packs go? From a device that may write. Answer: [`Planned`]; or refused as `NoRoom`,
    /// and the text says what would help. Packs that are kept already are planned where they are.
    0x0300 4 * KIB, Plan {
        /// Whose.
        owner: OwnerId,
        /// How to split them; none: as suits the network, and as before.
        scheme: Option<Scheme>,
        /// At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        packs: Vec<NewPack>,
    }
    /// Who keeps what. Room is reserved for some time.
    0x0301 1024 * KIB, Planned {
        /// How to split the packs.
        scheme: Scheme,
        /// There is a single copy: if its holder is lost, so is the backup.
        fragile: bool,
        /// In the order of the request. At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        packs: Vec<PackPlan>,
        /// All holders that are named. At most 2,048.
        #[serde(deserialize_with = "bounded::list::<2048, _, _>")]
        holders: Vec<Holder>,
    }
    /// A planned shard could not be brought to its holder. Answer: [`Instead`]; or refused as `NoRoom`.
    0x0302 128, ShardFailed {
        /// Whose.
        owner: OwnerId,
        /// Which.
        shard: ShardName,
        /// Who did not take it.
        holder: PeerId,
    }
    /// Bring it there: to the same holder again, or after three failures to another.
    0x0303 KIB, Instead {
        /// Who.
        holder: Holder,
    }
    /// I keep these, durably: news, or part of a whole report. Answer: [`Done`](super::Done) once it is durable.
    0x0304 512 * KIB, Held {
        /// At most 256.
        #[serde(deserialize_with = "bounded::list::<256, _, _>")]
        shards: Vec<HeldShard>,
    }
    /// I am back with the shards that I had. Answer: [`ShardsKnown`].
    0x0305 40, Returned {
        /// BLAKE3 of pack id and number (1 byte) of each of its shards, ascending.
        shards: [u8; 32],
    }
    /// Whether that is what the coordinator has noted. If not, all follow in [`Held`], and [`Reported`].
    0x0306 8, ShardsKnown {
        /// Nothing is to be told.
        known: bool,
    }
    /// That was all: what was noted of the sender, and not told since [`Returned`], is lost. Answer: [`Done`](super::Done).
    0x0307 0, Reported {}
    /// I do not have these any more: deleted, or damaged. Answer: [`Done`](super::Done).
    0x0308 64 * KIB, Lost {
        /// At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        shards: Vec<ShardName>,
    }
    /// Who has these packs? From a device that may read. Answer: [`Located`], without those that nobody knows.
    0x0309 16 * KIB, Locate {
        /// Whose.
        owner: OwnerId,
        /// At most 256.
        #[serde(deserialize_with = "bounded::list::<256, _, _>")]
        packs: Vec<PackId>,
    }
    /// Who has them.
    0x030a 2048 * KIB, Located {
        /// At most 256.
        #[serde(deserialize_with = "bounded::list::<256, _, _>")]
        packs: Vec<LocatedPack>,
        /// Those of the holders that are online. At most 2,048.
        #[serde(deserialize_with = "bounded::list::<2048, _, _>")]
        holders: Vec<Holder>,
    }
    /// All packs of an owner. From a device. Answer: [`PackIds`].
    0x030b 80, ListPacks {
        /// Whose.
        owner: OwnerId,
        /// Go on after this one; none: from the start.
        after: Option<PackId>,
    }
    /// Ascending.
    0x030c 132 * KIB, PackIds {
        /// At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        packs: Vec<PackId>,
        /// Whether there are more after the last.
        more: bool,
    }
    /// How do these packs stand? From a device. Answer: [`HealthIs`].
    0x030d 132 * KIB, Health {
        /// Whose.
        owner: OwnerId,
        /// None stands for all. At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        packs: Vec<PackId>,
    }
    /// How they stand, all together.
    0x030e 4 * KIB, HealthIs {
        /// Of the worst pack.
        level: Level,
        /// How many holders may be lost, and every pack can still be restored.
        survives: u32,
        /// How many packs can be restored from who is online.
        reachable: u64,
        /// How many packs this is about; one that nobody knows counts as lost.
        packs: u64,
        /// Bytes of shards that are missing.
        missing_bytes: u64,
        /// Some of the packs that are lost. At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        lost: Vec<PackId>,
        /// Seconds since 1970 of the last audit that was answered rightly; 0 for none.
        audited_unix_s: u64,
    }
    /// Who keeps something of these packs? From a device. Answer: [`KeptBy`].
    0x030f 132 * KIB, WhoKeeps {
        /// Whose.
        owner: OwnerId,
        /// None stands for all. At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        packs: Vec<PackId>,
    }
    /// These do, there or not.
    0x0310 512 * KIB, KeptBy {
        /// Ascending by their keys. At most 2,048.
        #[serde(deserialize_with = "bounded::list::<2048, _, _>")]
        keepers: Vec<Keeper>,
    }
    /// I want to be rid of what I keep, of one owner or of all: others shall rebuild it, and I am asked to keep nothing
    /// of it, for some seconds from now. Until it is elsewhere I keep it. Answer: [`Releasing`]; ask again to see how
    /// far it is, and before the seconds are over.
    0x0311 48, Release {
        /// Whose; none: of all owners.
        owner: Option<OwnerId>,
        /// How long this holds.
        seconds: u32,
    }
    /// What of it is not elsewhere yet.
    0x0312 32, Releasing {
        /// How many of the sender's shards are needed still.
        shards: u64,
        /// Their bytes.
        bytes: u64,
    }
    /// Who else keeps something of this owner? From who does, too. Answer: [`KeepersAre`].
    0x0313 40, Keepers {
        /// Whose.
        owner: OwnerId,
    }
    /// Some of those that are online, without the asker.
    0x0314 24 * KIB, KeepersAre {
        /// At most 32.
        #[serde(deserialize_with = "bounded::list::<32, _, _>")]
        holders: Vec<Holder>,
    }
    /// Which packs are condemned, and that was not canceled? From a device. Answer: [`Sentences`].
    0x0315 80, ListCondemned {
        /// Whose.
        owner: OwnerId,
        /// Go on after this one; none: from the start.
        after: Option<PackId>,
    }
    /// Ascending by pack and device; all of a pack are on one page.
    0x0316 320 * KIB, Sentences {
        /// At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        sentences: Vec<Sentence>,
        /// Whether there are more after the last.
        more: bool,
    }
    /// May I delete what I keep of this pack? Its owner says that others have all that it takes. Answer:
    /// [`Done`](super::Done), and then it does not count any more; or refused as `Busy`, as it is needed.
    0x0317 40, GiveUp {
        /// Which.
        pack: PackId,
    }

    // --- to a coordinator, and to a holder ----------------------------------------------------
    /// Keep the owner's newest roster. Refused as `Stale` if a newer one is known.
    /// Answer: [`Done`](super::Done) once it is durable.
    0x0320 540 * KIB, KeepRoster {
        /// Signed by the owner.
        roster: Signed<Roster>,
    }
    /// Keep a device's newest head. Refused as `Stale` if a newer one is known. A holder first reads the list of packs
    /// with [`ReadPackList`] from the sender, if it can. Answer: [`Done`](super::Done) once it is durable.
    0x0321 1028 * KIB, KeepHead {
        /// Signed by the device.
        head: Signed<Head>,
    }
    /// What is known of an owner? From anybody: it is sealed. Answer: [`OwnerStands`].
    0x0322 40, OwnerState {
        /// Whose.
        owner: OwnerId,
    }
    /// The newest of everything.
    0x0323 560 * KIB, OwnerStands {
        /// None if the owner is not known.
        roster: Option<Signed<Roster>>,
        /// Of listed and retired devices.
        #[serde(deserialize_with = "bounded::list::<MAX_HEADS, _, _>")]
        heads: Vec<HeadNumber>,
    }
    /// The newest head of a device. From anybody: it is sealed. Answer: [`HeadIs`].
    0x0324 80, GetHead {
        /// Whose.
        owner: OwnerId,
        /// Which device.
        device: PeerId,
    }
    /// Here it is.
    0x0325 1028 * KIB, HeadIs {
        /// Signed by the device.
        head: Signed<Head>,
    }
    /// These packs may be deleted, after a grace. A coordinator keeps it and tells the holders.
    /// Answer: [`Done`](super::Done) once it is durable.
    0x0326 132 * KIB, Condemn {
        /// Signed by a device that may prune.
        word: Signed<Condemnation>,
    }
    /// What was condemned is to be kept after all. A coordinator keeps it and tells the holders.
    /// Answer: [`Done`](super::Done) once it is durable.
    0x0327 132 * KIB, Pardon {
        /// Signed by a device that may write.
        word: Signed<Cancelation>,
    }

    // --- orders: a coordinator to a peer ------------------------------------------------------
    /// Rebuild a shard and keep it: read as many others as it takes. Answer: [`Done`](super::Done), at once; when the
    /// shard is kept, [`Held`] follows.
    0x0340 16 * KIB, Rebuild {
        /// Signed by a device of the owner; the shard must match it.
        record: Signed<PackRecord>,
        /// Which.
        shard: u8,
        /// Who has others. At most 32.
        #[serde(deserialize_with = "bounded::list::<MAX_SHARDS, _, _>")]
        sources: Vec<ShardSource>,
        /// To be shown to them.
        permit: Signed<Permit>,
    }

    // --- to a holder, from the coordinator or a device that may read ---------------------------
    /// Show a leaf of a shard. Answer: [`ShardProof`].
    0x0360 96, ProveShard {
        /// Whose.
        owner: OwnerId,
        /// Which.
        shard: ShardName,
        /// Which unit of 16 KiB.
        leaf: u64,
    }
    /// The leaf, and the way from it up to the shard's hash.
    0x0361 160 * KIB, ShardProof {
        /// At most 16 KiB.
        #[serde(deserialize_with = "bounded::list::<MAX_LEAF_BYTES, _, _>")]
        leaf: Vec<u8>,
        /// From the leaf to its chunk ([`crate::proof`]). At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        proof: Vec<[u8; 32]>,
        /// The page of the outline with the chunk; empty for shards of up to 1 MiB. At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        leaves: Vec<[u8; 32]>,
        /// From the page upwards. At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        path: Vec<[u8; 32]>,
    }

    // --- peer to peer -------------------------------------------------------------------------
    /// Keep this shard: read it from me now, on this connection, with [`ReadShard`]. From a device that may write.
    /// Answer: [`Done`](super::Done) once it is durable; or refused, as `NoRoom` if there is none for this owner, and as
    /// `NotFound` if the owner's roster is to be told first.
    0x0380 2 * KIB, StoreShard {
        /// Signed by a device of the owner.
        record: Signed<PackRecord>,
        /// Which.
        shard: u8,
    }
    /// Bytes of a shard. From a device that may read, from who shows a permit, and from who was asked to keep it.
    /// Answer: segments.
    0x0381 512, ReadShard {
        /// Whose.
        owner: OwnerId,
        /// Which.
        shard: ShardName,
        /// Where they begin.
        first: u64,
        /// How many; what lies beyond the end is left out.
        bytes: u64,
        /// The coordinator's word that the asker may.
        permit: Option<Signed<Permit>>,
    }
    /// The list of packs of the newest head of a device. From anybody, as the head itself. Answer: segments.
    0x0382 80, ReadPackList {
        /// Whose.
        owner: OwnerId,
        /// Which device.
        device: PeerId,
        /// Of which head: another one's list is not given.
        number: u64,
    }
    /// What do you keep of this owner? From a device. Answer: [`Records`].
    0x0383 80, ListRecords {
        /// Whose.
        owner: OwnerId,
        /// Go on after this one; none: from the start.
        after: Option<ShardName>,
    }
    /// Ascending by pack and shard.
    0x0384 512 * KIB, Records {
        /// At most 256.
        #[serde(deserialize_with = "bounded::list::<256, _, _>")]
        shards: Vec<HeldShard>,
        /// Whether there are more after the last.
        more: bool,
    }
    /// Are the words that you keep of this owner on your disk as they should be? What is not is written again, as far as
    /// it is known. From a device that may read. Answer: [`Reviewed`].
    0x0385 40, Review {
        /// Whose.
        owner: OwnerId,
    }
    /// Those that were not.
    0x0386 KIB, Reviewed {
        /// At most 256.
        #[serde(deserialize_with = "bounded::list::<256, _, _>")]
        damaged: Vec<DamagedPaper>,
    }
    /// You need not keep your parts of these packs, after a grace. Answer: [`Done`](super::Done) once it is durable.
    0x0387 132 * KIB, Unneeded {
        /// Signed by a device that may prune.
        word: Signed<Surplus>,
    }
}
