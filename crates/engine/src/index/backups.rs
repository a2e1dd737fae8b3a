//! Backups as the index sees them: who asks, who is there, and what goes out. What it means is [`crate::depot`]'s.

use std::collections::BTreeSet;

use rand::Rng;
use skep_wire::{
    Moment, OwnerId, PackId, PeerId, Signed,
    backup::Permit,
    message::{
        Condemn, Done, Held, Holder, Instead, KeepRoster, Keeper, Keepers, KeepersAre, KeptBy, Locate,
        Located, Lost, Pardon, Plan, Planned, Presence, ProveShard, Reason, Rebuild, Returned, ShardFailed,
        ShardSource, ShardsKnown, WhoKeeps,
    },
    record::Role,
};

use super::{Caller, Denial, Effects, Index, OrderReply, members::Who, sessions::Pending};
use crate::{
    depot::{Depot, Question, Rebuilding, Told, Word},
    placement::Candidate,
};

/// How long a permit to read for a rebuild holds.
const PERMIT_S: u64 = 3600;
/// Rebuilds and audits that are ordered at once.
const AT_ONCE: usize = 32;
/// The most peers that are told to keep something.
const MAX_KEEPERS: usize = 2048;

impl Index {
    /// Where shall new packs go?
    pub(super) fn plan(&mut self, now: Moment, caller: Caller, plan: &Plan) -> Result<Planned, Denial> {
        let candidates = self.candidates_to_keep(now, &self.depot);
        let (device, seed) = (self.members[caller.who].key, self.rng.random());
        let placed = self.depot.plan(now, &device, plan, candidates, seed)?;
        let named: BTreeSet<PeerId> = placed
            .packs
            .iter()
            .flat_map(|pack| &pack.holders)
            .copied()
            .collect();
        Ok(Planned {
            scheme: placed.scheme,
            fragile: placed.is_fragile,
            holders: named.iter().filter_map(|peer| self.whereabouts(peer)).collect(),
            packs: placed.packs,
        })
    }

    /// A planned shard could not be brought to its holder.
    pub(super) fn shard_failed(
        &mut self,
        now: Moment,
        caller: Caller,
        failed: &ShardFailed,
    ) -> Result<Instead, Denial> {
        let candidates = self.candidates_to_keep(now, &self.depot);
        let (device, seed) = (self.members[caller.who].key, self.rng.random());
        let peer = self.depot.shard_failed(now, &device, failed, &candidates, seed)?;
        let gone = || Denial::new(Reason::NoRoom, "the holder is gone");
        let holder = self.whereabouts(&peer).ok_or_else(gone)?;
        Ok(Instead { holder })
    }

    /// A peer keeps shards.
    pub(super) fn held(
        &mut self,
        now: Moment,
        caller: Caller,
        held: Held,
        effects: &mut Effects,
    ) -> Result<Done, Denial> {
        let member = &self.members[caller.who];
        if member.role == Role::Owner {
            let text = "your role does not let you keep what others back up";
            return Err(Denial::new(Reason::NotAllowed, text));
        }
        let (peer, before) = (member.key, self.depot.owners_at(&member.key));
        let mut outcome = Ok(Done {});
        for shard in held.shards {
            // One that does not count keeps none of the others from being noted.
            if let Err(denial) = self.depot.held(now, peer, shard, &mut effects.changes) {
                outcome = Err(denial);
            }
        }
        for owner in self.depot.owners_at(&peer).difference(&before) {
            self.pass_on(caller.who, *owner, effects);
        }
        outcome
    }

    /// A peer is back with what it keeps.
    pub(super) fn returned(
        &mut self,
        caller: Caller,
        returned: &Returned,
        effects: &mut Effects,
    ) -> ShardsKnown {
        let peer = self.members[caller.who].key;
        let known = self.depot.returned(peer, &returned.shards);
        for owner in self.depot.owners_at(&peer) {
            self.pass_on(caller.who, owner, effects);
        }
        ShardsKnown { known }
    }

    /// A peer has told all that it keeps.
    pub(super) fn reported(&mut self, caller: Caller, effects: &mut Effects) -> Done {
        let peer = self.members[caller.who].key;
        self.depot.reported(peer, &mut effects.changes);
        Done {}
    }

    /// A peer does not keep these any more, or could not rebuild them.
    pub(super) fn lost(&mut self, now: Moment, caller: Caller, lost: &Lost, effects: &mut Effects) -> Done {
        let peer = self.members[caller.who].key;
        for shard in &lost.shards {
            self.depot.lost(peer, *shard, &mut effects.changes);
            self.depot.not_rebuilt(now, &peer, &shard.pack);
        }
        Done {}
    }

