//! Invitations: who holds the secret of one may join. Only the hash of the secret is known here.

use std::{collections::BTreeMap, time::Duration};

use skep_wire::{Moment, message::Reason, ticket::Secret};

use super::{
    Denial, Effects, InvitationRow,
    facts::{Fact, Invitation, Key, TicketHash},
};

/// The most invitations that hold at a time.
const MAX_INVITATIONS: usize = 10_000;

/// For how long an expired invitation is remembered, so that who comes late is told why.
const REMEMBERED_S: u64 = 3600;

/// All invitations that are neither used up nor long expired.
pub(super) struct Invitations {
    by_ticket: BTreeMap<TicketHash, Invitation>,
    /// When the next one is to be forgotten, by the monotonic clock.
    sweep_at: Option<Duration>,
}

/// By what a secret is known here.
pub(super) fn ticket_hash(secret: &Secret) -> TicketHash {
    *blake3::hash(&secret.0).as_bytes()
}

impl Invitations {
    pub(super) fn new() -> Self {
        Self {
            by_ticket: BTreeMap::new(),
            sweep_at: None,
        }
    }

    /// Takes in a fact of the ledger.
    pub(super) fn restore(&mut self, now: Moment, ticket: TicketHash, invitation: Invitation) {
        self.by_ticket.insert(ticket, invitation);
        self.plan_sweep(now);
    }

    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        self.sweep_at
    }

    /// Adds one.
    pub(super) fn add(
        &mut self,
        now: Moment,
        ticket: TicketHash,
        invitation: Invitation,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        if invitation.uses_left == 0 || invitation.expires_unix_s <= now.unix_s {
            let text = "an invitation needs at least one use and some time to hold";
            return Err(Denial::new(Reason::BadRequest, text));
        }
        if self.by_ticket.len() >= MAX_INVITATIONS {
            let text = format!("{MAX_INVITATIONS} invitations are open; wait until some expire");
            return Err(Denial::new(Reason::Full, text));
        }
        if self.by_ticket.contains_key(&ticket) {
            return Err(Denial::new(
                Reason::BadRequest,
                "this secret was given out before",
            ));
        }
        self.by_ticket.insert(ticket, invitation);
        effects.set(&Fact::Invitation(ticket, invitation));
        self.plan_sweep(now);
        Ok(())
    }

    /// The invitation of a ticket, if it still holds.
    pub(super) fn check(&self, now: Moment, ticket: &TicketHash) -> Result<Invitation, Denial> {
        let invitation = self.by_ticket.get(ticket).copied().ok_or_else(|| {
            let text = "the ticket is not known here, or was used up; ask for a new one";
            Denial::new(Reason::BadTicket, text)
        })?;
        if invitation.expires_unix_s <= now.unix_s {
            return Err(Denial::new(
                Reason::Expired,
                "the ticket has expired; ask for a new one",
            ));
        }
        Ok(invitation)
    }

    /// Counts one use of a ticket that was checked.
    pub(super) fn spend(&mut self, ticket: &TicketHash, effects: &mut Effects) {
        let Some(invitation) = self.by_ticket.get_mut(ticket) else {
            return;
        };
        invitation.uses_left -= 1;
        if invitation.uses_left > 0 {
            effects.set(&Fact::Invitation(*ticket, *invitation));
        } else {
            self.by_ticket.remove(ticket);
            effects.remove(&Key::Invitation(*ticket));
        }
    }

    /// Forgets what expired long ago.
    pub(super) fn sweep(&mut self, now: Moment, effects: &mut Effects) {
        if self.sweep_at.is_none_or(|at| now.mono < at) {
            return;
        }
        self.by_ticket.retain(|ticket, invitation| {
            let keep = forget_at(invitation) > now.unix_s;
            if !keep {
                effects.remove(&Key::Invitation(*ticket));
            }
            keep
        });
        self.plan_sweep(now);
    }

    /// Those that hold, soonest to expire first.
    pub(super) fn rows(&self, now: Moment) -> Vec<InvitationRow> {
        let holding = self.by_ticket.values().filter(|i| i.expires_unix_s > now.unix_s);
        let mut rows: Vec<_> = holding.map(row).collect();
        rows.sort_by_key(|row| row.expires_unix_s);
        rows
    }

    fn plan_sweep(&mut self, now: Moment) {
        let first = self.by_ticket.values().map(forget_at).min();
        // A person may set the clock back meanwhile: then the sweep comes early and plans anew.
        self.sweep_at = first.map(|at| {
            now.mono
                .saturating_add(Duration::from_secs(at.saturating_sub(now.unix_s)))
        });
    }
}

