//! Finding who has a content, and connecting to them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use roaring::RoaringTreemap;
use skep_engine::swarm::Have as Chunks;
use skep_net::Link;
use skep_wire::{
    PeerId,
    message::{Have, Holder, Holders, Lane, Lookup, WantHave},
};
use tokio::{sync::mpsc, task::JoinSet, time};

use super::{goal::Goal, job::News};
use crate::core::Core;

/// How long a search waits for its slowest holder.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks up holders, connects to those that are not in `known`, and tells of each.
pub(crate) async fn search(
    core: Arc<Core>,
    goal: Arc<Goal>,
    known: BTreeSet<PeerId>,
    only: Option<PeerId>,
    news: mpsc::Sender<News>,
) -> News {
    let me = core.id();
    let answer = core
        .session
        .ask::<_, Holders>(&Lookup { content: goal.origin })
        .await;
    let holders = answer.map(|answer| answer.holders).unwrap_or_else(|error| {
        tracing::debug!("looking for holders failed: {error}");
        Vec::new()
    });
    let wanted = |holder: &Holder| {
        let wanted = only.is_none_or(|peer| peer == holder.peer);
        wanted && holder.peer != me && !known.contains(&holder.peer)
    };
    let mut connecting = JoinSet::new();
    for holder in holders.into_iter().filter(wanted) {
        connecting.spawn(connect(core.clone(), goal.clone(), holder));
    }
    let mut found = 0;
    let all = async {
        while let Some(Ok(outcome)) = connecting.join_next().await {
            found += usize::from(matches!(outcome, News::Holder { .. }));
            if news.send(outcome).await.is_err() {
                return;
            }
        }
    };
    let _ = time::timeout(PATIENCE, all).await;
    News::Searched { found }
}

/// Connects to a holder and finds out what it has and how far it is.
pub(crate) async fn connect(core: Arc<Core>, goal: Arc<Goal>, holder: Holder) -> News {
    match try_connect(&core, &goal, &holder).await {
        Ok((link, have)) => {
            let round_trip = link.ping().await.ok();
            News::Holder {
                holder,
                link,
                have,
                round_trip,
            }
        }
        Err(why) => News::NoHolder { holder, why },
    }
}

async fn try_connect(core: &Arc<Core>, goal: &Goal, holder: &Holder) -> Result<(Link, Chunks), String> {
    let links = &core.links;
    let have = if holder.complete {
        Chunks::Complete
    } else {
        let talk = links
            .to(core, holder, Lane::Talk)
            .await
            .map_err(|e| e.to_string())?;
        let request = WantHave { content: goal.origin };
        let have: Have = talk.ask(&request).await.map_err(|e| e.to_string())?;
        chunks_of(&have)?
    };
    let bulk = links
        .to(core, holder, Lane::Bulk)
        .await
        .map_err(|e| e.to_string())?;
    Ok((bulk, have))
}

fn chunks_of(have: &Have) -> Result<Chunks, String> {
    if have.complete {
        return Ok(Chunks::Complete);
    }
    if have.chunks.is_empty() {
        return Ok(Chunks::Some(RoaringTreemap::new()));
    }
    let chunks = RoaringTreemap::deserialize_from(&have.chunks[..]);
    chunks
        .map(Chunks::Some)
        .map_err(|_| "its list of chunks cannot be read".to_owned())
}