    /// Who else keeps something of an owner?
    pub(super) fn keepers(&self, caller: Caller, asked: &Keepers) -> Result<KeepersAre, Denial> {
        let asker = self.members[caller.who].key;
        if !self.depot.owners_at(&asker).contains(&asked.owner) {
            let text = "you keep nothing of this owner";
            return Err(Denial::new(Reason::NotAllowed, text));
        }
        let all = self.depot.keepers_of(&asked.owner);
        let others = all.iter().filter(|peer| **peer != asker && self.is_online(peer));
        let holders = others.filter_map(|peer| self.whereabouts(peer));
        Ok(KeepersAre {
            holders: holders.take(MAX_SOURCES).collect(),
        })
    }

    /// Who has these packs?
    pub(super) fn locate(&self, caller: Caller, locate: &Locate) -> Result<Located, Denial> {
        let packs = self.depot.locate(&self.members[caller.who].key, locate)?;
        let named: BTreeSet<PeerId> = packs
            .iter()
            .flat_map(|pack| &pack.held)
            .map(|at| at.peer)
            .collect();
        let online = named.iter().filter(|peer| self.is_online(peer));
        Ok(Located {
            holders: online.filter_map(|peer| self.whereabouts(peer)).collect(),
            packs,
        })
    }

    /// Who keeps something of these packs?
    pub(super) fn who_keeps(&self, now: Moment, caller: Caller, who: &WhoKeeps) -> Result<KeptBy, Denial> {
        let keepers = self.depot.who_keeps(&self.members[caller.who].key, who)?;
        let row = |peer: PeerId| {
            let who = self.members.by_key(&peer)?;
            Some(Keeper {
                peer,
                name: self.members[who].name.clone(),
                presence: self.attendance.presence(now, who).0,
            })
        };
        let keepers = keepers.into_iter().filter_map(row).take(MAX_KEEPERS).collect();
        Ok(KeptBy { keepers })
    }

    /// A roster: its holders that are there are told.
    pub(super) fn keep_roster(&mut self, keep: KeepRoster, effects: &mut Effects) -> Result<Done, Denial> {
        let news = self.depot.keep_roster(keep.roster, &mut effects.changes)?;
        let Some((owner, roster)) = news.and_then(|owner| Some((owner, self.depot.roster(&owner)?))) else {
            return Ok(Done {});
        };
        for peer in self.depot.keepers_of(&owner) {
            let order = KeepRoster {
                roster: roster.clone(),
            };
            if let Some(session) = self.session_of(&peer) {
                self.sessions.order(session, order, Pending::Roster, effects);
            }
        }
        Ok(Done {})
    }

    /// What an owner says about deletion: its holders that are there are told.
    pub(super) fn keep_word(&mut self, word: Word, effects: &mut Effects) -> Result<Done, Denial> {
        if let Some(owner) = self.depot.keep_word(word, &mut effects.changes)? {
            for peer in self.depot.keepers_of(&owner) {
                if let Some(who) = self.members.by_key(&peer) {
                    self.pass_on(who, owner, effects);
                }
            }
        }
        Ok(Done {})
    }

    /// Tells a holder the next word of an owner that it has not been told; the others follow its answer.
    pub(super) fn pass_on(&mut self, who: Who, owner: OwnerId, effects: &mut Effects) {
        let Some(session) = self.attendance.session(who) else {
            return;
        };
        let Some((number, word)) = self.depot.next_word(&self.members[who].key, &owner) else {
            return;
        };
        let pending = Pending::Word { owner, number };
        match word {
            Word::Condemned(word) => self.sessions.order(session, Condemn { word }, pending, effects),
            Word::Pardoned(word) => self.sessions.order(session, Pardon { word }, pending, effects),
        };
    }

    /// A holder answered an order about backups, or never will.
    pub(super) fn backup_answered(
        &mut self,
        now: Moment,
        who: Option<Who>,
        (pending, reply): (Pending, OrderReply),
        effects: &mut Effects,
    ) {
        match (pending, reply) {
            (Pending::Word { owner, number }, OrderReply::Done) => {
                if let Some(who) = who {
                    self.depot.told_word(self.members[who].key, owner, number);
                    self.pass_on(who, owner, effects);
                }
            }
            (Pending::Rebuild(pack), OrderReply::Failed | OrderReply::Gone) => {
                self.depot.rebuild_failed(now, pack)
            }
            (Pending::Audit(question), reply) => {
                let told = match reply {
                    OrderReply::Proof(proof) => Told::Proof(proof),
                    OrderReply::Gone => Told::Gone,
                    _ => Told::Nothing,
                };
                self.depot.audited(now, &question, told, &mut effects.changes);
            }
            _ => {}
        }
    }

