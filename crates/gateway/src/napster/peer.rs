//! A peer of document 003: it registers files, answers for them, sends them, and gets others.
//!
//! Pure: messages, results of work and the time come in, work to do goes out. A peer goes where
//! its index sends it and nowhere else, and takes DATA only from the seeder it has asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::{
    assembly::{Assembly, Placed},
    codec::{FileHash, FileName, Listing, Message, Segment},
};

/// How long the index may take to answer; it may have to ask several seeders first.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A seeder that sends nothing for so long is given up.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);
/// The most leechers that are served or wait for it.
const MAX_SERVED: usize = 256;
/// How often the index is asked for another seeder.
const MAX_ASKS: u32 = 16;

/// A file as it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its bytes.
    pub file_size: u32,
    /// Its SHA-256.
    pub hash: FileHash,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message on a connection of its own, and tell [`Peer::delivered`] or [`Peer::undelivered`].
    Send {
        /// Where to.
        to: SocketAddrV4,
        /// What.
        message: Message<'static>,
    },
    /// Hash a file anew and tell [`Peer::hashed`].
    Hash(FileName),
    /// Send a file in segments, and tell [`Peer::served`] when all have arrived.
    Serve {
        /// What, with this peer's address.
        listing: Listing,
        /// Where to.
        to: SocketAddrV4,
    },
    /// Throw away what is here of a download: another seeder begins anew.
    Restart(FileName),
    /// All segments are here: check the hash, give the file its name, and tell [`Peer::checked`].
    Check(FileName, FileHash),
    /// The index has asked for a registered file, and has got its answer.
    Registered(FileName),
    /// A registration or a download has ended otherwise.
    Failed(FileName, Failure),
    /// A download has ended well: who sent it, and what it is.
    Got(FileName, SocketAddrV4, Known),
    /// A message was passed over; why is for the journal.
    Ignored(&'static str),
}

/// Why a registration or a download failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It has not asked back, or not told a seeder.
    #[error("the index does not answer")]
    IndexSilent,
    /// It takes no connection.
    #[error("the index takes no connection")]
    IndexDown,
    /// Nobody has it.
    #[error("no peer has registered that file")]
    NotFound,
    /// All of them failed, the last one like this.
    #[error("no seeder could deliver it: {0}")]
    Seeders(&'static str),
    /// It cannot be kept here.
    #[error("the file cannot be written: {0}")]
    Write(String),
}

/// What becomes of the data in a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// Write it there, then say [`Peer::wrote`].
    Write(u64, &'a [u8]),
    /// Nothing to write.
    Nothing,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    index: SocketAddrV4,
    me: SocketAddrV4,
    segment_bytes: u32,
    other_addresses: bool,
    files: BTreeMap<FileName, Known>,
    registering: BTreeMap<FileName, Duration>,
    hashing: BTreeSet<FileName>,
    serving: BTreeSet<(FileName, SocketAddrV4)>,
    gets: BTreeMap<FileName, Get>,
}

#[derive(Debug)]
struct Get {
    phase: Phase,
    /// When the phase ends if nothing happens.
    until: Duration,
    asks: u32,
    blamed: Vec<SocketAddrV4>,
    why: &'static str,
    /// The index has asked for the file while it was being checked.
    asked_for: bool,
}

#[derive(Debug)]
enum Phase {
    /// The index looks for a seeder.
    Asking,
    /// This one sends.
    Receiving(Source, Option<Assembly>),
    /// All is here, and is being checked.
    Checking(Source, u32),
}

#[derive(Debug, Clone, Copy)]
struct Source {
    seeder: SocketAddrV4,
    hash: FileHash,
}

impl Peer {
    /// A peer of this index, which others reach at `me`.
    #[must_use]
    pub fn new(index: SocketAddrV4, me: SocketAddrV4, segment_bytes: u32, other_addresses: bool) -> Self {
        Self {
            index,
            me,
            segment_bytes,
            other_addresses,
            files: BTreeMap::new(),
            registering: BTreeMap::new(),
            hashing: BTreeSet::new(),
            serving: BTreeSet::new(),
            gets: BTreeMap::new(),
        }
    }

