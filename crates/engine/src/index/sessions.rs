//! Open connections: whose they are, and which orders await their reply.

use std::{collections::BTreeMap, net::IpAddr};

use skep_wire::{BlobId, OwnerId, PackId, PeerId};

use super::{Effects, Order, OrderId, Output, SessionId, members::Who};
use crate::depot::Question;

/// The most orders that await their reply on one connection.
const MAX_ORDERS: usize = 64;

/// One open connection.
pub(super) struct Session {
    /// The key that TLS has proven.
    pub(super) key: PeerId,
    /// Where it comes from.
    pub(super) source: IpAddr,
    /// The member behind it; a stranger may only join.
    pub(super) who: Option<Who>,
    orders: BTreeMap<OrderId, Pending>,
}

/// What an order without a reply yet was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// An introduction.
    Dial,
    /// Triples of this content.
    Triples(BlobId),
    /// An owner's roster.
    Roster,
    /// An owner's word about deletion.
    Word {
        /// Whose.
        owner: OwnerId,
        /// Which.
        number: u64,
    },
    /// A rebuild of something of this pack.
    Rebuild(PackId),
    /// An audit.
    Audit(Question),
}

/// All open connections.
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    last_order: u64,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            last_order: 0,
        }
    }

    pub(super) fn open(&mut self, session: SessionId, key: PeerId, source: IpAddr, who: Option<Who>) {
        let orders = BTreeMap::new();
        let opened = Session {
            key,
            source: source.to_canonical(),
            who,
            orders,
        };
        self.open.insert(session, opened);
    }

    /// Forgets a connection and returns what was still awaited on it.
    pub(super) fn close(&mut self, session: SessionId) -> Option<(Option<Who>, Vec<Pending>)> {
        let closed = self.open.remove(&session)?;
        Some((closed.who, closed.orders.into_values().collect()))
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&Session> {
        self.open.get(&session)
    }

    /// From now on the connection is that member's, or a stranger's.
    pub(super) fn belongs_to(&mut self, session: SessionId, who: Option<Who>) {
        if let Some(open) = self.open.get_mut(&session) {
            open.who = who;
        }
    }

    /// The connections of a member.
    pub(super) fn of(&self, who: Who) -> Vec<SessionId> {
        let of_who = self.open.iter().filter(|(_, open)| open.who == Some(who));
        of_who.map(|(session, _)| *session).collect()
    }

    /// The connections of all members.
    pub(super) fn of_members(&self) -> impl Iterator<Item = SessionId> {
        let known = self.open.iter().filter(|(_, open)| open.who.is_some());
        known.map(|(session, _)| *session)
    }

    /// Sends an order, unless too many are on their way there already.
    pub(super) fn order(
        &mut self,
        session: SessionId,
        body: impl Into<Order>,
        pending: Pending,
        effects: &mut Effects,
    ) -> bool {
        let Some(open) = self
            .open
            .get_mut(&session)
            .filter(|open| open.orders.len() < MAX_ORDERS)
        else {
            return false;
        };
        self.last_order += 1;
        let order = OrderId(self.last_order);
        open.orders.insert(order, pending);
        let body = body.into();
        effects.outputs.push(Output::Order { session, order, body });
        true
    }

    /// What an order that now has its reply was for, and who was asked.
    pub(super) fn answered(&mut self, session: SessionId, order: OrderId) -> Option<(Option<Who>, Pending)> {
        let open = self.open.get_mut(&session)?;
        Some((open.who, open.orders.remove(&order)?))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use skep_wire::message::WantTriples;

    use super::*;

    #[test]
    fn orders_are_bounded_and_find_back_once() {
        let (mut sessions, mut effects) = (Sessions::new(), Effects::default());
        let session = SessionId(1);
        sessions.open(session, PeerId([1; 32]), IpAddr::V4(Ipv4Addr::LOCALHOST), None);
        let content = BlobId([2; 32]);
        let mut order = |sessions: &mut Sessions, at| {
            sessions.order(
                at,
                WantTriples { content },
                Pending::Triples(content),
                &mut effects,
            )
        };
        for _ in 0..MAX_ORDERS {
            assert!(order(&mut sessions, session));
        }
        assert!(!order(&mut sessions, session));
        assert!(!order(&mut sessions, SessionId(2)));
        let first = OrderId(1);
        assert_eq!(
            sessions.answered(session, first),
            Some((None, Pending::Triples(content)))
        );
        assert_eq!(sessions.answered(session, first), None);
        let (_, left) = sessions.close(session).unwrap();
        assert_eq!(left.len(), MAX_ORDERS - 1);
        assert!(sessions.close(session).is_none());
    }
}
