//! The index of document 003: it lists a seeder once that has proven what it has.
//!
//! Pure: messages, the time and randomness come in, messages to send go out. Connections are the
//! driver's. Who provides what and whose turn it is, is kept by [`skep_engine::directory`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use rand::RngCore;
pub use skep_engine::directory::Pick;
use skep_engine::directory::Providers;

use super::codec::{FileHash, FileName, Listing, Message};

/// How long a seeder may take to answer REGISTER_CONF.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// A seeder silent for so long is asked again before it is handed out.
pub const FRESH_FOR: Duration = Duration::from_secs(60);
/// For so long after its request a leecher may be registered by its seeder.
pub const ASKED_WITHIN: Duration = Duration::from_secs(600);

/// The most listings.
const MAX_LISTINGS: usize = 16_384;
/// The most seeders that are being asked.
const MAX_QUESTIONS: usize = 1024;
/// The most requests that are remembered.
const MAX_SEARCHES: usize = 16_384;
/// How many seeders may turn out to have gone until a leecher is told that there is none.
const MAX_GONE: u8 = 8;

/// What an operator decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// How seeders are chosen.
    pub pick: Pick,
    /// Messages may name addresses that are not their sender's.
    pub other_addresses: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message on a connection of its own. If that fails, [`Index::undelivered`] is told.
    Send {
        /// Where to.
        to: SocketAddrV4,
        /// What.
        message: Message<'static>,
    },
    /// A message was passed over; why is for the journal.
    Ignored(&'static str),
    /// A seeder is listed from now on, or with another hash than before.
    Listed(Listing),
    /// A seeder is not listed any more.
    Dropped(FileName, SocketAddrV4),
}

/// A file at a seeder.
type Key = (FileName, SocketAddrV4);

/// The index.
#[derive(Debug)]
pub struct Index {
    rules: Rules,
    me: SocketAddrV4,
    providers: Providers<FileName, SocketAddrV4>,
    listed: BTreeMap<Key, (u32, FileHash)>,
    heard: BTreeMap<SocketAddrV4, Duration>,
    questions: BTreeMap<Key, Question>,
    searches: BTreeMap<Key, Search>,
}

/// A seeder was asked whether it has what was claimed.
#[derive(Debug)]
struct Question {
    claim: Listing,
    until: Duration,
    /// Whose merit it is that the seeder has it now.
    brought_by: Option<SocketAddrV4>,
}

/// A leecher has asked for a file.
#[derive(Debug)]
struct Search {
    asked: Duration,
    step: Step,
    /// Seeders that it waited for in vain.
    gone: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This seeder is being asked whether it is still there.
    Confirming(SocketAddrV4),
    /// It was sent to this seeder.
    Sent(SocketAddrV4),
    /// Nothing more to do.
    Over,
}

impl Index {
    /// An empty index, which others reach at `me`.
    #[must_use]
    pub fn new(me: SocketAddrV4, rules: Rules) -> Self {
        Self {
            rules,
            me,
            providers: Providers::default(),
            listed: BTreeMap::new(),
            heard: BTreeMap::new(),
            questions: BTreeMap::new(),
            searches: BTreeMap::new(),
        }
    }

    /// Lists what was listed before a restart. Each seeder is asked before it is handed out.
    pub fn restore(&mut self, listings: impl IntoIterator<Item = Listing>) {
        for listing in listings.into_iter().take(MAX_LISTINGS) {
            self.list(&listing);
        }
    }

    /// All listings.
    pub fn listings(&self) -> impl Iterator<Item = Listing> {
        let listing = |((name, seeder), (file_size, hash)): (&Key, &(u32, FileHash))| Listing {
            file_size: *file_size,
            name: name.clone(),
            seeder: *seeder,
            hash: *hash,
        };
        self.listed.iter().map(listing)
    }

    /// A message came from `from`.
    pub fn handle(
        &mut self,
        now: Duration,
        from: Ipv4Addr,
        message: Message<'_>,
        rng: &mut dyn RngCore,
        out: &mut Vec<Effect>,
    ) {
        match message {
            Message::Register(listing) => self.register(now, from, listing, out),
            Message::Acknowledge(listing) => self.acknowledge(now, from, &listing, rng, out),
            Message::Request { name, leecher } => self.request(now, from, (name, leecher), rng, out),
            Message::Confirm { .. } | Message::Found { .. } | Message::NotFound | Message::Data(_) => {
                out.push(Effect::Ignored("an index takes no such message"))
            }
        }
    }

    /// A message could not be sent: who does not take it has gone.
    pub fn undelivered(
        &mut self,
        now: Duration,
        to: SocketAddrV4,
        message: &Message<'_>,
        rng: &mut dyn RngCore,
        out: &mut Vec<Effect>,
    ) {
        if let Message::Confirm { name, .. } = message {
            self.gone(now, &[(name.clone(), to)], rng, out);
        }
    }

