//! Telling the coordinator what is here, and proving it.
//!
//! A share is published once and then a fact of the coordinator's; holdings are told again whenever
//! it does not have the same list. Whoever says that it holds something is asked for a hash of a
//! random leaf, and leaves such questions for the next (document "Napster-like p2p network").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::{Rng, rngs::StdRng};
use skep_wire::{
    BlobId, Layout, ShareName, UNIT_BYTES,
    chunk::UNITS_PER_CHUNK,
    message::{Answer, Answers, Done, Drop, Hold, Holding, Publish, Question, Questions, Triple, Verdicts},
    proof::{leaf_answer, leaf_number, unit_count},
};
use tokio::time;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    catalog::{CatalogError, Entry},
    core::Core,
    session::SessionError,
    shelf::Body,
};

/// Contents in one message.
const BATCH: usize = 1024;
/// Seconds before what the coordinator did not know is told once more, and again, and so on.
const TELL_AGAIN_S: [u64; 4] = [3, 10, 60, 600];
/// Triples that go with one content.
const TRIPLES: usize = 4;
/// Answers in one message: each has triples of its own.
const ANSWERS: usize = 512;

/// Why something was not announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The coordinator did not take it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It could not be noted here that it was taken.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// BLAKE3 of the ids of all whole contents, ascending.
pub(crate) fn digest(core: &Core) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for id in core.shelf.whole() {
        hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// After a connection is up: what the coordinator has missed.
///
/// Right after its restart nobody may be there yet who can vouch for a newcomer, and it does not say
/// whom it could not believe: what it did not know is told again some times. It costs little.
pub(crate) async fn reconcile(core: Arc<Core>, holdings_known: bool) {
    if let Err(error) = publish_waiting(&core).await {
        tracing::debug!("some shares are not published yet: {error}");
    }
    if holdings_known {
        return;
    }
    tell_all(&core).await;
    for pause_s in TELL_AGAIN_S {
        time::sleep(Duration::from_secs(pause_s)).await;
        tell_all(&core).await;
    }
}

async fn tell_all(core: &Arc<Core>) {
    let all = core.shelf.whole();
    tracing::debug!("telling the coordinator about {} contents", all.len());
    if let Err(error) = hold(core, &all, true).await {
        tracing::debug!("some holdings are not announced yet: {error}");
    }
}

/// Publishes every name that the coordinator has not taken yet.
async fn publish_waiting(core: &Arc<Core>) -> Result<(), AnnounceError> {
    let waiting: Vec<ShareName> = {
        let state = core.catalog.state();
        state
            .published
            .iter()
            .filter(|(_, p)| !p.taken)
            .map(|(name, _)| name.clone())
            .collect()
    };
    for name in waiting {
        publish(core, &name).await?;
    }
    Ok(())
}

/// Publishes what the catalog has under `name`, and notes that it was taken.
pub(crate) async fn publish(core: &Arc<Core>, name: &ShareName) -> Result<(), AnnounceError> {
    let Some(mut published) = core.catalog.state().published.get(name).cloned() else {
        return Ok(());
    };
    let record = published.record.peek().ok().filter(|record| !record.withdrawn);
    let triples = match &record {
        Some(record) => triples(core, record.content.id).await.unwrap_or_default(),
        None => Vec::new(),
    };
    core.session
        .ask::<_, Done>(&Publish {
            record: published.record.clone(),
            triples,
        })
        .await?;
    published.taken = true;
    core.catalog
        .commit(vec![Entry::Published(name.clone(), published)])
        .await?;
    // The first to publish a content is believed; whoever publishes the same bytes later is asked.
    match record {
        Some(record) => hold(core, &[record.content.id], true).await,
        None => Ok(()),
    }
}

/// Says that these are here, and answers what is asked about them.
pub(crate) async fn hold(core: &Arc<Core>, contents: &[BlobId], complete: bool) -> Result<(), AnnounceError> {
    for batch in contents.chunks(BATCH) {
        // Of a large batch only some are asked about, and one that cannot be proven takes the others
        // with it: they get a second chance without it.
        let doubted = hold_batch(core, batch, complete).await?;
        if !doubted.is_empty() && doubted.len() < batch.len() {
            hold_batch(core, &doubted, complete).await?;
        }
    }
    Ok(())
}

/// Says that a part of `content` is here. What is asked about it then may not be here yet: `wanted` is
/// told the chunk, and the answer waits until `grown` says that it is stored, or that nothing more comes.
pub(crate) async fn hold_part(
    core: &Arc<Core>,
    content: BlobId,
    wanted: impl AsyncFnOnce(u64),
    mut grown: broadcast::Receiver<()>,
) -> Result<(), AnnounceError> {
    let holding = Holding {
        content,
        complete: false,
    };
    let holdings = vec![holding];
    let questions: Questions = core.session.ask(&Hold { holdings }).await?;
    let Some(question) = questions.questions.into_iter().next() else {
        return Ok(());
    };
    let chunk = question.leaf / UNITS_PER_CHUNK;
    let is_here = || {
        let item = core.shelf.item(content);
        item.is_none_or(|item| item.body.stored().is_none_or(|stored| stored.contains(chunk)))
    };
    if !is_here() {
        wanted(chunk).await;
    }
    while !is_here() && !matches!(grown.recv().await, Err(RecvError::Closed)) {}
    // Without an answer the question would stay open, and there may not be many of those.
    let answers = vec![answer(core, question).await];
    core.session.ask::<_, Verdicts>(&Answers { answers }).await?;
    Ok(())
}

/// One batch. Returns those that were not believed although nothing spoke against them here.
async fn hold_batch(
    core: &Arc<Core>,
    batch: &[BlobId],
    complete: bool,
) -> Result<Vec<BlobId>, AnnounceError> {
    let holding = |&content| Holding { content, complete };
    let holdings = batch.iter().map(holding).collect();
    let questions: Questions = core.session.ask(&Hold { holdings }).await?;
    let (mut refused, mut unproven) = (BTreeSet::new(), BTreeSet::new());
    for questions in questions.questions.chunks(ANSWERS) {
        let mut answers = Vec::new();
        for question in questions {
            answers.push(answer(core, question.clone()).await);
        }
        unproven.extend(answers.iter().filter(|a| a.answer.is_none()).map(|a| a.content));
        let verdicts: Verdicts = core.session.ask(&Answers { answers }).await?;
        refused.extend(verdicts.refused);
    }
    for content in refused.intersection(&unproven) {
        tracing::debug!("what was asked about {content} could not be read here");
    }
    Ok(refused.difference(&unproven).copied().collect())
}

/// Says that these are here no more.
pub(crate) async fn forget(core: &Arc<Core>, contents: &[BlobId]) -> Result<(), AnnounceError> {
    for batch in contents.chunks(BATCH) {
        core.session
            .ask::<_, Done>(&Drop {
                contents: batch.to_vec(),
            })
            .await?;
    }
    Ok(())
}

async fn answer(core: &Arc<Core>, question: Question) -> Answer {
    let content = question.content;
    let Some(item) = core.shelf.item(content) else {
        return Answer {
            content,
            answer: None,
            triples: Vec::new(),
        };
    };
    let body = item.body.clone();
    let mut rng = core.world.entropy.rng();
    let work = move || {
        let answer = hash_leaf(&body, &question.nonce, question.leaf);
        let triples = if answer.is_some() {
            make_triples(&body, &mut rng)
        } else {
            Vec::new()
        };
        (answer, triples)
    };
    let (answer, triples) = core.world.work.call(work).await;
    Answer {
        content,
        answer,
        triples,
    }
}

/// Fresh questions about a content that is here, with their answers.
pub(crate) async fn triples(core: &Arc<Core>, content: BlobId) -> Option<Vec<Triple>> {
    let body = core.shelf.item(content)?.body.clone();
    let mut rng = core.world.entropy.rng();
    Some(core.world.work.call(move || make_triples(&body, &mut rng)).await)
}

fn make_triples(body: &Body, rng: &mut StdRng) -> Vec<Triple> {
    let Body::Whole(source) = body else {
        return Vec::new();
    };
    let make = |_| {
        let leaf = random_leaf(source.layout(), rng)?;
        let nonce = rng.random();
        Some(Triple {
            nonce,
            leaf,
            answer: hash_leaf(body, &nonce, leaf)?,
        })
    };
    (0..TRIPLES).filter_map(make).collect()
}

fn random_leaf(layout: &Layout, rng: &mut StdRng) -> Option<u64> {
    let chunk = rng.random_range(0..layout.chunks());
    let units = unit_count(layout.chunk_bytes(chunk)?).max(1);
    leaf_number(chunk, rng.random_range(0..units))
}

/// The answer to a question. What has decayed gives none: others would be measured by it.
fn hash_leaf(body: &Body, nonce: &[u8; 32], leaf: u64) -> Option<[u8; 32]> {
    let mut bytes = vec![0; usize::try_from(UNIT_BYTES).expect("16 KiB")];
    let len = match body {
        Body::Whole(source) => source
            .check_chunk(leaf / UNITS_PER_CHUNK, &mut Vec::new())
            .and_then(|()| source.leaf(leaf, &mut bytes)),
        Body::Growing(partial) => partial.leaf(leaf, &mut bytes),
    };
    let len = len
        .inspect_err(|error| tracing::debug!("leaf {leaf} cannot be told: {error}"))
        .ok()?;
    Some(leaf_answer(nonce, bytes.get(..len)?))
}