    /// The files that this peer answers for.
    pub fn files(&self) -> impl Iterator<Item = (&FileName, &Known)> {
        self.files.iter()
    }

    /// Registers a file; `Registered` or `Failed` ends it.
    pub fn register(&mut self, now: Duration, name: FileName, known: Known, out: &mut Vec<Effect>) {
        self.files.insert(name.clone(), known);
        self.registering.insert(name.clone(), now + ANSWER_WITHIN);
        let listing = listing(&name, known, self.me);
        out.push(send(self.index, Message::Register(listing)));
    }

    /// Begins a download; `Got` or `Failed` ends it. Returns whether there was none of that file.
    pub fn get(&mut self, now: Duration, name: &FileName, out: &mut Vec<Effect>) -> bool {
        if self.gets.contains_key(name) {
            return false;
        }
        let get = Get {
            phase: Phase::Asking,
            until: now,
            asks: 0,
            blamed: Vec::new(),
            why: "none was tried",
            asked_for: false,
        };
        self.gets.insert(name.clone(), get);
        self.ask(now, name, out);
        true
    }

    /// A message that is no DATA came.
    pub fn handle(&mut self, now: Duration, from: Ipv4Addr, message: Message<'_>, out: &mut Vec<Effect>) {
        let from_index = from == *self.index.ip();
        match message {
            Message::Confirm { name, .. } if from_index => self.confirm(name, out),
            Message::Found { name, seeder, hash } if from_index => {
                self.found(now, &name, Source { seeder, hash }, out);
            }
            Message::NotFound => self.not_found(now, from, out),
            Message::Request { name, leecher } => self.request(from, name, leecher, out),
            Message::Confirm { .. } | Message::Found { .. } => {
                out.push(Effect::Ignored("it does not come from the index"));
            }
            Message::Register(_) | Message::Acknowledge(_) | Message::Data(_) => {
                out.push(Effect::Ignored("a peer takes no such message"));
            }
        }
    }

