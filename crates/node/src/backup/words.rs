//! What this device says about deletion: which packs may go, and which stay after all. Coordinators keep it and
//! pass it on; holders decide.

use std::{collections::BTreeMap, sync::Arc};

use skep_net::Link;
use skep_wire::{
    OwnerId, PackId, PeerId, Signed,
    backup::{Cancelation, Condemnation, MAX_NAMED_PACKS, Surplus},
    message::{Condemn, Done, ListCondemned, Pardon, Sentences, Unneeded},
};

use super::{error::BackupError, state::State};
use crate::core::Core;

/// Who condemned each pack, and the highest number under which it is not canceled.
pub(super) async fn sentences(
    core: &Arc<Core>,
    owner: OwnerId,
) -> Result<BTreeMap<PackId, Vec<(PeerId, u64)>>, BackupError> {
    let mut all: BTreeMap<PackId, Vec<(PeerId, u64)>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page: Sentences = core.session.ask(&ListCondemned { owner, after }).await?;
        after = page.sentences.last().map(|last| last.pack);
        for sentence in page.sentences {
            let by = (sentence.device, sentence.number);
            all.entry(sentence.pack).or_default().push(by);
        }
        if !page.more || after.is_none() {
            return Ok(all);
        }
    }
}

/// Cancels what is condemned of these packs.
pub(super) async fn spare(core: &Arc<Core>, owner: OwnerId, needed: &[PackId]) -> Result<(), BackupError> {
    let condemned = sentences(core, owner).await?;
    let mut of: BTreeMap<PeerId, (u64, Vec<PackId>)> = BTreeMap::new();
    for pack in needed {
        for (device, number) in condemned.get(pack).into_iter().flatten() {
            let (up_to, packs) = of.entry(*device).or_default();
            *up_to = (*up_to).max(*number);
            packs.push(*pack);
        }
    }
    for (condemned_by, (up_to, packs)) in of {
        for packs in packs.chunks(MAX_NAMED_PACKS) {
            let word = Cancelation {
                owner,
                device: core.id(),
                condemned_by,
                up_to,
                packs: packs.to_vec(),
            };
            let word = Signed::new(&word, &core.home.key);
            core.session.ask::<_, Done>(&Pardon { word }).await?;
        }
    }
    Ok(())
}

/// Condemns these packs.
pub(super) async fn condemn(
    core: &Arc<Core>,
    state: &State,
    owner: OwnerId,
    packs: &[PackId],
) -> Result<(), BackupError> {
    for packs in packs.chunks(MAX_NAMED_PACKS) {
        let (state, now) = (state.clone(), core.unix_s());
        let number = core.world.work.call(move || state.next_condemnation(now)).await?;
        let word = Condemnation {
            owner,
            device: core.id(),
            number,
            made_unix_s: now,
            packs: packs.to_vec(),
        };
        let word = Signed::new(&word, &core.home.key);
        core.session.ask::<_, Done>(&Condemn { word }).await?;
    }
    Ok(())
}

/// Tells a holder that it need not keep what it has of these packs. Returns of how many it took that.
pub(super) async fn relieve(
    core: &Arc<Core>,
    state: &State,
    owner: OwnerId,
    (holder, link): (PeerId, &Link),
    packs: &[PackId],
) -> Result<usize, BackupError> {
    let mut told = 0;
    for packs in packs.chunks(MAX_NAMED_PACKS) {
        let (state, now) = (state.clone(), core.unix_s());
        let number = core.world.work.call(move || state.next_condemnation(now)).await?;
        let word = Surplus {
            owner,
            device: core.id(),
            number,
            made_unix_s: now,
            holder,
            packs: packs.to_vec(),
        };
        let word = Signed::new(&word, &core.home.key);
        match link.ask::<_, Done>(&Unneeded { word }).await {
            Ok(Done {}) => told += packs.len(),
            Err(error) => tracing::info!("a holder was not told what it need not keep: {error}"),
        }
    }
    Ok(told)
}
