//! What owners said, on the disk, held against what is in memory, which was verified when it came: what has rotten is
//! written again. Shards are not looked at here; see [`super::scrubbing`].

use std::{io, sync::Arc};

use skep_engine::deletion::Docket;
use skep_store::papers::Condition;
use skep_wire::{
    BlobId, OwnerId, PeerId, Signed,
    backup::{Head, encode_pack_list},
    message::{DamagedPaper, Paper, Reviewed},
};

use super::{Denied, Hold, Known, lists};
use crate::core::Core;

/// The most papers that an answer names.
const MAX_TOLD: usize = 256;

/// Looks through the papers of an owner, and mends them.
pub(super) async fn review(core: &Arc<Core>, owner: OwnerId) -> Result<Reviewed, Denied> {
    let (mut damaged, unknown) = look(core, owner).await?;
    let lists = unknown.len();
    let fetched = lists::fetch(core, owner, unknown).await;
    damaged.extend((0..lists).map(|number| DamagedPaper {
        paper: Paper::List,
        mended: number < fetched,
    }));
    for DamagedPaper { paper, mended } in &damaged {
        tracing::warn!("a paper of an owner was damaged on the disk: {paper:?}; written again: {mended}");
    }
    damaged.truncate(MAX_TOLD);
    Ok(Reviewed { damaged })
}

/// Heads, as they are known and as they came.
type Heads = Vec<(Head, Signed<Head>)>;

/// Writes again what is known. Returns what was damaged, and the heads whose lists are and are not known.
async fn look(core: &Arc<Core>, owner: OwnerId) -> Result<(Vec<DamagedPaper>, Heads), Denied> {
    let _turn = core.hold.writing.lock().await;
    let inner = core.clone();
    let look = move || {
        let mut desk = Desk {
            hold: &inner.hold,
            owner,
            damaged: Vec::new(),
            unknown: Vec::new(),
        };
        desk.look().map(|()| (desk.damaged, desk.unknown))
    };
    core.world.work.call(look).await
}

/// One look through an owner's papers, in which nobody else writes any. Blocks.
struct Desk<'a> {
    hold: &'a Hold,
    owner: OwnerId,
    damaged: Vec<DamagedPaper>,
    /// Heads with damaged lists that are to be had from others.
    unknown: Heads,
}

impl Desk<'_> {
    fn look(&mut self) -> Result<(), Denied> {
        self.roster()?;
        let devices: Vec<PeerId> = self.known(|known| known.heads.keys().copied().collect())?;
        for device in devices {
            self.head(&device)?;
        }
        self.docket()
    }

    fn roster(&mut self) -> Result<(), Denied> {
        let (papers, roster) = (&self.hold.papers, self.known(|known| known.signed.clone())?);
        if papers.look_at_roster(&self.owner, &roster) != Condition::Right {
            let written = papers.keep_roster(&self.owner, &roster);
            self.note(Paper::Roster, &written);
        }
        Ok(())
    }

    fn head(&mut self, device: &PeerId) -> Result<(), Denied> {
        let Some((head, signed)) = self.known(|known| known.heads.get(device).cloned())? else {
            return Ok(());
        };
        let papers = &self.hold.papers;
        if papers.look_at_head(&self.owner, device, &signed) != Condition::Right {
            let written = papers.keep_head(&self.owner, device, &signed, None);
            self.note(Paper::Head, &written);
        }
        self.list(head, signed)
    }

    fn list(&mut self, head: Head, signed: Signed<Head>) -> Result<(), Denied> {
        let (papers, id) = (&self.hold.papers, head.packs.id);
        let condition = papers.look_at_list(&self.owner, &id);
        if condition == Condition::Right {
            return Ok(());
        }
        match self.list_of(&head)? {
            Some(list) => {
                let written = papers.keep_list(&self.owner, &id, &list);
                self.note(Paper::List, &written);
            }
            None if condition == Condition::Damaged => self.unknown.push((head, signed)),
            // One that never came is no damage.
            None => {}
        }
        Ok(())
    }

    /// The list of a head, as the docket remembers it.
    fn list_of(&self, head: &Head) -> Result<Option<Vec<u8>>, Denied> {
        let packs = self.known(|known| known.docket.list(&head.device, head.number))?;
        let list = packs.map(encode_pack_list);
        Ok(list.filter(|list| BlobId(*blake3::hash(list).as_bytes()) == head.packs.id))
    }

    /// The one on the disk may be older by the time that passed: it need only be whole.
    fn docket(&mut self) -> Result<(), Denied> {
        let (papers, docket) = (&self.hold.papers, self.known(|known| known.docket.encode())?);
        let condition = papers.look_at_docket(&self.owner);
        // One that says nothing was never written.
        let is_unsaid = condition == Condition::Missing && docket == Docket::default().encode();
        if condition != Condition::Right && !is_unsaid {
            let written = papers.keep_docket(&self.owner, &docket);
            self.note(Paper::Docket, &written);
        }
        Ok(())
    }

    fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> Result<T, Denied> {
        self.hold.with(&self.owner, look)
    }

    fn note(&mut self, paper: Paper, written: &io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!("a damaged paper could not be written again: {error}");
        }
        let mended = written.is_ok();
        self.damaged.push(DamagedPaper { paper, mended });
    }
}
