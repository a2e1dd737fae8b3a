//! What owners say: rosters, heads, and what may be deleted. Kept durably before it is answered.

use std::sync::Arc;

use bytes::BytesMut;
use skep_net::Link;
use skep_wire::{
    OwnerId, Signed,
    backup::{
        self, Cancelation, Condemnation, DeviceRecord, Head, MAX_LISTED_PACKS, Roster, Surplus,
        decode_pack_list, open_kept,
    },
    message::{Done, HeadNumber, OwnerStands, ReadPackList, Reason},
};

use super::{Denied, Known, MAX_OWNERS};
use crate::core::Core;

/// Takes a roster, if it is newer.
pub(super) async fn keep_roster(core: &Arc<Core>, signed: Signed<Roster>) -> Result<Done, Denied> {
    let _turn = core.hold.writing.lock().await;
    let claimed = signed
        .peek()
        .map_err(|_| Denied::bad("the roster cannot be read"))?;
    let roster = signed
        .open(&claimed.owner.0)
        .map_err(|error| Denied::new(Reason::NotAllowed, error.to_string()))?;
    let owner = roster.owner;
    match core
        .hold
        .with(&owner, |known| (known.roster.number, known.signed == signed))
    {
        Ok((_, true)) => return Ok(Done {}),
        Ok((number, _)) if number >= roster.number => return Err(stale("roster")),
        Err(_) if core.hold.owners().len() >= MAX_OWNERS => {
            return Err(Denied::new(Reason::NoRoom, "more owners are not taken here"));
        }
        _ => {}
    }
    let (papers, written) = (core.hold.papers.clone(), signed.clone());
    core.world
        .work
        .call(move || papers.keep_roster(&owner, &written))
        .await?;
    let mut owners = core.hold.owners();
    let known = owners.entry(owner).or_insert_with(|| Known {
        roster: roster.clone(),
        signed: signed.clone(),
        heads: Default::default(),
        docket: Default::default(),
    });
    known.docket.roster(&roster);
    known
        .heads
        .retain(|_, (_, head)| open_kept(head, &roster).is_ok());
    (known.roster, known.signed) = (roster, signed);
    Ok(Done {})
}

/// Takes a head, if it is newer, with its list of packs if `from` gives it.
pub(super) async fn keep_head(
    core: &Arc<Core>,
    from: Option<&Link>,
    signed: Signed<Head>,
) -> Result<Done, Denied> {
    let claimed = signed
        .peek()
        .map_err(|_| Denied::bad("the head cannot be read"))?;
    let owner = claimed.owner;
    let opened = core.hold.with(&owner, |known| {
        let head = backup::open_kept(&signed, &known.roster)?;
        let before = known.heads.get(&head.device);
        let is_old = before.is_some_and(|before| is_newer(before, &head, &signed));
        Ok::<_, Denied>((is_old, head))
    })?;
    let (is_old, head) = opened?;
    if is_old {
        return Err(stale("head"));
    }
    let list = match here(core, &head).await? {
        Some(list) => Some(list),
        None => match from {
            Some(link) => fetch_list(link, &head).await,
            None => None,
        },
    };
    write_head(core, owner, (head, signed), list).await
}

pub(super) async fn write_head(
    core: &Arc<Core>,
    owner: OwnerId,
    (head, signed): (Head, Signed<Head>),
    list: Option<Vec<u8>>,
) -> Result<Done, Denied> {
    let _turn = core.hold.writing.lock().await;
    let (before, is_old) = core.hold.with(&owner, |known| {
        let before = known.heads.get(&head.device);
        let is_old = before.is_some_and(|before| is_newer(before, &head, &signed));
        (before.map(|(head, _)| head.packs.id), is_old)
    })?;
    if is_old {
        return Err(stale("head"));
    }
    let (papers, written, device, id) = (
        core.hold.papers.clone(),
        signed.clone(),
        head.device,
        head.packs.id,
    );
    let write = move || {
        let named = list.as_deref().map(|list| (id, list));
        papers.keep_head(&owner, &device, &written, named).map(|()| list)
    };
    let list = core.world.work.call(write).await?;
    let unneeded = {
        let mut owners = core.hold.owners();
        let Some(known) = owners.get_mut(&owner) else {
            return Ok(Done {});
        };
        known.note_head(head, signed, list.as_deref());
        let is_named = |id| known.heads.values().any(|(head, _)| head.packs.id == id);
        before.filter(|id| !is_named(*id))
    };
    if let Some(old) = unneeded {
        let papers = core.hold.papers.clone();
        core.world
            .work
            .call(move || papers.drop_list(&owner, &old))
            .await?;
    }
    save_docket(core, owner).await?;
    Ok(Done {})
}

