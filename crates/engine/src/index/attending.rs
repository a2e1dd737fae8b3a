//! Peers come, beat and go: what changes with it for them and for what they hold.

use skep_wire::{
    Moment, PeerId,
    message::{Attend, Dial, Done, Endpoint, Heartbeat, HeartbeatSeen, Introduce, Reason, Welcome},
};

use super::{
    Caller, Denial, Effects, Index, OrderReply, Output, SessionId,
    facts::{Fact, Key, Profile},
    members::Who,
    sessions::Pending,
};

/// The most bytes of a host name.
const MAX_HOST_BYTES: usize = 255;

/// The most bytes of a site.
const MAX_SITE_BYTES: usize = 64;

impl Index {
    /// A peer says: here I am. A connection on which it attended before is closed.
    pub(super) fn attend(
        &mut self,
        now: Moment,
        caller: Caller,
        attend: Attend,
        effects: &mut Effects,
    ) -> Result<Welcome, Denial> {
        check_attend(&attend)?;
        let Caller { session, who } = caller;
        self.replace_session(now, caller, effects);
        self.come(now, who);
        let holdings_known = self.reconcile(who, &attend.holdings, effects);
        let address = self.address(session, &attend);
        if let Some(address) = self.attendance.listens(who, &self.members[who], address) {
            effects.outputs.push(Output::DialBack { session, address });
        }
        let profile = Profile {
            capacity_bytes: attend.capacity_bytes,
            used_bytes: attend.used_bytes,
            site: attend.site,
            last_seen_unix_s: now.unix_s,
        };
        effects.set(&Fact::Profile(self.members[who].key, profile.clone()));
        let before = self.attendance[who].profile.replace(profile);
        let member = &self.members[who];
        Ok(Welcome {
            name: member.name.clone(),
            returning: member.returning || before.is_some(),
            heartbeat_ms: u32::try_from(self.config.heartbeat.as_millis()).unwrap_or(u32::MAX),
            holdings_known,
        })
    }

    /// A peer says: still here.
    pub(super) fn heartbeat(
        &mut self,
        caller: Caller,
        heartbeat: &Heartbeat,
    ) -> Result<HeartbeatSeen, Denial> {
        let row = &mut self.attendance[caller.who];
        let Some(profile) = row
            .profile
            .as_mut()
            .filter(|_| row.session == Some(caller.session))
        else {
            let text = "attend on this connection first";
            return Err(Denial::new(Reason::BadRequest, text));
        };
        profile.used_bytes = heartbeat.used_bytes;
        Ok(HeartbeatSeen {
            reachable: row.reachable,
            address: row.address.clone(),
        })
    }

    /// A member was heard of on a connection; if it attends there, it is online, even if it was silent for long.
    pub(super) fn heard(&mut self, now: Moment, caller: Caller) {
        if self.attendance[caller.who].session == Some(caller.session) {
            self.come(now, caller.who);
        }
    }

    /// A peer was dialled back.
    pub(super) fn dialed_back(&mut self, session: SessionId, reached: bool) {
        let who = self.sessions.get(session).and_then(|session| session.who);
        if let Some(who) = who.filter(|who| self.attendance[*who].session == Some(session)) {
            self.attendance.dialed_back(who, &self.members[who], reached);
        }
    }

    /// A peer that cannot dial another asks that one to dial it.
    pub(super) fn introduce(
        &mut self,
        caller: Caller,
        introduce: &Introduce,
        effects: &mut Effects,
    ) -> Result<Done, Denial> {
        let Some(address) = self.attendance[caller.who].proven_address().cloned() else {
            let text = "nobody can dial you, so nobody can be asked to";
            return Err(Denial::new(Reason::BadRequest, text));
        };
        let peer = self.members[caller.who].key;
        let session = self.session_of(&introduce.peer).ok_or_else(|| {
            let text = "that peer is not online";
            Denial::new(Reason::NotFound, text)
        })?;
        let dial = Dial { peer, address };
        if self.sessions.order(session, dial, Pending::Dial, effects) {
            return Ok(Done {});
        }
        let text = "that peer is asked to dial too many others";
        Err(Denial::new(Reason::Busy, text))
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, now: Moment, session: SessionId, effects: &mut Effects) {
        let Some((who, pending)) = self.sessions.close(session) else {
            return;
        };
        self.claims.close(session);
        if let Some(who) = who.filter(|who| self.attendance[*who].session == Some(session)) {
            self.attendance[who].session = None;
            self.went(now, who, effects);
            self.settle_doubts(who, effects);
        }
        for pending in pending {
            match pending {
                Pending::Triples(content) => self.triples_came(None, content, OrderReply::Failed, effects),
                pending => self.backup_answered(now, None, (pending, OrderReply::Gone), effects),
            }
        }
    }

    /// Those that were silent for three heartbeats are offline.
    pub(super) fn see_off_silent(&mut self, now: Moment, effects: &mut Effects) {
        for who in self.attendance.silent(now) {
            self.went(now, who, effects);
        }
    }

    /// A member is not there any more.
    pub(super) fn went(&mut self, now: Moment, who: Who, effects: &mut Effects) {
        let Some(profile) = self.attendance.go(now, who) else {
            return;
        };
        self.holders.go(who);
        self.depot.offline(now, self.members[who].key);
        effects.set(&Fact::Profile(self.members[who].key, profile));
    }

    fn come(&mut self, now: Moment, who: Who) {
        if self.attendance.come(now, who) {
            self.holders.come(who);
            self.depot.online(now, self.members[who].key);
        }
    }

    fn replace_session(&mut self, now: Moment, caller: Caller, effects: &mut Effects) {
        let before = self.attendance[caller.who].session;
        if let Some(before) = before.filter(|before| *before != caller.session) {
            self.closed(now, before, effects);
            let text = "this peer attends on a newer connection";
            effects.close(before, Denial::new(Reason::Changed, text));
        }
        self.attendance[caller.who].session = Some(caller.session);
    }

    /// Whether what the peer has is what is listed; if not, all of it is doubted until it says what it has.
    fn reconcile(&mut self, who: Who, digest: &[u8; 32], effects: &mut Effects) -> bool {
        self.settle_doubts(who, effects);
        let same = self.holders.digest(who) == *digest;
        if !same {
            self.holders.doubt(who);
        }
        same
    }

    fn settle_doubts(&mut self, who: Who, effects: &mut Effects) {
        for content in self.holders.settle_doubts(who) {
            effects.remove(&Key::Holding(self.members[who].key, content));
        }
    }

    fn address(&self, session: SessionId, attend: &Attend) -> Option<Endpoint> {
        let source = self.sessions.get(session)?.source;
        let host = attend.advertise.clone().unwrap_or_else(|| source.to_string());
        let port = attend.listen_port;
        (port != 0).then_some(Endpoint { host, port })
    }

    pub(super) fn session_of(&self, peer: &PeerId) -> Option<SessionId> {
        self.attendance.session(self.members.by_key(peer)?)
    }
}

fn check_attend(attend: &Attend) -> Result<(), Denial> {
    let bad = |text: &str| Err(Denial::new(Reason::BadRequest, text));
    if attend.advertise.as_deref().is_some_and(|host| !is_host(host)) {
        return bad("the host to advertise is not a host name or address");
    }
    if attend
        .site
        .as_ref()
        .is_some_and(|site| site.len() > MAX_SITE_BYTES)
    {
        return bad("a site has at most 64 bytes");
    }
    Ok(())
}

fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}
