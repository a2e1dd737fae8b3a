//! Which peers keep the shards of a pack (document "P2PBRS", COEN 366: BACKUP-PLAN and BACKUP-DENIED).
//!
//! Never two shards of a pack on one peer, never one on a device of the owner; spread over sites first,
//! then by chance, where more room and more time online give a better chance. Chance is what keeps a
//! thousand plans from all landing on the same best peer. What was promised and is not yet confirmed is
//! in [`plans`]; nothing here knows what is in a pack.

pub mod plans;

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_wire::{PeerId, backup::Scheme, record::Role};
use thiserror::Error;

pub use plans::Plans;

/// Where a peer stands, as its operator named it: a house, a room, a rack.
pub type Site = Box<str>;

/// A peer that may be asked to keep shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its key.
    pub peer: PeerId,
    /// What it does; an owner alone keeps nothing.
    pub role: Role,
    /// Where it stands. A peer that does not say is a site of its own.
    pub site: Option<Site>,
    /// Whether it is there now.
    pub online: bool,
    /// Bytes it still has for this owner, without what is reserved.
    pub free_bytes: u64,
    /// How much of the last weeks it was online, in thousandths.
    pub availability_permille: u16,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// How the pack is split: only for the reason of a denial.
    pub scheme: Scheme,
    /// How many more holders it takes.
    pub count: usize,
    /// Bytes for each.
    pub shard_bytes: u64,
    /// The owner's devices, and whoever else must not be asked.
    pub never: &'a [PeerId],
    /// Who has a shard of the pack already, or had one; not asked again, and their sites count.
    pub holders: &'a [PeerId],
    /// Chance; from entropy, or from the pack's id.
    pub seed: u64,
}

/// Why a plan cannot be met, and what would help (document "P2PBRS": BACKUP-DENIED).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// Nobody keeps anything for others.
    #[error("no peer of the network offers storage; let one join as storage, or with both roles")]
    NoStorage,
    /// Too few peers, whatever their space.
    #[error(
        "{scheme} takes {need} more storage peers other than the owner's own, and {have} are online{}; \
         bring more of them online, let {} more join, or choose a smaller scheme",
        Offline(*.offline), .need - .have
    )]
    TooFewPeers {
        /// What was wished.
        scheme: Scheme,
        /// New holders that it takes.
        need: usize,
        /// Candidates that are online.
        have: usize,
        /// Candidates that are not.
        offline: usize,
    },
    /// Enough peers, but they are full.
    #[error(
        "{scheme} takes {need} storage peers with {shard_bytes} bytes free each, and only {have} of {online} online \
         have that much; raise their capacity, prune, or let more peers join"
    )]
    TooLittleSpace {
        /// What was wished.
        scheme: Scheme,
        /// New holders that it takes.
        need: usize,
        /// Candidates that are online and have room.
        have: usize,
        /// Candidates that are online.
        online: usize,
        /// Bytes that each must have free.
        shard_bytes: u64,
    },
}

/// Says how many are offline, if any.
struct Offline(usize);

impl std::fmt::Display for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} are offline)"),
        }
    }
}

/// What `auto` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auto {
    /// How to split packs.
    pub scheme: Scheme,
    /// There is a single copy: if its holder is lost, so is the backup.
    pub is_fragile: bool,
}

/// The scheme for a network with so many storage peers that are not the owner's own. An owner's earlier choice
/// is kept. From four peers on there is one to spare, to which a repair can go.
///
/// # Errors
/// [`Denied::NoStorage`] when there is nobody.
pub fn auto(storage_peers: usize, earlier: Option<Scheme>) -> Result<Auto, Denied> {
    let (data, parity) = match storage_peers {
        0 => return Err(Denied::NoStorage),
        1 => (1, 0),
        2 | 3 => (1, 1),
        4..=6 => (1, 2),
        _ => (4, 2),
    };
    let scheme = earlier.or_else(|| Scheme::new(data, parity));
    let scheme = scheme.ok_or(Denied::NoStorage)?;
    Ok(Auto {
        scheme,
        is_fragile: scheme.parity() == 0,
    })
}