    /// Time has passed.
    pub fn poll(&mut self, now: Duration, rng: &mut dyn RngCore, out: &mut Vec<Effect>) {
        let late = self
            .questions
            .iter()
            .filter(|(_, question)| question.until <= now);
        let late: Vec<Key> = late.map(|(key, _)| key.clone()).collect();
        self.gone(now, &late, rng, out);
        self.searches
            .retain(|_, search| now.saturating_sub(search.asked) < ASKED_WITHIN);
    }

    fn register(&mut self, now: Duration, from: Ipv4Addr, claim: Listing, out: &mut Vec<Effect>) {
        let key = (claim.name.clone(), claim.seeder);
        if !self.may_name(from, claim.seeder) && !self.searches.contains_key(&key) {
            return out.push(Effect::Ignored("the seeder is neither the sender nor a leecher"));
        }
        let is_full = self.listed.len() >= MAX_LISTINGS && !self.listed.contains_key(&key);
        if is_full || self.questions.len() >= MAX_QUESTIONS {
            return out.push(Effect::Ignored("the index is full"));
        }
        let brought_by = match self.searches.get(&key) {
            Some(Search {
                step: Step::Sent(by), ..
            }) if *by.ip() == from => Some(*by),
            _ => None,
        };
        self.ask(now, claim, brought_by, out);
    }

    fn acknowledge(
        &mut self,
        now: Duration,
        from: Ipv4Addr,
        answer: &Listing,
        rng: &mut dyn RngCore,
        out: &mut Vec<Effect>,
    ) {
        let key = (answer.name.clone(), answer.seeder);
        let Some(question) = self.questions.get(&key) else {
            return out.push(Effect::Ignored("nobody has asked for this"));
        };
        if !self.may_name(from, answer.seeder) {
            return out.push(Effect::Ignored("the answer does not come from the seeder"));
        }
        self.heard.insert(answer.seeder, now);
        if *answer == question.claim {
            self.proven(&key, out);
        } else {
            self.gone(now, &[key], rng, out);
        }
    }

    fn request(
        &mut self,
        now: Duration,
        from: Ipv4Addr,
        key: Key,
        rng: &mut dyn RngCore,
        out: &mut Vec<Effect>,
    ) {
        if !self.may_name(from, key.1) {
            return out.push(Effect::Ignored("the leecher is not the sender"));
        }
        if self.searches.len() >= MAX_SEARCHES && !self.searches.contains_key(&key) {
            return out.push(Effect::Ignored("the index is full"));
        }
        if let Some(heard) = self.heard.get_mut(&key.1) {
            *heard = now;
        }
        let search = Search {
            asked: now,
            step: Step::Over,
            gone: 0,
        };
        self.searches.insert(key.clone(), search);
        self.search(now, &key, rng, out);
    }

    /// Sends a leecher to a seeder that is there, or asks one whether it is.
    fn search(&mut self, now: Duration, key: &Key, rng: &mut dyn RngCore, out: &mut Vec<Effect>) {
        let (name, leecher) = key;
        let other = |seeder: &SocketAddrV4| seeder != leecher;
        let seeder = self.providers.pick(name, self.rules.pick, rng, other);
        let found = seeder.and_then(|seeder| {
            let (file_size, hash) = *self.listed.get(&(name.clone(), seeder))?;
            let name = name.clone();
            Some(Listing {
                file_size,
                name,
                seeder,
                hash,
            })
        });
        let Some(found) = found else {
            return self.wait_or_give_up(key, out);
        };
        let heard = self.heard.get(&found.seeder);
        if heard.is_some_and(|heard| now.saturating_sub(*heard) < FRESH_FOR) {
            return self.send_to_seeder(key, found, out);
        }
        self.enter(key, Step::Confirming(found.seeder));
        self.ask(now, found, None, out);
    }

    /// Somebody may be about to prove that it has the file.
    fn wait_or_give_up(&mut self, key: &Key, out: &mut Vec<Effect>) {
        let (name, leecher) = key;
        let seeder = of_name(&self.questions, name)
            .map(|(seeder, _)| seeder)
            .find(|seeder| seeder != leecher);
        match seeder {
            Some(seeder) => self.enter(key, Step::Confirming(seeder)),
            None => out.push(Effect::Send {
                to: *leecher,
                message: Message::NotFound,
            }),
        }
    }

    fn send_to_seeder(&mut self, key: &Key, found: Listing, out: &mut Vec<Effect>) {
        self.enter(key, Step::Sent(found.seeder));
        let Listing {
            name, seeder, hash, ..
        } = found;
        out.push(Effect::Send {
            to: key.1,
            message: Message::Found { name, seeder, hash },
        });
    }

