//! What peers ask for: who has a content, which shares there are, who is in the network.
//!
//! Nobody learns of a share that is not for them, nor of its content or holders.

use skep_wire::{
    BlobId, Moment, PeerName, ShareName,
    message::{Find, ListPeers, Listed, Lookup, Message, PeerRow, Peers, Query, Reason, Shares},
};

use super::{Caller, Denial, HandedOut, Index, holders::Content, members::Who, shares::Share};

/// The most shares on a page.
const PAGE_SHARES: usize = 200;

/// The most bytes of a page of shares: what its message takes, less its other fields.
const PAGE_BYTES: usize = Shares::LIMIT as usize - 16;

/// The most peers on a page.
const PAGE_PEERS: usize = 500;

/// The most words of a query.
const MAX_WORDS: usize = 16;

/// The most bytes of a word.
const MAX_WORD_BYTES: usize = 255;

impl Index {
    /// Who has this? Only for those who may see some share of it.
    pub(super) fn lookup(&mut self, caller: Caller, lookup: &Lookup) -> Result<HandedOut, Denial> {
        let known = self.holders.no(&lookup.content);
        let visible = known.filter(|no| self.is_for(caller.who, &self.holders[*no]));
        let no = visible.ok_or_else(|| {
            let text = "nothing with this id is shared with you";
            Denial::new(Reason::NotFound, text)
        })?;
        let mut handed_out = HandedOut::with_room(self.holders[no].on_offer());
        self.holders.hand_out(no, caller.who, |who, complete| {
            handed_out.push(self.attendance.card(who), complete);
        });
        Ok(handed_out)
    }

    /// Which shares are there?
    pub(super) fn find(&self, caller: Caller, find: &Find) -> Result<Shares, Denial> {
        let words = words(&find.query)?;
        let after = find.after.as_ref();
        let wanted = |share: &Share| {
            let publisher = &self.members[share.publisher].name;
            let is_after = after.is_none_or(|(last, name)| (publisher, &share.name) > (last, name));
            is_after && matches(publisher, &share.name, words)
        };
        let asker = &self.members[caller.who].key;
        let found = self.candidates(&find.query, after);
        Ok(self.page(found.filter(|share| share.is_for(caller.who, asker) && wanted(share))))
    }

    /// Who is in the network?
    pub(super) fn list_peers(&self, now: Moment, list: &ListPeers) -> Peers {
        let after = list.after.as_ref();
        let mut left = self
            .members
            .since(after)
            .filter(|who| Some(&self.members[*who].name) != after);
        let peers = left
            .by_ref()
            .take(PAGE_PEERS)
            .map(|who| self.peer_row(now, who))
            .collect();
        let more = left.next().is_some();
        Peers { peers, more }
    }

    /// Whether some share of this content is for the member.
    pub(super) fn may_see(&self, who: Who, content: &BlobId) -> bool {
        let known = self.holders.find(content);
        known.is_some_and(|content| self.is_for(who, content))
    }

    fn is_for(&self, who: Who, content: &Content) -> bool {
        let key = &self.members[who].key;
        content
            .shares
            .iter()
            .any(|share| self.shares[*share].is_for(who, key))
    }

    /// Those who can be meant, ordered by publisher and name, from the publisher of `after` on.
    fn candidates<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a (PeerName, ShareName)>,
    ) -> Box<dyn Iterator<Item = &'a Share> + 'a> {
        match query {
            Query::All | Query::Words(_) => Box::new(self.all_shares(after)),
            Query::Name { publisher, name } => {
                let publishers: Box<dyn Iterator<Item = Who>> = match publisher {
                    Some(publisher) => Box::new(self.members.by_name(publisher).into_iter()),
                    None => self.members.since(after.map(|(publisher, _)| publisher)),
                };
                Box::new(publishers.filter_map(|who| self.shares.get(who, name)))
            }
            Query::Id(content) => Box::new(self.shares_of(content).into_iter()),
        }
    }

    fn all_shares<'a>(&'a self, after: Option<&'a (PeerName, ShareName)>) -> impl Iterator<Item = &'a Share> {
        let (publisher, name) = after.map_or((None, None), |(publisher, name)| (Some(publisher), Some(name)));
        self.members.since(publisher).flat_map(move |who| {
            let after = name.filter(|_| publisher == Some(&self.members[who].name));
            self.shares.of(who, after)
        })
    }

    fn shares_of(&self, content: &BlobId) -> Vec<&Share> {
        let numbers = self.holders.find(content).map(|content| &content.shares);
        let mut shares: Vec<&Share> = numbers
            .into_iter()
            .flatten()
            .map(|no| &self.shares[*no])
            .collect();
        shares.sort_by_key(|share| (&self.members[share.publisher].name, &share.name));
        shares
    }

    /// As many as a message takes.
    fn page<'a>(&self, found: impl Iterator<Item = &'a Share>) -> Shares {
        let (mut shares, mut bytes) = (Vec::new(), 0);
        for share in found {
            let publisher = &self.members[share.publisher];
            bytes += share.weight + publisher.weight;
            if shares.len() == PAGE_SHARES || bytes > PAGE_BYTES {
                return Shares { shares, more: true };
            }
            let holders = share.content().map_or(0, |content| self.count_holders(content));
            shares.push(Listed {
                record: share.record.clone(),
                publisher: publisher.name.clone(),
                grant: publisher.grant.clone(),
                holders: u32::try_from(holders).unwrap_or(u32::MAX),
            });
        }
        Shares { shares, more: false }
    }

    fn count_holders(&self, content: &BlobId) -> usize {
        self.holders.find(content).map_or(0, |content| content.online())
    }

    fn peer_row(&self, now: Moment, who: Who) -> PeerRow {
        let (member, row) = (&self.members[who], &self.attendance[who]);
        let (presence, last_seen_unix_s) = self.attendance.presence(now, who);
        let profile = row.profile.as_ref();
        PeerRow {
            peer: member.key,
            name: member.name.clone(),
            role: member.role,
            presence,
            reachable: row.reachable == Some(true),
            capacity_bytes: profile.map_or(0, |profile| profile.capacity_bytes),
            used_bytes: profile.map_or(0, |profile| profile.used_bytes),
            last_seen_unix_s,
        }
    }
}

/// The words that have to occur.
fn words(query: &Query) -> Result<&[String], Denial> {
    let Query::Words(words) = query else {
        return Ok(&[]);
    };
    if words.len() > MAX_WORDS || words.iter().any(|word| word.len() > MAX_WORD_BYTES) {
        let text = "a search has at most 16 words of 255 bytes";
        return Err(Denial::new(Reason::BadRequest, text));
    }
    Ok(words)
}

fn matches(publisher: &PeerName, name: &ShareName, words: &[String]) -> bool {
    let occurs = |word: &String| contains(publisher.as_str(), word) || contains(name.as_str(), word);
    words.iter().all(occurs)
}

/// Whether `word` occurs in `text`, without regard to ASCII case.
fn contains(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    word.is_empty()
        || text
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
}