/// Whether what is known is newer, or says something else with the same number.
fn is_newer((known, kept): &(Head, Signed<Head>), head: &Head, signed: &Signed<Head>) -> bool {
    known.number > head.number || known.number == head.number && kept != signed
}

/// The list of a head, if it is here.
async fn here(core: &Arc<Core>, head: &Head) -> Result<Option<Vec<u8>>, Denied> {
    let (papers, owner, id) = (core.hold.papers.clone(), head.owner, head.packs.id);
    Ok(core.world.work.call(move || papers.list(&owner, &id)).await?)
}

/// The list of a head, from who has it; none if it does not give the right one.
pub(super) async fn fetch_list(link: &Link, head: &Head) -> Option<Vec<u8>> {
    let size = usize::try_from(head.packs.size)
        .ok()
        .filter(|size| *size <= MAX_LISTED_PACKS * 32)?;
    let request = ReadPackList {
        owner: head.owner,
        device: head.device,
        number: head.number,
    };
    let list = link.read(&request, size, BytesMut::new(), None).await.ok()?;
    let right = blake3::hash(&list).as_bytes() == &head.packs.id.0 && decode_pack_list(&list).is_some();
    right.then(|| list.to_vec())
}

/// Packs may be deleted, after the grace.
pub(super) async fn condemn(core: &Arc<Core>, signed: Signed<Condemnation>) -> Result<Done, Denied> {
    let _turn = core.hold.writing.lock().await;
    let (shards, grace) = (core.hold.shards.clone(), core.config.grace);
    let owner = say(core, &signed, |known, word| {
        let is_here = |pack: &_| shards.has_pack(&word.owner, pack);
        known.docket.condemn(&word, grace, is_here);
    })?;
    save_docket(core, owner).await?;
    Ok(Done {})
}

/// Others have what is here of some packs: this peer's part of them may be deleted, after the grace.
pub(super) async fn relieve(core: &Arc<Core>, signed: Signed<Surplus>) -> Result<Done, Denied> {
    let _turn = core.hold.writing.lock().await;
    let claimed = signed.peek();
    if !claimed.is_ok_and(|word| word.holder == core.id()) {
        return Err(Denied::bad("the word is about somebody else"));
    }
    let (shards, grace) = (core.hold.shards.clone(), core.config.grace);
    let owner = say(core, &signed, |known, word| {
        let is_here = |pack: &_| shards.has_pack(&word.owner, pack);
        known.docket.relieve(&word, grace, is_here);
    })?;
    save_docket(core, owner).await?;
    Ok(Done {})
}

/// What was condemned stays after all.
pub(super) async fn pardon(core: &Arc<Core>, signed: Signed<Cancelation>) -> Result<Done, Denied> {
    let _turn = core.hold.writing.lock().await;
    let owner = say(core, &signed, |known, word| known.docket.cancel(&word))?;
    save_docket(core, owner).await?;
    Ok(Done {})
}

fn say<T: DeviceRecord>(
    core: &Core,
    signed: &Signed<T>,
    then: impl FnOnce(&mut Known, T),
) -> Result<OwnerId, Denied> {
    let claimed = signed
        .peek()
        .map_err(|_| Denied::bad("the word cannot be read"))?;
    let owner = claimed.owner();
    let mut owners = core.hold.owners();
    let known = owners.get_mut(&owner);
    let known = known.ok_or_else(|| Denied::not_found("tell the owner's roster first"))?;
    let word = backup::open(signed, &known.roster)?;
    then(known, word);
    Ok(owner)
}

/// Writes what is condemned.
pub(super) async fn save_docket(core: &Arc<Core>, owner: OwnerId) -> Result<(), Denied> {
    let docket = core.hold.with(&owner, |known| known.docket.encode())?;
    let papers = core.hold.papers.clone();
    Ok(core
        .world
        .work
        .call(move || papers.keep_docket(&owner, &docket))
        .await?)
}

/// What is known of an owner.
pub(super) fn state(core: &Core, owner: &OwnerId) -> OwnerStands {
    let stands = core.hold.with(owner, |known| OwnerStands {
        roster: Some(known.signed.clone()),
        heads: known
            .heads
            .values()
            .map(|(head, _)| HeadNumber {
                device: head.device,
                number: head.number,
            })
            .collect(),
    });
    stands.unwrap_or(OwnerStands {
        roster: None,
        heads: Vec::new(),
    })
}

fn stale(what: &str) -> Denied {
    Denied::new(Reason::Stale, format!("a newer {what} is known here"))
}
