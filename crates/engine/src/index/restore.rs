//! The index of a network whose facts are in a ledger.

use skep_wire::{BlobId, Moment, PeerId, ShareName, Signed, record::ShareRecord};

use super::{
    Change, Config, Index, RestoreError,
    facts::{Fact, Profile, Standing},
    members::Who,
    shares::Placed,
};
use crate::depot;

impl Index {
    /// The index of a network of which these facts are known, ascending by key. Everybody is offline at first.
    ///
    /// A fact about somebody who left, or a content that is not shared any more, means nothing: it is
    /// left over from changes that were committed in part, and the first [`Index::poll`] removes it.
    ///
    /// # Errors
    /// [`RestoreError`] when a fact cannot be read; nothing is guessed.
    pub fn restore(
        config: Config,
        seed: [u8; 32],
        now: Moment,
        facts: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RestoreError> {
        let mut index = Self::new(config, seed, now);
        let mut last = Vec::new();
        for (key, value) in facts {
            let taken = if key <= last {
                Err("it is out of order")
            } else if depot::is_fact(&key) {
                index.depot.restore(&key, &value)
            } else {
                index.take_in(now, Fact::decode(&key, &value)?)
            };
            match taken {
                Ok(true) => {}
                Ok(false) => index.leftovers.push(Change {
                    key: key.clone(),
                    value: None,
                }),
                Err(problem) => return Err(RestoreError { key, problem }),
            }
            last = key;
        }
        Ok(index)
    }

    /// Takes in one fact. Returns whether it means something.
    fn take_in(&mut self, now: Moment, fact: Fact) -> Result<bool, &'static str> {
        match fact {
            Fact::Member(key, member) => {
                let who = self.members.restore(key, member)?;
                self.attendance.add(now, &self.members[who]);
                self.holders.add();
                Ok(true)
            }
            Fact::Revocations(list) => self.members.restore_revocations(list).map(|()| true),
            Fact::Invitation(ticket, invitation) => {
                self.invitations.restore(now, ticket, invitation);
                Ok(true)
            }
            Fact::Profile(key, profile) => Ok(self.take_in_profile(&key, profile)),
            Fact::Share(key, name, record) => self.take_in_share(&key, &name, record),
            Fact::Holding(key, content) => Ok(self.take_in_holding(&key, &content)),
        }
    }

    fn take_in_profile(&mut self, key: &PeerId, profile: Profile) -> bool {
        let who = self.active(key);
        if let Some(who) = who {
            self.attendance[who].profile = Some(profile);
        }
        who.is_some()
    }

    fn take_in_share(
        &mut self,
        key: &PeerId,
        name: &ShareName,
        record: Signed<ShareRecord>,
    ) -> Result<bool, &'static str> {
        let Some(who) = self.active(key) else {
            return Ok(false);
        };
        let said = record.peek().map_err(|_| "its record cannot be read")?;
        if said.publisher != *key || said.name != *name {
            return Err("its record is about something else");
        }
        let (content, withdrawn) = (said.content.id, said.withdrawn);
        match self.shares.place(who, said, record) {
            Ok(Placed::New { no, .. }) if !withdrawn => self.holders.attach(content, no),
            Ok(_) => {}
            Err(_) => return Err("the peer has too many shares"),
        }
        Ok(true)
    }

    fn take_in_holding(&mut self, key: &PeerId, content: &BlobId) -> bool {
        self.active(key)
            .is_some_and(|who| self.holders.list(who, content, true))
    }

    fn active(&self, key: &PeerId) -> Option<Who> {
        let who = self.members.by_key(key)?;
        (self.members[who].standing == Standing::Active).then_some(who)
    }
}