    /// Orders what is due: rebuilds and audits.
    pub(super) fn look_after_backups(&mut self, now: Moment, effects: &mut Effects) {
        self.depot.give_up_overdue(now);
        self.depot.end_leases(now);
        for _ in 0..AT_ONCE {
            let seed = self.rng.random();
            let rest = (&self.members, &self.attendance);
            let next = self
                .depot
                .next_rebuild(now, |depot| candidates(now, rest.0, rest.1, depot), seed);
            let Some(rebuilding) = next else { break };
            let ordered = self.order_rebuild(now, &rebuilding, effects);
            self.depot.rebuild_ordered(now, &rebuilding, ordered);
        }
        let nonce = self.rng.random();
        let (members, attendance) = (&self.members, &self.attendance);
        let is_online = |peer: &PeerId| {
            let who = members.by_key(peer);
            who.is_some_and(|who| attendance.session(who).is_some())
        };
        for question in self.depot.due_audit(now, || nonce, is_online) {
            self.order_audit(question, effects);
        }
    }

    fn order_rebuild(&mut self, now: Moment, rebuilding: &Rebuilding, effects: &mut Effects) -> bool {
        let Some(target) = rebuilding.target else {
            return false;
        };
        let Some(session) = self.session_of(&target) else {
            return false;
        };
        let need = &rebuilding.need;
        let sources = need.sources.iter().filter_map(|(shard, peer)| {
            Some(ShardSource {
                shard: *shard,
                holder: self.whereabouts(peer)?,
            })
        });
        let order = Rebuild {
            record: rebuilding.record.clone(),
            shard: need.shard,
            sources: sources.take(MAX_SOURCES).collect(),
            permit: self.permit(now, rebuilding.owner, need.pack, target),
        };
        self.sessions
            .order(session, order, Pending::Rebuild(need.pack), effects)
    }

    fn permit(&self, now: Moment, owner: OwnerId, pack: PackId, reader: PeerId) -> Signed<Permit> {
        let permit = Permit {
            network: self.members.network(),
            owner,
            pack,
            reader,
            expires_unix_s: now.unix_s.saturating_add(PERMIT_S),
        };
        Signed::new(&permit, &self.config.coordinator_key)
    }

    fn order_audit(&mut self, question: Question, effects: &mut Effects) {
        let order = ProveShard {
            owner: question.owner,
            shard: question.shard,
            leaf: question.leaf,
        };
        if let Some(session) = self.session_of(&question.peer) {
            self.sessions
                .order(session, order, Pending::Audit(question), effects);
        }
    }

    fn candidates_to_keep(&self, now: Moment, depot: &Depot) -> Vec<Candidate> {
        candidates(now, &self.members, &self.attendance, depot)
    }

    fn is_online(&self, peer: &PeerId) -> bool {
        self.session_of(peer).is_some()
    }

    /// A peer as others are told of it.
    fn whereabouts(&self, peer: &PeerId) -> Option<Holder> {
        let who = self.members.by_key(peer)?;
        Some(Holder {
            peer: *peer,
            name: self.members[who].name.clone(),
            address: self.attendance[who].proven_address().cloned(),
            complete: true,
        })
    }
}

/// The most sources of a rebuild that are told.
const MAX_SOURCES: usize = skep_wire::backup::Scheme::MAX_SHARDS;

/// All peers that may be asked to keep something, there or not.
fn candidates(
    now: Moment,
    members: &super::members::Members,
    attendance: &super::Attendance,
    depot: &Depot,
) -> Vec<Candidate> {
    let known = members.since(None).filter_map(|who| {
        let (member, row) = (&members[who], &attendance[who]);
        let profile = row.profile.as_ref()?;
        let failed = attendance.presence(now, who).0 == Presence::Failed;
        let free = depot.free_bytes(&member.key, profile.capacity_bytes, profile.used_bytes);
        (member.role != Role::Owner && !failed).then(|| Candidate {
            peer: member.key,
            role: member.role,
            site: profile.site.clone().map(String::into_boxed_str),
            online: attendance.session(who).is_some(),
            free_bytes: free,
            availability_permille: 1000,
        })
    });
    known.collect()
}
