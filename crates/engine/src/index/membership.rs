//! Coming into the network and out of it: hellos, tickets, leaving, revoking.

use std::net::IpAddr;

use skep_wire::{
    Moment, PeerId, PeerName,
    message::{Done, Hello, Join, Joined, Reason},
    record::Role,
};

use super::{
    Caller, Denial, Effects, Index, SessionId,
    facts::{Invitation, Key, Standing, TicketHash},
    invitations::ticket_hash,
    members::Who,
};

impl Index {
    /// A connection opens. A valid grant makes it a member's, none a stranger's; a bad one closes it.
    pub(super) fn opened(
        &mut self,
        now: Moment,
        (session, key, source): (SessionId, PeerId, IpAddr),
        hello: &Hello,
        effects: &mut Effects,
    ) {
        let who = match &hello.grant {
            None => None,
            Some(grant) => match self.members.check(now, key, grant) {
                Ok(who) => Some(who),
                Err(denial) => return effects.close(session, denial),
            },
        };
        self.sessions.open(session, key, source, who);
        let (list, number) = self.members.revocations();
        if let Some(list) = list.filter(|_| who.is_some() && hello.revocations < number) {
            effects.notify(session, list.clone());
        }
    }

    /// Somebody shows a ticket.
    pub(super) fn join(
        &mut self,
        now: Moment,
        (session, key): (SessionId, PeerId),
        join: Join,
        effects: &mut Effects,
    ) -> Result<Joined, Denial> {
        let ticket = ticket_hash(&join.secret);
        let known = self.members.by_key(&key);
        let who = match known.filter(|who| self.joined_with(*who, &ticket)) {
            Some(who) => who,
            None => self.admit(now, key, (join, ticket), effects)?,
        };
        self.sessions.belongs_to(session, Some(who));
        let member = &self.members[who];
        Ok(Joined {
            grant: member.grant.clone(),
            returning: member.returning,
        })
    }

    /// A member leaves for good. Its connection is a stranger's from then on.
    pub(super) fn leave(
        &mut self,
        now: Moment,
        caller: Caller,
        effects: &mut Effects,
    ) -> Result<Done, Denial> {
        self.dismiss(now, caller.who, Standing::Left, effects)?;
        self.sessions.belongs_to(caller.session, None);
        self.claims.close(caller.session);
        let left = Denial::new(Reason::NotAllowed, "this peer has left the network");
        self.close_all(now, caller.who, &left, effects);
        Ok(Done {})
    }

    /// A member must not be trusted any more.
    pub(super) fn revoke(
        &mut self,
        now: Moment,
        name: &PeerName,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        let who = self.members.by_name(name).ok_or_else(|| {
            let text = format!("there is no peer {name} in the network");
            Denial::new(Reason::NotFound, text)
        })?;
        self.dismiss(now, who, Standing::Revoked, effects)?;
        let revoked = Denial::new(Reason::Revoked, "this peer was revoked from the network");
        self.close_all(now, who, &revoked, effects);
        Ok(())
    }

    /// Whether this is the ticket that the member joined with: then its reply was lost, and it asks again.
    fn joined_with(&self, who: Who, ticket: &TicketHash) -> bool {
        let member = &self.members[who];
        member.standing == Standing::Active && member.ticket == *ticket
    }

    fn admit(
        &mut self,
        now: Moment,
        key: PeerId,
        (join, ticket): (Join, TicketHash),
        effects: &mut Effects,
    ) -> Result<Who, Denial> {
        let known = self.members.by_key(&key);
        if known.is_some_and(|who| self.members[who].standing == Standing::Revoked) {
            let text = "this key was revoked from the network";
            return Err(Denial::new(Reason::Revoked, text));
        }
        let invitation = self.invitations.check(now, &ticket)?;
        let role = join.role.unwrap_or(invitation.role);
        check_role(&invitation, role)?;
        let (_, revocations_before) = self.members.revocations();
        let who = match known {
            Some(who) => self.members.readmit(who, role, ticket, effects).map(|()| who),
            None => self.members.admit(key, join.name, role, ticket, effects),
        }?;
        self.invitations.spend(&ticket, effects);
        if known.is_none() {
            self.attendance.add(now, &self.members[who]);
            self.holders.add();
        }
        if self.members.revocations().1 > revocations_before {
            self.tell_revocations(effects);
        }
        Ok(who)
    }

    /// Ends a membership: all that the member shared and held is forgotten, and everybody is told.
    fn dismiss(
        &mut self,
        now: Moment,
        who: Who,
        standing: Standing,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        self.members.dismiss(who, standing, effects)?;
        let key = self.members[who].key;
        for (name, share, content) in self.shares.forget(who) {
            effects.remove(&Key::Share(key, &name));
            if let Some(content) = content {
                self.detach(&content, share, effects);
            }
        }
        for content in self.holders.unlist_all(who) {
            effects.remove(&Key::Holding(key, content));
        }
        self.went(now, who, effects);
        self.depot.gone(now, key, &mut effects.changes);
        self.attendance.forget(who);
        effects.remove(&Key::Profile(key));
        self.tell_revocations(effects);
        Ok(())
    }

    fn close_all(&mut self, now: Moment, who: Who, denial: &Denial, effects: &mut Effects) {
        for session in self.sessions.of(who) {
            self.closed(now, session, effects);
            effects.close(session, denial.clone());
        }
    }

    fn tell_revocations(&self, effects: &mut Effects) {
        let (Some(list), _) = self.members.revocations() else {
            return;
        };
        for session in self.sessions.of_members() {
            effects.notify(session, list.clone());
        }
    }
}

fn check_role(invitation: &Invitation, wanted: Role) -> Result<(), Denial> {
    if invitation.role.allows(wanted) {
        return Ok(());
    }
    let text = "the ticket does not allow this role; ask for a wider one";
    Err(Denial::new(Reason::RoleTooWide, text))
}
