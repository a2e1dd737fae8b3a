//! Who is there, where it listens, and since when it is silent. By the monotonic clock alone.

use std::{
    ops::{Index, IndexMut},
    time::Duration,
};

use skep_wire::{
    Moment,
    message::{Endpoint, Presence},
};

use super::{
    SessionId,
    cards::Card,
    facts::Profile,
    members::{Member, Who},
};
use crate::agenda::{Agenda, MISSED};

/// What is known of a member's whereabouts.
pub(super) struct Whereabouts {
    /// What it last said of itself; none before it attended once.
    pub(super) profile: Option<Profile>,
    /// The connection on which it attends.
    pub(super) session: Option<SessionId>,
    /// Where it says it listens.
    pub(super) address: Option<Endpoint>,
    /// Whether it could be dialled there.
    pub(super) reachable: Option<bool>,
    online: bool,
    /// When it was last heard from; if it is offline, since when.
    heard: Moment,
    /// Its entry in [`Attendance::due`].
    due: Duration,
}

impl Whereabouts {
    /// Where the member was reached.
    pub(super) fn proven_address(&self) -> Option<&Endpoint> {
        self.address.as_ref().filter(|_| self.reachable == Some(true))
    }
}

/// The whereabouts of all members.
pub(super) struct Attendance {
    heartbeat: Duration,
    failed_after: Duration,
    /// By number of the member; members come in order and are never removed.
    rows: Vec<Whereabouts>,
    /// Beside the rows, so that lookups touch little memory.
    cards: Vec<Card>,
    /// When to look after each peer that is online.
    due: Agenda<Who>,
}

impl Attendance {
    pub(super) fn new(heartbeat: Duration, failed_after: Duration) -> Self {
        Self {
            heartbeat,
            failed_after,
            rows: Vec::new(),
            cards: Vec::new(),
            due: Agenda::default(),
        }
    }

    /// Adds the next member, offline as of now.
    pub(super) fn add(&mut self, now: Moment, member: &Member) {
        self.rows.push(Whereabouts {
            profile: None,
            session: None,
            address: None,
            reachable: None,
            online: false,
            heard: now,
            due: Duration::ZERO,
        });
        self.cards.push(Card::new(member.key, &member.name, None));
    }

    pub(super) fn online(&self) -> usize {
        self.due.len()
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        self.due.next_wakeup()
    }

    /// The connection of a member that is online.
    pub(super) fn session(&self, who: Who) -> Option<SessionId> {
        let row = &self[who];
        row.session.filter(|_| row.online)
    }

    /// The member is there. Returns whether it was not before.
    pub(super) fn come(&mut self, now: Moment, who: Who) -> bool {
        let due = now.mono + self.heartbeat * MISSED;
        let row = &mut self.rows[who.index()];
        row.heard = now;
        if row.online {
            return false;
        }
        (row.online, row.due) = (true, due);
        self.due.enter(due, who);
        true
    }

    /// The member is not there any more. Returns its profile to be kept, if it was there.
    pub(super) fn go(&mut self, now: Moment, who: Who) -> Option<Profile> {
        let row = &mut self.rows[who.index()];
        if !row.online {
            return None;
        }
        row.online = false;
        self.due.strike(row.due, who);
        let profile = row.profile.get_or_insert_default();
        profile.last_seen_unix_s = row.heard.unix_s;
        row.heard = now;
        Some(profile.clone())
    }

    /// The member left: what it said of itself means nothing any more.
    pub(super) fn forget(&mut self, who: Who) {
        let row = &mut self[who];
        (row.profile, row.session) = (None, None);
        (row.address, row.reachable) = (None, None);
    }

    /// Those that have been silent for too long. They are still online: the caller sees them off.
    pub(super) fn silent(&mut self, now: Moment) -> Vec<Who> {
        let (rows, patience) = (&mut self.rows, self.heartbeat * MISSED);
        self.due.overdue(now.mono, |who| {
            let row = &mut rows[who.index()];
            let limit = row.heard.mono + patience;
            if limit > now.mono {
                row.due = limit;
            }
            limit
        })
    }

    /// The member was dialled back.
    pub(super) fn dialed_back(&mut self, who: Who, member: &Member, reached: bool) {
        self[who].reachable = Some(reached);
        self.draw_card(who, member);
    }

    /// The member says where it listens, if anywhere. Returns what is to be dialled to find out; who
    /// was not reached before may be by now.
    pub(super) fn listens(
        &mut self,
        who: Who,
        member: &Member,
        address: Option<Endpoint>,
    ) -> Option<Endpoint> {
        let row = &mut self[who];
        if row.address == address && row.reachable == Some(true) {
            return None;
        }
        row.reachable = if address.is_some() { None } else { Some(false) };
        row.address.clone_from(&address);
        self.draw_card(who, member);
        address
    }

    /// The member as others are told of it.
    pub(super) fn card(&self, who: Who) -> &Card {
        &self.cards[who.index()]
    }

    fn draw_card(&mut self, who: Who, member: &Member) {
        self.cards[who.index()] = Card::new(member.key, &member.name, self[who].proven_address());
    }

    /// How a member is listed: its presence, and when it was last heard from.
    pub(super) fn presence(&self, now: Moment, who: Who) -> (Presence, u64) {
        let row = &self[who];
        if row.online {
            return (Presence::Online, row.heard.unix_s);
        }
        let last_seen = row.profile.as_ref().map_or(0, |profile| profile.last_seen_unix_s);
        if now.mono.saturating_sub(row.heard.mono) < self.failed_after {
            (Presence::Offline, last_seen)
        } else {
            (Presence::Failed, last_seen)
        }
    }
}

impl Index<Who> for Attendance {
    type Output = Whereabouts;

    fn index(&self, who: Who) -> &Whereabouts {
        &self.rows[who.index()]
    }
}

impl IndexMut<Who> for Attendance {
    fn index_mut(&mut self, who: Who) -> &mut Whereabouts {
        &mut self.rows[who.index()]
    }
}
