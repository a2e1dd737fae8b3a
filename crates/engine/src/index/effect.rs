//! What goes out: changes of facts, and what is to be sent once these are durable.

use skep_wire::{
    Signed,
    message::{
        Condemn, Dial, Done, Endpoint, HeadIs, HealthIs, HeartbeatSeen, Instead, Joined, KeepRoster,
        KeepersAre, KeptBy, Located, Message, NewRevocations, OwnerStands, PackIds, Pardon, Peers, Planned,
        ProveShard, Questions, Reason, Rebuild, Refused, Releasing, Sentences, ShardsKnown, Shares, Verdicts,
        WantTriples, Welcome,
    },
    record::{Revocations, Role},
};
use thiserror::Error;

use super::{
    cards::HandedOut,
    event::{CallId, OrderId, SessionId},
    facts::{Fact, Key},
};

/// What the caller is to do. It appends up; the caller empties it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Facts to be committed, in this order. If a ledger takes fewer at once they may be committed in
    /// parts: a restore takes the removals of which the last are missing for what they are.
    pub changes: Vec<Change>,
    /// To be done in this order, and only after the changes are durable.
    ///
    /// What comes out together with no changes may leave at once, even past outputs that wait; but
    /// not what says that something is done, which may be about changes that are not durable yet.
    pub outputs: Vec<Output>,
}

/// One fact: set or removed. The bytes mean something only to [`super::Index::restore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which fact. At most 600 bytes.
    pub key: Vec<u8>,
    /// Its value; none removes it.
    pub value: Option<Vec<u8>>,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Answer a request.
    Reply {
        /// On which connection.
        session: SessionId,
        /// The id of the request's frame.
        request: u32,
        /// The answer.
        body: Reply,
    },
    /// Ask something of a peer; report what it answers as [`super::Event::Answered`].
    Order {
        /// On which connection.
        session: SessionId,
        /// Pairs it with its answer.
        order: OrderId,
        /// What to ask.
        body: Order,
    },
    /// Tell a peer something that has no answer: send it with request id 0.
    Notice {
        /// On which connection.
        session: SessionId,
        /// The newest revocations.
        body: NewRevocations,
    },
    /// Send this with request id 0 and close the connection. The index has forgotten it already;
    /// [`super::Event::Closed`] may follow or not.
    Close {
        /// The connection.
        session: SessionId,
        /// Why.
        refusal: Refused,
    },
    /// Dial this once, expecting the session's key, and report as [`super::Event::DialedBack`].
    DialBack {
        /// For which connection.
        session: SessionId,
        /// Where the peer says it listens.
        address: Endpoint,
    },
    /// Answer a call of the local administration.
    Administered {
        /// Which.
        call: CallId,
        /// The answer.
        outcome: Result<CommandReply, Denial>,
    },
}

/// The answer to a [`super::Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// The invitation holds.
    Invited {
        /// Until when; goes into the ticket.
        expires_unix_s: u64,
    },
    /// Soonest to expire first.
    Invitations(Vec<InvitationRow>),
    /// The peer is revoked.
    Revoked,
}

/// An invitation as it is listed: never its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// The widest role it allows.
    pub role: Role,
    /// How many keys may still join with it.
    pub uses_left: u32,
    /// Until when.
    pub expires_unix_s: u64,
}

/// No, and why: for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Denial {
    /// For programs.
    pub reason: Reason,
    /// One sentence for people.
    pub text: String,
}

impl Denial {
    /// A denial.
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reason, text }
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::new(denial.reason, &denial.text)
    }
}

macro_rules! bodies {
    ($(#[$outer:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$doc])* $name($name),)*
        }

        impl $kind {
            /// The type number of its message.
            #[must_use]
            pub fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $name::KIND,)*
                }
            }

            /// The body of its message.
            #[must_use]
            pub fn encode(self) -> Vec<u8> {
                match self {
                    $(Self::$name(message) => message.encode(),)*
                }
            }
        }

        $(impl From<$name> for $kind {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

bodies! {
    /// The answer to a [`super::Request`].
    Reply {
        /// It is done, and durable.
        Done,
        /// No, and why.
        Refused,
        /// Welcome to the network.
        Joined,
        /// Known.
        Welcome,
        /// Heard.
        HeartbeatSeen,
        /// Prove what you have.
        Questions,
        /// What was not proven.
        Verdicts,
        /// Who has it.
        HandedOut,
        /// The shares.
        Shares,
        /// The peers.
        Peers,
        /// Who shall keep what.
        Planned,
        /// Whom to bring it to.
        Instead,
        /// Whether that is what is noted.
        ShardsKnown,
        /// What is not elsewhere yet.
        Releasing,
        /// Who keeps something.
        KeepersAre,
        /// Who has it.
        Located,
        /// The packs.
        PackIds,
        /// How they stand.
        HealthIs,
        /// Who keeps them.
        KeptBy,
        /// What is condemned.
        Sentences,
        /// What is known of an owner.
        OwnerStands,
        /// The head.
        HeadIs,
    }
}

bodies! {
    /// What a coordinator asks of a peer.
    Order {
        /// Dial that peer.
        Dial,
        /// Deposit fresh triples.
        WantTriples,
        /// Keep the owner's newest roster.
        KeepRoster,
        /// These packs may go.
        Condemn,
        /// These stay after all.
        Pardon,
        /// Rebuild a shard.
        Rebuild,
        /// Show a leaf of a shard.
        ProveShard,
    }
}

impl Effects {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outputs.is_empty()
    }

    pub(super) fn set(&mut self, fact: &Fact) {
        self.changes.push(fact.set());
    }

    pub(super) fn remove(&mut self, key: &Key<'_>) {
        self.changes.push(key.removed());
    }

    pub(super) fn reply(&mut self, session: SessionId, request: u32, body: impl Into<Reply>) {
        let body = body.into();
        self.outputs.push(Output::Reply {
            session,
            request,
            body,
        });
    }

    pub(super) fn close(&mut self, session: SessionId, denial: Denial) {
        let refusal = denial.into();
        self.outputs.push(Output::Close { session, refusal });
    }

    pub(super) fn notify(&mut self, session: SessionId, list: Signed<Revocations>) {
        let body = NewRevocations { list };
        self.outputs.push(Output::Notice { session, body });
    }
}
