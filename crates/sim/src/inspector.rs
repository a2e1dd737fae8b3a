//! A member of the network that shares nothing: it asks the coordinator what any peer may ask, fetches a chunk, and
//! claims to have what it has not.
//!
//! It is of the first release: all that it says and hears is [version 1](crate::version1), byte by byte.

use std::{collections::BTreeSet, sync::Arc};

use skep_wire::{BlobId, Endpoint, PeerId, SigningKey, ticket::Ticket};
use skep_world::World;
use tokio::time::Instant;

use crate::version1::{
    ANSWERS, ATTEND, BULK, CONTROL, Connection, FIND, Failure, HOLD, Heard, JOIN, LOOKUP, Words,
};

/// The number of the reason NotFound.
const NOT_FOUND: u64 = 7;

const CHUNK_BYTES: usize = 1 << 20;

/// What the coordinator said, and a holder.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Who has what, and when that was asked.
    pub(crate) holders: Vec<(BlobId, Instant, Vec<Holder>)>,
    /// Every share: its publisher, its name and its content.
    pub(crate) shares: BTreeSet<(PeerId, String, BlobId)>,
    /// The inspector claimed to have something, and was believed.
    pub(crate) believed: Vec<BlobId>,
    /// What came of asking a holder for a first chunk, if there was one to ask.
    pub(crate) fetched: Option<Fetched>,
}

/// Somebody who is said to have a content.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) peer: PeerId,
    pub(crate) complete: bool,
    address: Option<Endpoint>,
}

/// The first chunk of a content, from one of its holders.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) content: BlobId,
    pub(crate) holder: PeerId,
    /// The chunk is what it should be.
    pub(crate) right: Visit<bool>,
}

/// The member.
pub(crate) struct Inspector {
    world: World,
    key: Arc<SigningKey>,
    /// Signed, as it came.
    grant: Option<Vec<u8>>,
    visits: usize,
}

/// An honest coordinator answers; a network that is down does not.
type Visit<T> = Result<T, String>;

impl Inspector {
    pub(crate) fn new(world: World) -> Self {
        let key = Arc::new(SigningKey::from_seed(world.entropy.bytes32()));
        Self {
            world,
            key,
            grant: None,
            visits: 0,
        }
    }

    /// Asks about these contents.
    pub(crate) async fn visit(&mut self, ticket: &Ticket, contents: &[BlobId]) -> Visit<Findings> {
        let coordinator = ticket
            .coordinators
            .first()
            .ok_or("the ticket names no coordinator")?;
        if self.grant.is_none() {
            let joined = self.join(coordinator, &ticket.secret.0).await;
            self.grant = Some(joined.map_err(text)?);
        }
        let mut findings = self.ask_about(coordinator, contents).await.map_err(text)?;
        self.visits += 1;
        findings.fetched = self.fetch_one(&findings.holders).await;
        Ok(findings)
    }

    /// Joins; returns the signed grant.
    async fn join(&self, coordinator: &Endpoint, secret: &[u8; 16]) -> Result<Vec<u8>, Failure> {
        let mut connection = self.open(coordinator, CONTROL).await?;
        let join = Words::new().bytes(secret).flag(false).flag(false);
        let joined = connection.ask(JOIN, join).await?;
        let mut heard = Heard(&joined);
        heard.signed()?;
        let grant = joined[..joined.len() - heard.0.len()].to_vec();
        heard.flag()?;
        heard.end()?;
        Ok(grant)
    }

    async fn ask_about(&self, coordinator: &Endpoint, contents: &[BlobId]) -> Result<Findings, Failure> {
        let mut connection = self.open(coordinator, CONTROL).await?;
        attend(&mut connection).await?;
        lie(&mut connection, contents).await?;
        let mut findings = Findings::default();
        for content in contents {
            let asked = Instant::now();
            let found = lookup(&mut connection, content).await?;
            if found.iter().any(|holder| holder.peer == self.key.peer_id()) {
                findings.believed.push(*content);
            }
            findings.holders.push((*content, asked, found));
        }
        findings.shares = shares(&mut connection).await?;
        Ok(findings)
    }

    /// Another content in each visit.
    async fn fetch_one(&self, found: &[(BlobId, Instant, Vec<Holder>)]) -> Option<Fetched> {
        let (content, _, holders) = found.get(self.visits % found.len().max(1))?;
        let holder = holders
            .iter()
            .find(|holder| holder.complete && holder.address.is_some())?;
        let chunk = self.first_chunk(holder.address.as_ref()?, content).await;
        let is_right = |chunk: Vec<u8>| match chunk.len() {
            // A blob of one chunk is its own proof; others would need their outline.
            0..CHUNK_BYTES => *blake3::hash(&chunk).as_bytes() == content.0,
            length => length == CHUNK_BYTES,
        };
        Some(Fetched {
            content: *content,
            holder: holder.peer,
            right: chunk.map(is_right).map_err(text),
        })
    }