/// Who shall keep them.
///
/// # Errors
/// [`Denied`] says what is missing.
pub fn choose(wish: &Wish<'_>, candidates: &[Candidate]) -> Result<Vec<PeerId>, Denied> {
    let mut open = eligible(wish, candidates)?;
    let mut sites = sites_of(wish.holders, candidates);
    let mut chance = SmallRng::seed_from_u64(wish.seed);
    let mut chosen = Vec::with_capacity(wish.count);
    while chosen.len() < wish.count {
        let candidate = open.remove(draw(&open, &sites, wish.shard_bytes, &mut chance));
        if let Some(site) = &candidate.site {
            *sites.entry(site).or_default() += 1;
        }
        chosen.push(candidate.peer);
    }
    Ok(chosen)
}

/// Everybody who can be asked; at least as many as are wished.
fn eligible<'a>(wish: &Wish<'_>, candidates: &'a [Candidate]) -> Result<Vec<&'a Candidate>, Denied> {
    let may = |candidate: &&Candidate| {
        let peer = &candidate.peer;
        candidate.role != Role::Owner && !wish.never.contains(peer) && !wish.holders.contains(peer)
    };
    let all: Vec<_> = candidates.iter().filter(may).collect();
    let online: Vec<_> = all.iter().copied().filter(|candidate| candidate.online).collect();
    if online.len() < wish.count {
        return Err(Denied::TooFewPeers {
            scheme: wish.scheme,
            need: wish.count,
            have: online.len(),
            offline: all.len() - online.len(),
        });
    }
    let has_room = |candidate: &&Candidate| candidate.free_bytes >= wish.shard_bytes;
    let roomy: Vec<_> = online.iter().copied().filter(has_room).collect();
    if roomy.len() < wish.count {
        return Err(Denied::TooLittleSpace {
            scheme: wish.scheme,
            need: wish.count,
            have: roomy.len(),
            online: online.len(),
            shard_bytes: wish.shard_bytes,
        });
    }
    Ok(roomy)
}

/// How many holders each site has.
fn sites_of<'a>(holders: &[PeerId], candidates: &'a [Candidate]) -> BTreeMap<&'a Site, usize> {
    let mut sites = BTreeMap::new();
    for candidate in candidates
        .iter()
        .filter(|candidate| holders.contains(&candidate.peer))
    {
        if let Some(site) = &candidate.site {
            *sites.entry(site).or_default() += 1;
        }
    }
    sites
}

/// The place in `open` of one on a site with the fewest shards, by chance and weight.
fn draw(
    open: &[&Candidate],
    sites: &BTreeMap<&Site, usize>,
    shard_bytes: u64,
    chance: &mut SmallRng,
) -> usize {
    let load = |candidate: &Candidate| {
        let site = candidate.site.as_ref();
        site.and_then(|site| sites.get(site)).copied().unwrap_or(0)
    };
    let least = open.iter().map(|candidate| load(candidate)).min().unwrap_or(0);
    let weight = |candidate: &Candidate| match load(candidate) == least {
        true => weight(candidate, shard_bytes),
        false => 0,
    };
    let sum: u128 = open.iter().map(|candidate| weight(candidate)).sum();
    let mut left = chance.random_range(0..sum.max(1));
    let hit = open.iter().position(|candidate| {
        let weight = weight(candidate);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    });
    hit.unwrap_or(0)
}

/// Room in shards, times the square of the time online: who is half as often there is a quarter as good.
/// Who is there for storage alone counts double.
fn weight(candidate: &Candidate, shard_bytes: u64) -> u128 {
    let shards = candidate.free_bytes / shard_bytes.max(1);
    let online = u128::from(candidate.availability_permille.clamp(1, 1000));
    let dedicated = if candidate.role == Role::Storage { 2 } else { 1 };
    u128::from(shards.max(1)) * online * online * dedicated
}

#[cfg(test)]
mod tests;
