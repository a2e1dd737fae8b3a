//! The messages of version 1, but for those about backups, which are in [`super::backup`].

use serde::{Deserialize, Serialize};

use super::{Answer, Holder, Holding, KIB, Lane, Listed, Message, PeerRow, Query, Question, Reason, Triple};
use crate::{
    bounded,
    endpoint::Endpoint,
    id::{BlobId, PeerId},
    name::{PeerName, ShareName},
    record::{CoordinatorCertificate, Grant, Revocations, Role, ShareRecord},
    signed::Signed,
    ticket::Secret,
};

messages! {
    // --- both kinds of connection -------------------------------------------------------------
    /// The first message of each side. A coordinator shows its certificate, a peer its grant if it has one.
    0x0001 KIB * 2, Hello {
        /// Bits of optional features; none are defined in version 1.
        features: u64,
        /// Program and version, for people. At most 64 bytes.
        #[serde(deserialize_with = "bounded::text::<64, _>")]
        agent: String,
        /// What this connection is for.
        lane: Lane,
        /// The sender's grant.
        grant: Option<Signed<Grant>>,
        /// The sender's certificate, if it is a coordinator.
        certificate: Option<Signed<CoordinatorCertificate>>,
        /// Number of the newest revocations the sender knows; 0 for none.
        revocations: u64,
    }
    /// The request was denied. With request id 0: the connection is, and closes.
    0x0002 KIB, Refused {
        /// For programs.
        reason: Reason,
        /// For people. At most 512 bytes.
        #[serde(deserialize_with = "bounded::text::<512, _>")]
        text: String,
    }
    /// The type of the request is not known.
    0x0003 16, Unsupported {
        /// That type.
        kind: u16,
    }
    /// Done.
    0x0004 0, Done {}
    /// Answer at once with [`Done`]; measures latency.
    0x0005 0, Ping {}
    /// The newest revocations, sent unasked to who knows fewer.
    0x0006 300 * KIB, NewRevocations {
        /// The list.
        list: Signed<Revocations>,
    }

    // --- a newcomer to a coordinator ----------------------------------------------------------
    /// With a ticket's secret, become a peer of the network. Answer: [`Joined`] or [`Refused`].
    0x0100 512, Join {
        /// The ticket's secret.
        secret: Secret,
        /// The name it wants; none: the coordinator makes `peer_N`.
        name: Option<PeerName>,
        /// The role it wants; none: the ticket's.
        role: Option<Role>,
    }
    /// Welcome. A key that the network knows gets its old name.
    0x0101 KIB * 2, Joined {
        /// The newcomer's grant.
        grant: Signed<Grant>,
        /// Whether the key was known.
        returning: bool,
    }

    // --- a peer to its coordinator ------------------------------------------------------------
    /// Here I am. Answer: [`Welcome`].
    0x0102 KIB, Attend {
        /// Port it listens on; 0 if on none.
        listen_port: u16,
        /// Host to give to others, at most 255 bytes; none: the address it comes from.
        #[serde(deserialize_with = "bounded::host_or_none")]
        advertise: Option<String>,
        /// Bytes it offers to others.
        capacity_bytes: u64,
        /// Bytes of that in use.
        used_bytes: u64,
        /// Where it stands, for spreading backups. At most 64 bytes.
        #[serde(deserialize_with = "bounded::text_or_none::<64, _>")]
        site: Option<String>,
        /// BLAKE3 of its complete holdings' ids, ascending, concatenated.
        holdings: [u8; 32],
    }
    /// The coordinator's answer to [`Attend`].
    0x0103 512, Welcome {
        /// The name it is known by.
        name: PeerName,
        /// Whether it was here before.
        returning: bool,
        /// How often to send [`Heartbeat`], in milliseconds.
        heartbeat_ms: u32,
        /// Whether the coordinator's list of its holdings is the same; if not, it sends them all with [`Hold`].
        holdings_known: bool,
    }
    /// Still here. Answer: [`HeartbeatSeen`].
    0x0104 32, Heartbeat {
        /// Bytes in use of the capacity.
        used_bytes: u64,
    }
    /// What the coordinator knows that the peer cannot.
    0x0105 512, HeartbeatSeen {
        /// Whether the coordinator could dial the peer; none: not tried yet.
        reachable: Option<bool>,
        /// Where it was dialled.
        address: Option<Endpoint>,
    }
    /// A share, published or withdrawn. Answer: [`Done`] once it is durable.
    0x0106 20 * KIB, Publish {
        /// Signed by the sender.
        record: Signed<ShareRecord>,
        /// At most 8; makes the sender a verified holder.
        #[serde(deserialize_with = "bounded::list::<8, _, _>")]
        triples: Vec<Triple>,
    }
    /// I have these. Answer: [`Questions`].
    0x0107 64 * KIB, Hold {
        /// At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        holdings: Vec<Holding>,
    }
    /// Answer these to be listed; an empty list: all are listed, or not known here. Answer: [`Answers`].
    0x0108 128 * KIB, Questions {
        /// At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        questions: Vec<Question>,
    }
    /// Answers to [`Questions`]. Answer: [`Verdicts`].
    0x0109 1024 * KIB, Answers {
        /// In any order. At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        answers: Vec<Answer>,
    }
    /// Which of the answers were wrong.
    0x010a 64 * KIB, Verdicts {
        /// Not listed. At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        refused: Vec<BlobId>,
    }
    /// I have these no more. Answer: [`Done`].
    0x010b 64 * KIB, Drop {
        /// At most 1,024.
        #[serde(deserialize_with = "bounded::list::<1024, _, _>")]
        contents: Vec<BlobId>,
    }
    /// Who has this? Answer: [`Holders`].
    0x010c 40, Lookup {
        /// Which.
        content: BlobId,
    }
    /// At most 50, least recently handed out first (document "Peer to Peer Content System").
    0x010d 32 * KIB, Holders {
        /// Online and verified. At most 50.
        #[serde(deserialize_with = "bounded::list::<50, _, _>")]
        holders: Vec<Holder>,
    }
    /// Which shares are there? Answer: [`Shares`].
    0x010e 8 * KIB, Find {
        /// Which.
        query: Query,
        /// Go on after this one; none: from the start.
        after: Option<(PeerName, ShareName)>,
    }
    /// Ordered by publisher and name.
    0x010f 256 * KIB, Shares {
        /// At most 200, and as many as fit.
        #[serde(deserialize_with = "bounded::list::<200, _, _>")]
        shares: Vec<Listed>,
        /// Whether there are more after the last.
        more: bool,
    }
    /// Who is in the network? Answer: [`Peers`].
    0x0110 80, ListPeers {
        /// Go on after this name; none: from the start.
        after: Option<PeerName>,
    }
    /// Ordered by name.
    0x0111 128 * KIB, Peers {
        /// At most 500.
        #[serde(deserialize_with = "bounded::list::<500, _, _>")]
        peers: Vec<PeerRow>,
        /// Whether there are more after the last.
        more: bool,
    }
    /// Ask that peer to dial me: it cannot be dialled. Answer: [`Done`].
    0x0112 40, Introduce {
        /// Whom.
        peer: PeerId,
    }
    /// I leave for good: forget my grant, shares and holdings. Answer: [`Done`].
    0x0113 0, Leave {}
    /// Revoke a peer, by its name. Only with the admin right of the coordinator's own host. Answer: [`Done`].
    0x0114 80, Revoke {
        /// Whom.
        name: PeerName,
    }

    // --- orders: a coordinator to a peer ------------------------------------------------------
    /// Dial that peer: it wants to talk to you and cannot reach you. Answer: [`Done`].
    0x0180 512, Dial {
        /// Whom.
        peer: PeerId,
        /// Where.
        address: Endpoint,
    }
    /// Deposit fresh triples of this content. Answer: [`Deposit`].
    0x0181 40, WantTriples {
        /// Which.
        content: BlobId,
    }
    /// Fresh triples.
    0x0182 2 * KIB, Deposit {
        /// At most 8.
        #[serde(deserialize_with = "bounded::list::<8, _, _>")]
        triples: Vec<Triple>,
    }

    // --- peer to peer -------------------------------------------------------------------------
    /// A page of an outline. Answer: [`OutlinePage`].
    0x0200 64, WantOutline {
        /// The share's content.
        content: BlobId,
        /// 0: the blob or manifest itself; n: the manifest's n-th file.
        object: u32,
        /// Which page of [`crate::outline::PAGE_CHUNKS`] chunks.
        page: u32,
    }
    /// The chunks' hashes of that page and the path from the page to the root.
    0x0201 132 * KIB, OutlinePage {
        /// At most 4,096.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        leaves: Vec<[u8; 32]>,
        /// From the page upwards. At most 64.
        #[serde(deserialize_with = "bounded::list::<64, _, _>")]
        path: Vec<[u8; 32]>,
    }
    /// Bytes of a chunk, in units of 16 KiB. Answer: segments, or [`Refused`], also between segments.
    ///
    /// With `proof` the hashes from the units up to the chunk come first ([`crate::proof`]), then the bytes.
    0x0202 64, Read {
        /// The share's content.
        content: BlobId,
        /// Chunk number in the content's [`crate::Layout`].
        chunk: u64,
        /// First unit of the chunk.
        first_unit: u16,
        /// How many; what lies beyond the chunk's end is left out.
        units: u16,
        /// Whether to send the hash path.
        proof: bool,
    }
    /// The sender of this has room for so many more bytes of segments. No answer.
    0x0203 8, Credit {
        /// Added to what is left.
        bytes: u32,
    }
    /// The answer to this request is not wanted any more. No answer, but the request's own last one.
    0x0204 8, Cancel {
        /// Its id.
        request: u32,
    }
    /// Which chunks do you have? Answer: [`Have`], and [`HaveMore`] as they come, while the connection lasts.
    0x0205 40, WantHave {
        /// The share's content.
        content: BlobId,
    }
    /// What the sender has.
    0x0206 1024 * KIB, Have {
        /// Everything; then `chunks` is empty.
        complete: bool,
        /// Chunk numbers as a serialized Roaring treemap.
        chunks: Vec<u8>,
    }
    /// Since then. No answer.
    0x0207 64 * KIB, HaveMore {
        /// The share's content.
        content: BlobId,
        /// At most 4,096 chunk numbers.
        #[serde(deserialize_with = "bounded::list::<4096, _, _>")]
        chunks: Vec<u64>,
    }
}