fn forget_at(invitation: &Invitation) -> u64 {
    invitation.expires_unix_s.saturating_add(REMEMBERED_S)
}

fn row(invitation: &Invitation) -> InvitationRow {
    InvitationRow {
        role: invitation.role,
        uses_left: invitation.uses_left,
        expires_unix_s: invitation.expires_unix_s,
    }
}

#[cfg(test)]
mod tests {
    use skep_wire::record::Role;

    use super::*;

    const NOW: Moment = Moment {
        mono: Duration::from_secs(5),
        unix_s: 1000,
    };

    fn invitation(uses_left: u32, expires_unix_s: u64) -> Invitation {
        Invitation {
            role: Role::Both,
            uses_left,
            expires_unix_s,
        }
    }

    fn reason(outcome: Result<impl Sized, Denial>) -> Option<Reason> {
        outcome.err().map(|denial| denial.reason)
    }

    #[test]
    fn a_ticket_holds_for_its_uses_and_no_longer() {
        let (mut invitations, mut effects) = (Invitations::new(), Effects::default());
        let ticket = ticket_hash(&Secret([1; 16]));
        invitations
            .add(NOW, ticket, invitation(2, 1010), &mut effects)
            .unwrap();
        invitations.spend(&ticket, &mut effects);
        assert_eq!(invitations.check(NOW, &ticket).unwrap().uses_left, 1);
        invitations.spend(&ticket, &mut effects);
        assert_eq!(reason(invitations.check(NOW, &ticket)), Some(Reason::BadTicket));
        assert_eq!(effects.changes.last(), Some(&Key::Invitation(ticket).removed()));
    }

    #[test]
    fn a_ticket_holds_for_its_time_and_is_then_swept() {
        let (mut invitations, mut effects) = (Invitations::new(), Effects::default());
        let ticket = ticket_hash(&Secret([1; 16]));
        invitations
            .add(NOW, ticket, invitation(2, 1010), &mut effects)
            .unwrap();
        let late = NOW.later(Duration::from_secs(10));
        assert_eq!(reason(invitations.check(late, &ticket)), Some(Reason::Expired));
        assert_eq!(
            (invitations.rows(NOW).len(), invitations.rows(late).len()),
            (1, 0)
        );

        let sweep_at = invitations.next_wakeup().unwrap();
        invitations.sweep(late, &mut effects);
        assert_eq!(invitations.len(), 1);
        let due = NOW.later(sweep_at - NOW.mono);
        invitations.sweep(due, &mut effects);
        assert_eq!((invitations.len(), invitations.next_wakeup()), (0, None));
        assert_eq!(effects.changes.last(), Some(&Key::Invitation(ticket).removed()));
    }

    #[test]
    fn senseless_and_too_many_invitations_are_denied() {
        let (mut invitations, mut effects) = (Invitations::new(), Effects::default());
        let mut add = |number: usize, invitation| {
            let mut ticket = [0; 32];
            ticket[..8].copy_from_slice(&number.to_le_bytes());
            reason(invitations.add(NOW, ticket, invitation, &mut effects))
        };
        assert_eq!(add(0, invitation(0, 1010)), Some(Reason::BadRequest));
        assert_eq!(add(0, invitation(1, 1000)), Some(Reason::BadRequest));
        assert_eq!(add(0, invitation(1, 1010)), None);
        assert_eq!(add(0, invitation(1, 1010)), Some(Reason::BadRequest));
        for number in 1..MAX_INVITATIONS {
            assert_eq!(add(number, invitation(1, 1010)), None);
        }
        assert_eq!(add(MAX_INVITATIONS, invitation(1, 1010)), Some(Reason::Full));
    }
}
