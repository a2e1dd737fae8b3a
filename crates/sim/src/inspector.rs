//! A member of the network that shares nothing: it asks the coordinator what any peer may ask, and
//! claims to have what it has not.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use skep_net::{AskError, Inbox, Limits, Link};
use skep_wire::{
    BlobId, PeerId, Signed, SigningKey,
    message::{
        Answer, Answers, Attend, Find, Hello, Hold, Holder, Holders, Holding, Join, Joined, Lane, Lookup,
        Message, Query, Questions, Reason, Shares, Verdicts, Welcome,
    },
    record::Grant,
    ticket::Ticket,
};
use skep_world::World;
use tokio::time::Instant;

/// What the coordinator said.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Who has what, and when that was asked.
    pub(crate) holders: Vec<(BlobId, Instant, Vec<Holder>)>,
    /// Every share: its publisher, its name and its content.
    pub(crate) shares: BTreeSet<(PeerId, String, BlobId)>,
    /// The inspector claimed to have something, and was believed.
    pub(crate) believed: Vec<BlobId>,
}

/// The member.
pub(crate) struct Inspector {
    world: World,
    key: Arc<SigningKey>,
    grant: Option<Signed<Grant>>,
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
        }
    }

    /// Asks about these contents.
    pub(crate) async fn visit(&mut self, ticket: &Ticket, contents: &[BlobId]) -> Visit<Findings> {
        if self.grant.is_none() {
            let (link, _inbox) = self.open(ticket).await?;
            let joined: Joined = ask(
                &link,
                &Join {
                    secret: ticket.secret,
                    name: None,
                    role: None,
                },
            )
            .await?;
            self.grant = Some(joined.grant);
            link.close();
        }
        let (link, _inbox) = self.open(ticket).await?;
        let attend = Attend {
            listen_port: 0,
            advertise: None,
            capacity_bytes: 0,
            used_bytes: 0,
            site: None,
            holdings: [0; 32],
        };
        let _: Welcome = ask(&link, &attend).await?;
        let mut findings = Findings::default();
        self.lie(&link, contents).await?;
        for content in contents {
            let asked = Instant::now();
            let found = lookup(&link, *content).await?;
            if found.iter().any(|holder| holder.peer == self.key.peer_id()) {
                findings.believed.push(*content);
            }
            findings.holders.push((*content, asked, found));
        }
        findings.shares = shares(&link).await?;
        link.close();
        Ok(findings)
    }

    async fn open(&self, ticket: &Ticket) -> Visit<(Link, Inbox)> {
        let to = ticket
            .coordinators
            .first()
            .ok_or("the ticket names no coordinator")?;
        let stream = self.world.network.dial(&self.key, to, None).await.map_err(text)?;
        let hello = Hello {
            features: 0,
            agent: "inspector".to_owned(),
            lane: Lane::Control,
            grant: self.grant.clone(),
            certificate: None,
            revocations: 0,
        };
        let limits = Limits {
            reply_timeout: Duration::from_secs(15),
            ..Limits::of(Lane::Control)
        };
        Link::open(stream, hello, limits).await.map_err(text)
    }

    /// Claims to have all of these, and answers every question wrongly.
    async fn lie(&self, link: &Link, contents: &[BlobId]) -> Visit<()> {
        let holdings = contents
            .iter()
            .map(|content| Holding {
                content: *content,
                complete: true,
            })
            .collect();
        let asked: Questions = ask(link, &Hold { holdings }).await?;
        let wrong = |content| Answer {
            content,
            answer: Some([7; 32]),
            triples: Vec::new(),
        };
        let answers = asked
            .questions
            .into_iter()
            .map(|question| wrong(question.content))
            .collect();
        let _: Verdicts = ask(link, &Answers { answers }).await?;
        Ok(())
    }
}

/// Who has it; nobody, when it is not shared any more.
async fn lookup(link: &Link, content: BlobId) -> Visit<Vec<Holder>> {
    match link.ask::<_, Holders>(&Lookup { content }).await {
        Ok(found) => Ok(found.holders),
        Err(AskError::Refused {
            reason: Reason::NotFound,
            ..
        }) => Ok(Vec::new()),
        Err(error) => Err(format!("Lookup: {error}")),
    }
}

/// All shares that are listed.
async fn shares(link: &Link) -> Visit<BTreeSet<(PeerId, String, BlobId)>> {
    let mut all = BTreeSet::new();
    let mut after = None;
    loop {
        let page: Shares = ask(
            link,
            &Find {
                query: Query::All,
                after,
            },
        )
        .await?;
        after = None;
        for listed in &page.shares {
            let record = listed.record.peek().map_err(text)?;
            all.insert((record.publisher, record.name.to_string(), record.content.id));
            after = Some((listed.publisher.clone(), record.name));
        }
        if !page.more || after.is_none() {
            return Ok(all);
        }
    }
}

async fn ask<Q: Message, R: Message>(link: &Link, request: &Q) -> Visit<R> {
    link.ask(request)
        .await
        .map_err(|e: AskError| format!("{}: {e}", Q::NAME))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