    async fn first_chunk(&self, holder: &Endpoint, content: &BlobId) -> Result<Vec<u8>, Failure> {
        self.open(holder, BULK).await?.chunk(&content.0, 0).await
    }

    async fn open(&self, to: &Endpoint, lane: u64) -> Result<Connection, Failure> {
        let dialled = self.world.network.dial(&self.key, to, None).await;
        let stream = dialled.map_err(|e| Failure::Broken(e.to_string()))?;
        Connection::open(stream, lane, self.grant.as_deref()).await
    }
}

async fn attend(connection: &mut Connection) -> Result<(), Failure> {
    // No port, no host, no capacity, nothing used, no site.
    let attend = Words::new().number(0).flag(false).number(0).number(0).flag(false);
    let welcome = connection.ask(ATTEND, attend.bytes(&[0; 32])).await?;
    let mut welcome = Heard(&welcome);
    welcome.text()?;
    welcome.flag()?;
    welcome.number()?;
    welcome.flag()?;
    welcome.end()
}

/// Claims to have all of these, and answers every question wrongly.
async fn lie(connection: &mut Connection, contents: &[BlobId]) -> Result<(), Failure> {
    let hold = contents
        .iter()
        .fold(Words::new().number(contents.len() as u64), |hold, content| {
            hold.bytes(&content.0).flag(true)
        });
    let questions = connection.ask(HOLD, hold).await?;
    let mut heard = Heard(&questions);
    let asked = heard.list(|question| {
        let content = question.id()?;
        question.bytes(32)?;
        question.number()?;
        Ok(content)
    })?;
    heard.end()?;
    let answers = asked
        .iter()
        .fold(Words::new().number(asked.len() as u64), |answers, content| {
            answers.bytes(content).flag(true).bytes(&[7; 32]).number(0)
        });
    let verdicts = connection.ask(ANSWERS, answers).await?;
    let mut heard = Heard(&verdicts);
    heard.list(Heard::id)?;
    heard.end()
}

/// Who has it; nobody, when it is not shared any more.
async fn lookup(connection: &mut Connection, content: &BlobId) -> Result<Vec<Holder>, Failure> {
    let found = match connection.ask(LOOKUP, Words::new().bytes(&content.0)).await {
        Err(Failure::Refused(NOT_FOUND)) => return Ok(Vec::new()),
        found => found?,
    };
    let mut heard = Heard(&found);
    let holders = heard.list(|holder| {
        let peer = PeerId(holder.id()?);
        holder.text()?;
        let address = holder.option(|address| Ok(format!("{}:{}", address.text()?, address.number()?)))?;
        let complete = holder.flag()?;
        Ok(Holder {
            peer,
            complete,
            address: address.and_then(|address| address.parse().ok()),
        })
    })?;
    heard.end()?;
    Ok(holders)
}

/// All shares that are listed.
async fn shares(connection: &mut Connection) -> Result<BTreeSet<(PeerId, String, BlobId)>, Failure> {
    let mut all = BTreeSet::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let find = Words::new().number(0).flag(after.is_some());
        let find = match &after {
            Some((publisher, share)) => find.data(publisher.as_bytes()).data(share.as_bytes()),
            None => find,
        };
        let page = connection.ask(FIND, find).await?;
        let mut heard = Heard(&page);
        let listed = heard.list(listed)?;
        let more = heard.flag()?;
        heard.end()?;
        after = listed
            .last()
            .map(|(publisher, (_, share, _))| (publisher.clone(), share.clone()));
        all.extend(listed.into_iter().map(|(_, share)| share));
        if !more || after.is_none() {
            return Ok(all);
        }
    }
}

/// A publisher's name, and its key, the share's name and its content.
type Listed = (String, (PeerId, String, BlobId));

fn listed(heard: &mut Heard<'_>) -> Result<Listed, Failure> {
    let mut record = heard.signed()?;
    record.id()?;
    let publisher = PeerId(record.id()?);
    let share = record.text()?.to_owned();
    record.number()?;
    let content = BlobId(record.id()?);
    let name = heard.text()?.to_owned();
    heard.signed()?;
    heard.number()?;
    Ok((name, (publisher, share, content)))
}

fn text(failure: Failure) -> String {
    match failure {
        Failure::Refused(reason) => format!("refused, for reason {reason}"),
        Failure::Broken(why) => why,
    }
}
