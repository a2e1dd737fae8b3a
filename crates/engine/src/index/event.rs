//! What comes in: connections, requests of peers, their replies to orders, local administration.

use std::net::IpAddr;

use skep_wire::{
    PeerId, PeerName,
    message::{
        Answers, Attend, Condemn, Deposit, Drop, Find, GetHead, GiveUp, Health, Heartbeat, Held, Hello, Hold,
        Introduce, Join, KeepHead, KeepRoster, Keepers, Leave, ListCondemned, ListPacks, ListPeers, Locate,
        Lookup, Lost, MalformedMessage, Message, OwnerState, Pardon, Ping, Plan, Publish, Release, Reported,
        Returned, Revoke, ShardFailed, ShardProof, WhoKeeps,
    },
    record::Role,
    ticket::Secret,
};
use thiserror::Error;

/// One connection, numbered by the driver; a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One order, numbered by the index, so that its reply finds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// One call of the local administration, numbered by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection is open, its key proven by TLS and its hello read.
    Opened {
        /// The connection.
        session: SessionId,
        /// The key that TLS has proven.
        peer: PeerId,
        /// Where it comes from.
        source: IpAddr,
        /// What it said first.
        hello: Hello,
    },
    /// A request came; every request gets exactly one [`super::Output::Reply`], unless the connection closes first.
    Asked {
        /// On which connection.
        session: SessionId,
        /// The id of the frame.
        request: u32,
        /// What it asks.
        body: Request,
    },
    /// An order was answered, or never will be.
    Answered {
        /// On which connection.
        session: SessionId,
        /// Which order.
        order: OrderId,
        /// What came back.
        reply: OrderReply,
    },
    /// A dial-back, asked for by [`super::Output::DialBack`], is done.
    DialedBack {
        /// For which connection.
        session: SessionId,
        /// Whether the peer's key answered there.
        reached: bool,
    },
    /// A connection is gone. Nothing comes from it any more, and nothing must be sent to it.
    Closed {
        /// The connection.
        session: SessionId,
    },
    /// The person at the coordinator's own host wants something.
    Administered {
        /// Pairs it with its [`super::Output::Administered`].
        call: CallId,
        /// What.
        command: Command,
    },
}

/// What the reply to an order was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderReply {
    /// It is done.
    Done,
    /// Fresh triples.
    Deposit(Deposit),
    /// A leaf of a shard.
    Proof(ShardProof),
    /// It was refused, or did not come in time.
    Failed,
    /// The connection ended before it came.
    Gone,
}

/// What only the coordinator's own host may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Let somebody join.
    Invite {
        /// The secret of the ticket. Only its hash is kept.
        secret: Secret,
        /// The widest role it allows.
        role: Role,
        /// How many keys may join with it.
        uses: u32,
        /// How long it holds.
        lifetime_s: u64,
    },
    /// The invitations that still hold.
    ListInvitations,
    /// A peer is not to be trusted any more.
    Revoke {
        /// Whom.
        name: PeerName,
    },
}

/// Why a request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A coordinator knows no request of this type; the answer is [`skep_wire::message::Unsupported`].
    #[error("a coordinator takes no request of type {kind:#06x}")]
    Unsupported {
        /// The type number.
        kind: u16,
    },
    /// The body is not of its type.
    #[error(transparent)]
    Malformed(#[from] MalformedMessage),
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A request to a coordinator.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request {
            $($(#[$doc])* $name($name),)*
        }

        impl Request {
            /// Reads a request from a frame.
            ///
            /// # Errors
            /// [`RequestError`] when no request of this type is known here, or the body cannot be read.
            pub fn decode(kind: u16, body: &[u8]) -> Result<Self, RequestError> {
                match kind {
                    $($name::KIND => Ok(Self::$name($name::decode(body)?)),)*
                    _ => Err(RequestError::Unsupported { kind }),
                }
            }

            /// The name of its type, for logs.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $name::NAME,)*
                }
            }
        }
    };
}

requests! {
    /// Are you there?
    Ping,
    /// Become a peer of the network.
    Join,
    /// Here I am.
    Attend,
    /// Still here.
    Heartbeat,
    /// A share, published or withdrawn.
    Publish,
    /// I have these.
    Hold,
    /// Answers to the questions that came for what I have.
    Answers,
    /// I have these no more.
    Drop,
    /// Who has this?
    Lookup,
    /// Which shares are there?
    Find,
    /// Who is in the network?
    ListPeers,
    /// Ask that peer to dial me.
    Introduce,
    /// I leave for good.
    Leave,
    /// Revoke a peer.
    Revoke,
    /// Where shall these packs go?
    Plan,
    /// A planned shard could not be brought.
    ShardFailed,
    /// I keep these shards.
    Held,
    /// I am back with these shards.
    Returned,
    /// That were all of my shards.
    Reported,
    /// I do not have these shards any more.
    Lost,
    /// I want to be rid of shards.
    Release,
    /// Who else keeps something of an owner?
    Keepers,
    /// May I delete what is too much?
    GiveUp,
    /// Who has these packs?
    Locate,
    /// Which packs are there?
    ListPacks,
    /// How do packs stand?
    Health,
    /// Who keeps packs?
    WhoKeeps,
    /// Which packs are condemned?
    ListCondemned,
    /// Keep an owner's roster.
    KeepRoster,
    /// Keep a device's head.
    KeepHead,
    /// What is known of an owner?
    OwnerState,
    /// The newest head of a device.
    GetHead,
    /// These packs may go.
    Condemn,
    /// These stay after all.
    Pardon,
}