    /// A segment came.
    pub fn data<'a>(
        &mut self,
        now: Duration,
        from: Ipv4Addr,
        segment: &Segment<'a>,
        out: &mut Vec<Effect>,
    ) -> Taken<'a> {
        let name = &segment.of.name;
        let Some(get) = self.gets.get_mut(name) else {
            out.push(Effect::Ignored("nobody has asked for this file"));
            return Taken::Nothing;
        };
        let Phase::Receiving(source, assembly) = &mut get.phase else {
            out.push(Effect::Ignored("nothing is missing of this file"));
            return Taken::Nothing;
        };
        // One that was given up may still be sending from the same host.
        let is_late = get.blamed.contains(&segment.of.seeder);
        if is_late || (*source.seeder.ip() != from && !self.other_addresses) {
            out.push(Effect::Ignored("it does not come from the seeder"));
            return Taken::Nothing;
        }
        if segment.of.hash != source.hash {
            self.blame(now, name, "it sent another file", out);
            return Taken::Nothing;
        }
        let new = || Assembly::new(segment.of.file_size, self.segment_bytes);
        let placed = assembly.get_or_insert_with(new).place(segment);
        get.until = now + STALLED_AFTER;
        match placed {
            Placed::At(offset, bytes) => Taken::Write(offset, bytes),
            Placed::Duplicate => Taken::Nothing,
            Placed::Misfit => {
                self.blame(now, name, "its segments do not fit together", out);
                Taken::Nothing
            }
        }
    }

    /// The data of a segment is written.
    pub fn wrote(&mut self, name: &FileName, out: &mut Vec<Effect>) {
        let Some(get) = self.gets.get_mut(name) else {
            return;
        };
        if let Phase::Receiving(source, Some(assembly)) = &get.phase
            && assembly.is_complete()
        {
            let source = *source;
            get.phase = Phase::Checking(source, assembly.file_size());
            out.push(Effect::Check(name.clone(), source.hash));
        }
    }

    /// The data of a segment cannot be written.
    pub fn write_failed(&mut self, name: &FileName, error: String, out: &mut Vec<Effect>) {
        if self.gets.remove(name).is_some() {
            out.push(Effect::Failed(name.clone(), Failure::Write(error)));
        }
    }

    /// A file that was all here has the hash and now its name (true), or another hash (false).
    pub fn checked(&mut self, now: Duration, name: &FileName, is_right: bool, out: &mut Vec<Effect>) {
        let Some(get) = self.gets.get(name) else { return };
        let Phase::Checking(Source { seeder, hash }, file_size) = get.phase else {
            return;
        };
        if !is_right {
            return self.blame(now, name, "what it sent has another SHA-256", out);
        }
        let known = Known { file_size, hash };
        let asked_for = get.asked_for;
        self.gets.remove(name);
        self.files.insert(name.clone(), known);
        out.push(Effect::Got(name.clone(), seeder, known));
        if asked_for {
            self.confirm(name.clone(), out);
        }
    }

    /// A file has been hashed anew; none: it cannot be read any more.
    pub fn hashed(&mut self, name: &FileName, now_is: Option<Known>, out: &mut Vec<Effect>) {
        self.hashing.remove(name);
        let Some(known) = now_is else {
            self.files.remove(name);
            return;
        };
        // What is served is what was last told to the index.
        self.files.insert(name.clone(), known);
        let listing = listing(name, known, self.me);
        out.push(send(self.index, Message::Acknowledge(listing)));
    }

    /// A message was sent, and its receiver has closed the connection.
    pub fn delivered(&mut self, message: &Message<'_>, out: &mut Vec<Effect>) {
        if let Message::Acknowledge(listing) = message
            && self.registering.remove(&listing.name).is_some()
        {
            out.push(Effect::Registered(listing.name.clone()));
        }
    }

    /// A file was sent to a leecher, which is then registered; or it was not.
    pub fn served(&mut self, of: &Listing, to: SocketAddrV4, all_arrived: bool, out: &mut Vec<Effect>) {
        self.serving.remove(&(of.name.clone(), to));
        if all_arrived {
            let listing = Listing {
                seeder: to,
                ..of.clone()
            };
            out.push(send(self.index, Message::Register(listing)));
        }
    }

    /// A message could not be sent.
    pub fn undelivered(
        &mut self,
        now: Duration,
        to: SocketAddrV4,
        message: &Message<'_>,
        out: &mut Vec<Effect>,
    ) {
        match message {
            Message::Register(listing) | Message::Acknowledge(listing)
                if self.registering.remove(&listing.name).is_some() =>
            {
                out.push(Effect::Failed(listing.name.clone(), Failure::IndexDown));
            }
            Message::Request { name, .. } if to == self.index => {
                self.fail(name, Failure::IndexDown, out);
            }
            Message::Request { name, .. } if self.source(name).is_some_and(|source| source.seeder == to) => {
                self.blame(now, name, "it takes no connection", out);
            }
            _ => {}
        }
    }

    /// Time has passed.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let late = |until: &Duration| *until <= now;
        let registrations = self.registering.iter().filter(|(_, until)| late(until));
        for name in registrations.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.registering.remove(&name);
            out.push(Effect::Failed(name, Failure::IndexSilent));
        }
        let gets = self.gets.iter().filter(|(_, get)| late(&get.until));
        for name in gets.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            match self.gets.get(&name).map(|get| &get.phase) {
                Some(Phase::Asking) => self.fail(&name, Failure::IndexSilent, out),
                Some(Phase::Receiving(..)) => self.blame(now, &name, "it stopped sending", out),
                Some(Phase::Checking(..)) | None => {}
            }
        }
    }

    /// A file that is being checked is confirmed when that is done.
    fn confirm(&mut self, name: FileName, out: &mut Vec<Effect>) {
        if let Some(get) = self.gets.get_mut(&name) {
            get.asked_for = true;
        } else if !self.files.contains_key(&name) {
            out.push(Effect::Ignored("that file is not registered here"));
        } else if self.hashing.insert(name.clone()) {
            out.push(Effect::Hash(name));
        }
    }

    fn found(&mut self, now: Duration, name: &FileName, source: Source, out: &mut Vec<Effect>) {
        let me = self.me;
        let Some(get) = self.gets.get_mut(name) else {
            return out.push(Effect::Ignored("nobody has asked for this file"));
        };
        if !matches!(get.phase, Phase::Asking) {
            return out.push(Effect::Ignored("a seeder is known already"));
        }
        if get.blamed.contains(&source.seeder) || source.seeder == me {
            return self.ask(now, name, out);
        }
        get.phase = Phase::Receiving(source, None);
        get.until = now + STALLED_AFTER;
        let (name, leecher) = (name.clone(), me);
        out.push(Effect::Restart(name.clone()));
        out.push(send(source.seeder, Message::Request { name, leecher }));
    }

    /// It names no file: it is about what was asked there.
    fn not_found(&mut self, now: Duration, from: Ipv4Addr, out: &mut Vec<Effect>) {
        let is_meant = |get: &Get| match &get.phase {
            Phase::Asking => from == *self.index.ip(),
            Phase::Receiving(source, None) => from == *source.seeder.ip(),
            _ => false,
        };
        let found = self.gets.iter().find(|(_, get)| is_meant(get));
        let Some((name, get)) = found.map(|(name, get)| (name.clone(), get)) else {
            return out.push(Effect::Ignored("nothing was asked there"));
        };
        match (&get.phase, get.blamed.is_empty()) {
            (Phase::Asking, true) => self.fail(&name, Failure::NotFound, out),
            (Phase::Asking, false) => {
                let why = get.why;
                self.fail(&name, Failure::Seeders(why), out);
            }
            _ => self.blame(now, &name, "it does not have the file", out),
        }
    }

    fn request(&mut self, from: Ipv4Addr, name: FileName, leecher: SocketAddrV4, out: &mut Vec<Effect>) {
        if *leecher.ip() != from && !self.other_addresses {
            return out.push(Effect::Ignored("the leecher is not the sender"));
        }
        let Some(known) = self.files.get(&name).copied() else {
            return out.push(send(leecher, Message::NotFound));
        };
        if self.serving.len() >= MAX_SERVED {
            return out.push(Effect::Ignored("too many leechers wait already"));
        }
        if self.serving.insert((name.clone(), leecher)) {
            let listing = listing(&name, known, self.me);
            out.push(Effect::Serve { listing, to: leecher });
        }
    }

    fn source(&self, name: &FileName) -> Option<Source> {
        match self.gets.get(name)?.phase {
            Phase::Receiving(source, _) | Phase::Checking(source, _) => Some(source),
            Phase::Asking => None,
        }
    }

    /// A seeder failed: the next one is looked for.
    fn blame(&mut self, now: Duration, name: &FileName, why: &'static str, out: &mut Vec<Effect>) {
        let seeder = self.source(name).map(|source| source.seeder);
        if let Some(get) = self.gets.get_mut(name) {
            get.why = why;
            get.blamed.extend(seeder);
        }
        self.ask(now, name, out);
    }

    /// Asks the index for a seeder, but not for ever.
    fn ask(&mut self, now: Duration, name: &FileName, out: &mut Vec<Effect>) {
        let Some(get) = self.gets.get_mut(name) else {
            return;
        };
        if get.asks == MAX_ASKS {
            let why = get.why;
            return self.fail(name, Failure::Seeders(why), out);
        }
        get.asks += 1;
        get.phase = Phase::Asking;
        get.until = now + ANSWER_WITHIN;
        let (name, leecher) = (name.clone(), self.me);
        out.push(send(self.index, Message::Request { name, leecher }));
    }

    fn fail(&mut self, name: &FileName, why: Failure, out: &mut Vec<Effect>) {
        if self.gets.remove(name).is_some() {
            out.push(Effect::Failed(name.clone(), why));
        }
    }
}

fn send(to: SocketAddrV4, message: Message<'static>) -> Effect {
    Effect::Send { to, message }
}

fn listing(name: &FileName, known: Known, seeder: SocketAddrV4) -> Listing {
    Listing {
        file_size: known.file_size,
        name: name.clone(),
        seeder,
        hash: known.hash,
    }
}

#[cfg(test)]
mod tests;
