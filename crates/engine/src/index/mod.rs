//! The coordinator's index: who is in the network, what is shared, who has it, who is there.
//!
//! A pure state machine. [`Index::handle`] takes an [`Event`] and appends to [`Effects`] what is to
//! be committed and then sent; [`Index::poll`] does what is due by time alone. The caller owns
//! clocks, connections and the ledger. Contents and backups are not seen here, only ids and sizes.

mod attending;
mod backups;
mod cards;
mod claims;
mod effect;
mod event;
mod facts;
mod holders;
mod invitations;
mod listing;
mod members;
mod membership;
mod presence;
mod publishing;
mod restore;
mod sessions;
mod shares;
mod table;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use cards::HandedOut;
pub use effect::{Change, CommandReply, Denial, Effects, InvitationRow, Order, Output, Reply};
pub use event::{CallId, Command, Event, OrderId, OrderReply, Request, RequestError, SessionId};
use rand::{Rng, SeedableRng, rngs::StdRng};
use skep_wire::{
    Moment, Signed, SigningKey,
    message::{Done, HeadIs, Reason},
    record::Revocations,
};
use thiserror::Error;

use self::{
    claims::Claims,
    facts::Invitation,
    holders::Holders,
    invitations::Invitations,
    members::Members,
    presence::Attendance,
    sessions::{Pending, Sessions},
    shares::Shares,
};
use crate::depot::{self, Depot, Word};

/// How an index is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Signs grants and revocations. Its public half is the network's id.
    pub network_key: Arc<SigningKey>,
    /// The coordinator's own: signs permits.
    pub coordinator_key: Arc<SigningKey>,
    /// How many peers the network takes.
    pub max_peers: u32,
    /// How often a peer is to be heard from; after three times this it is offline.
    pub heartbeat: Duration,
    /// After how long an offline peer counts as failed.
    pub failed_after: Duration,
    /// How backups are looked after.
    pub backups: depot::Settings,
}

/// A fact from the ledger that cannot be read: the ledger is damaged, or of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the fact {key:02x?} cannot be read: {problem}")]
pub struct RestoreError {
    /// Its key.
    pub key: Vec<u8>,
    /// What is wrong.
    pub problem: &'static str,
}

/// How many there are, for status and logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Peers of the network.
    pub peers: usize,
    /// Of these, online.
    pub online: usize,
    /// Shares that are not withdrawn.
    pub shares: usize,
    /// Contents that some peer has.
    pub contents: usize,
    /// Pairs of a content and a verified holder of all of it, online or not.
    pub holdings: usize,
    /// Invitations that still hold.
    pub invitations: usize,
}

/// The index.
pub struct Index {
    config: Config,
    rng: StdRng,
    sessions: Sessions,
    members: Members,
    invitations: Invitations,
    attendance: Attendance,
    shares: Shares,
    holders: Holders,
    claims: Claims,
    depot: Depot,
    /// Facts that mean nothing any more, to be removed from the ledger.
    leftovers: Vec<Change>,
}

/// A member that asks something, and on which connection.
#[derive(Clone, Copy)]
struct Caller {
    session: SessionId,
    who: members::Who,
}

