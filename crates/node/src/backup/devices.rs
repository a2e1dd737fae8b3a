//! The devices of an owner: which there are, and how a lost one is revoked.
//!
//! Only the owner's key signs rosters, and it follows from the words alone. So revoking takes the words, which are
//! used once and kept nowhere.

use std::{collections::BTreeMap, sync::Arc};

use skep_vault::{Owner, Phrase};
use skep_wire::{
    PeerId, Signed,
    backup::{Device, Roster},
};

use super::{
    door,
    error::BackupError,
    state::{Owned, State},
    sync,
};
use crate::{
    api::types::{DeviceLine, RevokeDone, RevokeRequest},
    core::Core,
    listing,
};

/// How much of a key stands for it.
const SHORTEST_ID: usize = 8;

/// All devices that may do something, as people know them.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<DeviceLine>, BackupError> {
    let (_, owned) = door::known(core).await?;
    Ok(lines(core, &owned, &names(core).await))
}

/// Takes all rights from a device, for good, and begins an epoch: it reads nothing that is stored from now on.
pub(crate) async fn revoke(core: &Arc<Core>, request: RevokeRequest) -> Result<RevokeDone, BackupError> {
    let _alone = core.backups.alone()?;
    let owner = Owner::new(&Phrase::parse(&request.phrase)?);
    let (state, mut owned) = door::known_here(core).await?;
    if owner.id() != owned.owner {
        return Err(BackupError::WrongPhrase);
    }
    // What the network knows comes first: the next roster follows the newest, and so does the last head that counts.
    sync::with_network(core, &state, &mut owned).await?;
    let lines = lines(core, &owned, &names(core).await);
    let (device, name) = find(&lines, &request.name)?;
    if device == core.id() {
        return Err(BackupError::OwnDevice);
    }
    let last_head = owned.heads.get(&device).map_or(0, |known| known.head.number);
    let roster = owner.revoke(&owned.signed, &device, last_head, &mut || {
        core.world.entropy.bytes32()
    })?;
    keep(core, state, roster.clone()).await?;
    sync::tell_roster(core, roster.clone()).await?;
    let roster = roster.peek().map_err(|_| BackupError::DamagedState("roster"))?;
    Ok(RevokeDone {
        name,
        id: device.to_string(),
        epoch: roster.epoch,
        devices: roster.devices.len(),
    })
}

/// The home has it before anybody else: if the coordinator is not told now, it is with the next backup.
async fn keep(core: &Arc<Core>, state: State, roster: Signed<Roster>) -> Result<(), BackupError> {
    core.world.work.call(move || state.keep_roster(&roster)).await
}

/// The names of peers, as far as the coordinator knows them.
async fn names(core: &Arc<Core>) -> BTreeMap<PeerId, String> {
    let rows = listing::peers(core).await.unwrap_or_default();
    rows.into_iter()
        .map(|row| (row.peer, row.name.to_string()))
        .collect()
}

fn lines(core: &Core, owned: &Owned, names: &BTreeMap<PeerId, String>) -> Vec<DeviceLine> {
    let line = |device: &Device| DeviceLine {
        name: name(owned, &device.peer, names),
        id: device.peer.to_string(),
        own: device.peer == core.id(),
    };
    owned.roster.devices.iter().map(line).collect()
}

/// What the network calls it; or what it called itself in its last snapshot.
fn name(owned: &Owned, device: &PeerId, names: &BTreeMap<PeerId, String>) -> String {
    if let Some(name) = names.get(device) {
        return name.clone();
    }
    let last = owned
        .heads
        .get(device)
        .and_then(|known| known.catalog.snapshots.last());
    last.map_or_else(String::new, |last| {
        String::from_utf8_lossy(&last.host).into_owned()
    })
}

/// The only device of this name, or whose key begins so.
fn find(lines: &[DeviceLine], wanted: &str) -> Result<(PeerId, String), BackupError> {
    let is_meant = |line: &&DeviceLine| {
        line.name == wanted || wanted.len() >= SHORTEST_ID && line.id.starts_with(wanted)
    };
    let mut meant = lines.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(line), None) => {
            let id = line.id.parse().map_err(|_| BackupError::DamagedState("roster"))?;
            Ok((id, line.name.clone()))
        }
        (Some(_), Some(_)) => Err(BackupError::AmbiguousDevice(wanted.to_owned())),
        (None, _) => {
            let names: Vec<&str> = lines.iter().map(|line| &*line.name).collect();
            Err(BackupError::NoDevice(wanted.to_owned(), names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_name_and_by_the_beginning_of_their_keys() {
        let line = |name: &str, byte: u8| DeviceLine {
            name: name.to_owned(),
            id: PeerId([byte; 32]).to_string(),
            own: false,
        };
        let lines = [line("desk", 1), line("laptop", 2), line("laptop", 3)];
        assert_eq!(find(&lines, "desk").unwrap().0, PeerId([1; 32]));
        let (id, name) = find(&lines, &lines[1].id[..10]).unwrap();
        assert_eq!((id, name.as_str()), (PeerId([2; 32]), "laptop"));
        assert!(matches!(
            find(&lines, "laptop"),
            Err(BackupError::AmbiguousDevice(_))
        ));
        assert!(
            matches!(find(&lines, "phone"), Err(BackupError::NoDevice(_, known)) if known.contains("desk"))
        );
        assert!(find(&lines, &lines[1].id[..7]).is_err(), "too short to mean one");
    }
}
