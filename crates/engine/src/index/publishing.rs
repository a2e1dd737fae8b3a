//! Shares come, change and go, and with them the contents that are known.

use skep_wire::{
    BlobId, Signed,
    message::{Done, Publish, Reason},
    record::{Role, ShareRecord},
};

use super::{
    Caller, Denial, Effects, Index,
    facts::{Fact, Key},
    shares::{self, Placed, ShareNo},
};

/// The most triples beside a record.
const MAX_TRIPLES: usize = 8;

impl Index {
    /// A member says what a name of its own means. Saying the same again changes nothing and is no error.
    pub(super) fn publish(
        &mut self,
        caller: Caller,
        publish: Publish,
        effects: &mut Effects,
    ) -> Result<Done, Denial> {
        let Publish { record, triples } = publish;
        if triples.len() > MAX_TRIPLES {
            let text = format!("at most {MAX_TRIPLES} triples come with a record");
            return Err(Denial::new(Reason::BadRequest, text));
        }
        let said = self.open_record(caller, &record)?;
        let (name, content, withdrawn) = (said.name.clone(), said.content.id, said.withdrawn);
        let placed = self.shares.place(caller.who, said, record.clone())?;
        if let Placed::New { no, before } = placed {
            effects.set(&Fact::Share(self.members[caller.who].key, name, record));
            self.means(no, before, (!withdrawn).then_some(content), effects);
        }
        if !withdrawn {
            self.believe_publisher(caller.who, &content, triples, effects);
        }
        Ok(Done {})
    }

    /// A share means something else from now on.
    fn means(
        &mut self,
        share: ShareNo,
        before: Option<BlobId>,
        after: Option<BlobId>,
        effects: &mut Effects,
    ) {
        if before == after {
            return;
        }
        if let Some(after) = after {
            self.holders.attach(after, share);
        }
        if let Some(before) = before {
            self.detach(&before, share, effects);
        }
    }

    /// A share does not mean this content any more; a content that no share means is forgotten.
    pub(super) fn detach(&mut self, content: &BlobId, share: ShareNo, effects: &mut Effects) {
        for who in self.holders.detach(content, share) {
            effects.remove(&Key::Holding(self.members[who].key, *content));
        }
    }

    /// The record, if the caller may say it.
    fn open_record(&self, caller: Caller, record: &Signed<ShareRecord>) -> Result<ShareRecord, Denial> {
        let member = &self.members[caller.who];
        let unreadable = |_| Denial::new(Reason::BadRequest, "the record cannot be read");
        let said = record.peek().map_err(unreadable)?;
        if said.publisher != member.key || said.network != self.members.network() {
            let text = "the record is of another publisher or network";
            return Err(Denial::new(Reason::NotAllowed, text));
        }
        if record.open(&member.key.0).is_err() {
            let text = "the record's signature is wrong";
            return Err(Denial::new(Reason::NotAllowed, text));
        }
        if member.role == Role::Storage {
            let text = "a storage peer keeps what others back up and shares nothing";
            return Err(Denial::new(Reason::NotAllowed, text));
        }
        shares::check(&said)?;
        Ok(said)
    }
}