    fn enter(&mut self, key: &Key, step: Step) {
        if let Some(search) = self.searches.get_mut(key) {
            search.step = step;
        }
    }

    fn ask(
        &mut self,
        now: Duration,
        claim: Listing,
        brought_by: Option<SocketAddrV4>,
        out: &mut Vec<Effect>,
    ) {
        let key = (claim.name.clone(), claim.seeder);
        if self.questions.get(&key).is_some_and(|asked| asked.claim == claim) {
            return;
        }
        out.push(Effect::Send {
            to: claim.seeder,
            message: Message::Confirm {
                file_size: claim.file_size,
                name: claim.name.clone(),
                index: self.me,
            },
        });
        let until = now + CONFIRM_WITHIN;
        let question = Question {
            claim,
            until,
            brought_by,
        };
        self.questions.insert(key, question);
    }

    /// A seeder has proven what was claimed: it is listed, and those who wait for it are sent there.
    fn proven(&mut self, key: &Key, out: &mut Vec<Effect>) {
        let Some(question) = self.questions.remove(key) else {
            return;
        };
        if self.list(&question.claim) {
            out.push(Effect::Listed(question.claim.clone()));
        }
        if let Some(by) = question.brought_by {
            self.providers.give_credit(&by, 1);
            self.enter(key, Step::Over);
        }
        for waiting in self.waiting_for(&key.0, |seeder| seeder == key) {
            self.send_to_seeder(&waiting, question.claim.clone(), out);
        }
    }

    /// Seeders that were asked have gone, or lie: they are dropped all at once, so that those who wait
    /// go on to somebody else.
    fn gone(&mut self, now: Duration, keys: &[Key], rng: &mut dyn RngCore, out: &mut Vec<Effect>) {
        let asked: BTreeSet<&Key> = keys
            .iter()
            .filter(|key| self.questions.remove(*key).is_some())
            .collect();
        asked.iter().for_each(|key| self.drop_listing(key, out));
        let names: BTreeSet<&FileName> = asked.iter().map(|(name, _)| name).collect();
        let is_asked = |key: &Key| asked.contains(key);
        let waiting: Vec<Key> = names
            .into_iter()
            .flat_map(|name| self.waiting_for(name, is_asked))
            .collect();
        for key in waiting {
            self.search_again(now, &key, rng, out);
        }
    }

    /// However many seeders come and go, a request costs only so much.
    fn search_again(&mut self, now: Duration, key: &Key, rng: &mut dyn RngCore, out: &mut Vec<Effect>) {
        let Some(search) = self.searches.get_mut(key) else {
            return;
        };
        search.step = Step::Over;
        search.gone += 1;
        if search.gone < MAX_GONE {
            return self.search(now, key, rng, out);
        }
        out.push(Effect::Send {
            to: key.1,
            message: Message::NotFound,
        });
    }

    /// The searches for a file that wait for one of these seeders.
    fn waiting_for(&self, name: &FileName, is_asked: impl Fn(&Key) -> bool) -> Vec<Key> {
        let waits = |search: &Search| match search.step {
            Step::Confirming(seeder) => is_asked(&(name.clone(), seeder)),
            _ => false,
        };
        let waiting = of_name(&self.searches, name).filter(|(_, search)| waits(search));
        waiting.map(|(leecher, _)| (name.clone(), leecher)).collect()
    }

    fn list(&mut self, listing: &Listing) -> bool {
        let key = (listing.name.clone(), listing.seeder);
        let entry = (listing.file_size, listing.hash);
        let is_new = self.providers.list(&listing.name, &listing.seeder);
        self.listed.insert(key, entry) != Some(entry) || is_new
    }

    fn drop_listing(&mut self, key: &Key, out: &mut Vec<Effect>) {
        let (name, seeder) = key;
        self.providers.unlist(name, seeder);
        if self.providers.by(seeder).next().is_none() {
            self.heard.remove(seeder);
        }
        if self.listed.remove(key).is_some() {
            out.push(Effect::Dropped(name.clone(), *seeder));
        }
    }

    fn may_name(&self, from: Ipv4Addr, address: SocketAddrV4) -> bool {
        self.rules.other_addresses || *address.ip() == from
    }
}

/// What there is about a file, by address.
fn of_name<'a, T>(
    map: &'a BTreeMap<Key, T>,
    name: &'a FileName,
) -> impl Iterator<Item = (SocketAddrV4, &'a T)> {
    let first = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    map.range((name.clone(), first)..)
        .take_while(move |((of, _), _)| of == name)
        .map(|((_, address), value)| (*address, value))
}

#[cfg(test)]
mod tests;