impl Index {
    /// The index of a new network.
    ///
    /// `seed` decides what is sampled, and how ids are hashed; peers must not be able to guess it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Moment) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            sessions: Sessions::new(),
            members: Members::new(Arc::clone(&config.network_key), config.max_peers),
            invitations: Invitations::new(),
            attendance: Attendance::new(config.heartbeat, config.failed_after),
            shares: Shares::new(),
            holders: Holders::new(rng.random()),
            depot: Depot::new(now, config.backups, rng.random()),
            rng,
            claims: Claims::default(),
            leftovers: Vec::new(),
            config,
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Moment, event: Event, effects: &mut Effects) {
        match event {
            Event::Opened {
                session,
                peer,
                source,
                hello,
            } => self.opened(now, (session, peer, source), &hello, effects),
            Event::Asked {
                session,
                request,
                body,
            } => self.asked(now, session, request, body, effects),
            Event::Answered {
                session,
                order,
                reply,
            } => self.answered(now, session, (order, reply), effects),
            Event::DialedBack { session, reached } => self.dialed_back(session, reached),
            Event::Closed { session } => self.closed(now, session, effects),
            Event::Administered { call, command } => {
                let outcome = self.administer(now, command, effects);
                effects.outputs.push(Output::Administered { call, outcome });
            }
        }
    }

    /// Does what is due by now: marks silent peers offline, sweeps what has expired.
    ///
    /// Events that have arrived are to be handled first: a heartbeat that waits was not missed.
    pub fn poll(&mut self, now: Moment, effects: &mut Effects) {
        self.see_off_silent(now, effects);
        self.invitations.sweep(now, effects);
        self.look_after_backups(now, effects);
        effects.changes.append(&mut self.leftovers);
    }

    /// When, on the monotonic clock, [`Index::poll`] has something to do; none: not before the next event.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        let leftovers = (!self.leftovers.is_empty()).then_some(Duration::ZERO);
        let wakeups = [
            leftovers,
            self.attendance.next_wakeup(),
            self.invitations.next_wakeup(),
            self.depot.next_wakeup(),
        ];
        wakeups.into_iter().flatten().min()
    }

    /// The newest list of revocations; its number goes into the coordinator's hello.
    #[must_use]
    pub fn revocations(&self) -> Option<&Signed<Revocations>> {
        self.members.revocations().0
    }

    /// How many there are of everything.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            peers: self.members.active(),
            online: self.attendance.online(),
            shares: self.shares.live(),
            contents: self.holders.contents(),
            holdings: self.holders.holdings(),
            invitations: self.invitations.len(),
        }
    }

    fn asked(&mut self, now: Moment, session: SessionId, request: u32, body: Request, effects: &mut Effects) {
        let Some(open) = self.sessions.get(session) else {
            return;
        };
        let key = open.key;
        let reply = match (open.who, body) {
            (Some(who), body) => self.request(now, Caller { session, who }, request, body, effects),
            (None, Request::Join(join)) => self
                .join(now, (session, key), join, effects)
                .map(|joined| Some(joined.into())),
            (None, _) => {
                let text = "only members of the network may ask this; join with a ticket";
                Err(Denial::new(Reason::NotAllowed, text))
            }
        };
        match reply {
            Ok(Some(reply)) => effects.reply(session, request, reply),
            Ok(None) => {}
            Err(denial) => effects.reply(session, request, Reply::Refused(denial.into())),
        }
    }

    /// A member asks. No reply means that it comes later.
    fn request(
        &mut self,
        now: Moment,
        caller: Caller,
        request: u32,
        body: Request,
        effects: &mut Effects,
    ) -> Result<Option<Reply>, Denial> {
        self.heard(now, caller);
        Ok(Some(match body {
            Request::Ping(_) => Done {}.into(),
            Request::Join(join) => {
                let key = self.members[caller.who].key;
                self.join(now, (caller.session, key), join, effects)?.into()
            }
            Request::Hold(hold) => return Ok(self.hold(caller, request, hold, effects)?.map(Reply::from)),
            Request::Attend(attend) => self.attend(now, caller, attend, effects)?.into(),
            Request::Heartbeat(heartbeat) => self.heartbeat(caller, &heartbeat)?.into(),
            Request::Publish(publish) => self.publish(caller, publish, effects)?.into(),
            Request::Answers(answers) => self.answers(caller, answers, effects)?.into(),
            Request::Drop(drop) => self.drop_holdings(caller, &drop.contents, effects)?.into(),
            Request::Lookup(lookup) => self.lookup(caller, &lookup)?.into(),
            Request::Find(find) => self.find(caller, &find)?.into(),
            Request::ListPeers(list) => self.list_peers(now, &list).into(),
            Request::Introduce(introduce) => self.introduce(caller, &introduce, effects)?.into(),
            Request::Leave(_) => self.leave(now, caller, effects)?.into(),
            body => return self.backup_request(now, caller, body, effects).map(Some),
        }))
    }

    /// A member asks something about backups, or what only the coordinator's own host may.
    fn backup_request(
        &mut self,
        now: Moment,
        caller: Caller,
        body: Request,
        effects: &mut Effects,
    ) -> Result<Reply, Denial> {
        let device = self.members[caller.who].key;
        Ok(match body {
            Request::Plan(plan) => self.plan(now, caller, &plan)?.into(),
            Request::ShardFailed(failed) => self.shard_failed(now, caller, &failed)?.into(),
            Request::Held(held) => self.held(now, caller, held, effects)?.into(),
            Request::Returned(returned) => self.returned(caller, &returned, effects).into(),
            Request::Reported(_) => self.reported(caller, effects).into(),
            Request::Lost(lost) => self.lost(now, caller, &lost, effects).into(),
            Request::Release(release) => self.depot.release(now, device, &release).into(),
            Request::Keepers(keepers) => self.keepers(caller, &keepers)?.into(),
            Request::GiveUp(give) => {
                self.depot.give_up(&device, &give.pack, &mut effects.changes)?;
                Done {}.into()
            }
            Request::Locate(locate) => self.locate(caller, &locate)?.into(),
            Request::ListPacks(list) => self.depot.list_packs(&device, &list)?.into(),
            Request::Health(health) => self.depot.health(&device, &health)?.into(),
            Request::WhoKeeps(who) => self.who_keeps(now, caller, &who)?.into(),
            Request::ListCondemned(list) => self.depot.sentences(&device, &list)?.into(),
            Request::KeepRoster(keep) => self.keep_roster(keep, effects)?.into(),
            Request::KeepHead(keep) => {
                self.depot.keep_head(keep.head, &mut effects.changes)?;
                Done {}.into()
            }
            Request::OwnerState(state) => self.depot.owner_state(&state.owner).into(),
            Request::GetHead(get) => {
                let head = self.depot.head(&get.owner, &get.device)?;
                HeadIs { head }.into()
            }
            Request::Condemn(condemn) => self.keep_word(Word::Condemned(condemn.word), effects)?.into(),
            Request::Pardon(pardon) => self.keep_word(Word::Pardoned(pardon.word), effects)?.into(),
            _ => {
                let text = "peers are revoked on the coordinator's own host";
                return Err(Denial::new(Reason::NotAllowed, text));
            }
        })
    }

    fn answered(
        &mut self,
        now: Moment,
        session: SessionId,
        (order, reply): (OrderId, OrderReply),
        effects: &mut Effects,
    ) {
        match self.sessions.answered(session, order) {
            Some((who, Pending::Triples(content))) => self.triples_came(who, content, reply, effects),
            Some((who, pending)) => self.backup_answered(now, who, (pending, reply), effects),
            None => {}
        }
    }

    fn administer(
        &mut self,
        now: Moment,
        command: Command,
        effects: &mut Effects,
    ) -> Result<CommandReply, Denial> {
        match command {
            Command::Invite {
                secret,
                role,
                uses,
                lifetime_s,
            } => {
                let expires_unix_s = now.unix_s.saturating_add(lifetime_s);
                let invitation = Invitation {
                    role,
                    uses_left: uses,
                    expires_unix_s,
                };
                let ticket = invitations::ticket_hash(&secret);
                self.invitations.add(now, ticket, invitation, effects)?;
                Ok(CommandReply::Invited { expires_unix_s })
            }
            Command::ListInvitations => Ok(CommandReply::Invitations(self.invitations.rows(now))),
            Command::Revoke { name } => {
                self.revoke(now, &name, effects)?;
                Ok(CommandReply::Revoked)
            }
        }
    }
}
