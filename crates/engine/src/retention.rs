//! Which snapshots to keep, and which packs to condemn or to pack anew when others were forgotten.
//!
//! Ids and sizes alone; whether a device may condemn at all is decided by holders ([`crate::deletion`]).
//! A device condemns only packs that it sealed itself, or that a retired device sealed: so nobody
//! condemns what another is storing right now and has not committed yet.

use std::collections::{BTreeMap, BTreeSet};

use skep_wire::{PackId, PeerId};
use thiserror::Error;

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// How many snapshots to keep of each sort: the newest of each of so many last days, weeks, and so on, of those
/// that have one. A snapshot may count for several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: u32,
    /// Calendar days.
    pub daily: u32,
    /// Weeks, from Monday to Sunday.
    pub weekly: u32,
    /// Calendar months.
    pub monthly: u32,
    /// Calendar years.
    pub yearly: u32,
}

/// A policy that keeps nothing: more likely forgotten than meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this would forget every snapshot; say how many to keep")]
pub struct KeepsNothing;

/// Why a snapshot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// It is one of the newest.
    Last,
    /// The newest of its day.
    Daily,
    /// The newest of its week.
    Weekly,
    /// The newest of its month.
    Monthly,
    /// The newest of its year.
    Yearly,
}

/// The number of the day, week, month or year of a day.
type Period = fn(i64) -> i64;

/// What becomes of each of `taken` (seconds since 1970, in any order): why it is kept; not at all, if the list is
/// empty. `offset_s` is how far the owner's clock is ahead of UTC.
///
/// # Errors
/// [`KeepsNothing`].
pub fn judge(policy: &Policy, taken: &[u64], offset_s: i32) -> Result<Vec<Vec<Because>>, KeepsNothing> {
    let rules: [(Because, u32, Period); 4] = [
        (Because::Daily, policy.daily, |day| day),
        // 1970 began on a Thursday.
        (Because::Weekly, policy.weekly, |day| (day + 3).div_euclid(7)),
        (Because::Monthly, policy.monthly, month),
        (Because::Yearly, policy.yearly, |day| month(day).div_euclid(12)),
    ];
    if policy.last == 0 && rules.iter().all(|(_, count, _)| *count == 0) {
        return Err(KeepsNothing);
    }
    let mut newest_first: Vec<usize> = (0..taken.len()).collect();
    newest_first.sort_by_key(|index| std::cmp::Reverse((taken[*index], *index)));
    let mut reasons = vec![Vec::new(); taken.len()];
    for index in newest_first.iter().take(policy.last as usize) {
        reasons[*index].push(Because::Last);
    }
    for (because, count, period) in rules {
        let mut seen = BTreeSet::new();
        for index in &newest_first {
            let day = day(taken[*index], offset_s);
            if seen.len() < count as usize && seen.insert(period(day)) {
                reasons[*index].push(because);
            }
        }
    }
    Ok(reasons)
}

/// Days since 1970-01-01, where the owner lives.
fn day(unix_s: u64, offset_s: i32) -> i64 {
    let unix_s = i64::try_from(unix_s).unwrap_or(i64::MAX / 2);
    (unix_s + i64::from(offset_s)).div_euclid(DAY_S)
}

/// Months since the year 0, of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn month(day: i64) -> i64 {
    let shifted = day + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + from_march + 2
}

/// A pack of the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack<P> {
    /// Its id.
    pub id: PackId,
    /// The device that sealed it.
    pub sealed_by: PeerId,
    /// All its bytes.
    pub bytes: u64,
    /// Whether the newest head of the device that prunes lists it. Only such a pack is sure to stay until the next
    /// head: another may be deleted while the prune runs, and nothing can be built on it.
    pub listed: bool,
    /// Its pieces, with their bytes in the pack.
    pub pieces: Vec<(P, u64)>,
}

/// Who prunes, and what it must leave alone.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// The device that prunes.
    pub device: PeerId,
    /// Devices that were retired: nobody else looks after what they sealed.
    pub retired: &'a BTreeSet<PeerId>,
    /// Packs in the newest lists of other devices.
    pub needed_by_others: &'a BTreeSet<PackId>,
    /// A pack is packed anew when so little of it is needed, in thousandths.
    pub repack_below_permille: u16,
}

/// What a prune does, in this order: seal `rescue` anew, commit a head that lists `keep` and the new packs, and
/// condemn what is then in no list of any device, of `condemn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep<P> {
    /// Packs that the device's next head lists.
    pub keep: Vec<PackId>,
    /// Needed pieces of packs that are mostly dead, and the pack to read each from.
    pub rescue: Vec<(P, PackId)>,
    /// Packs that this device may condemn, once its head does not list them.
    pub condemn: Vec<PackId>,
    /// Bytes of the packs in `condemn`.
    pub condemned_bytes: u64,
}

/// Plans a prune: `is_live` says whether a snapshot of this device, or one that it looks after, needs a piece.
///
/// Of a piece that is in several listed packs, the first counts that other devices need anyway, then the first.
pub fn sweep<P: Ord + Copy>(packs: &[Pack<P>], terms: &Terms<'_>, is_live: impl Fn(&P) -> bool) -> Sweep<P> {
    let homes = homes(packs, terms, is_live);
    let mut sweep = Sweep {
        keep: Vec::new(),
        rescue: Vec::new(),
        condemn: Vec::new(),
        condemned_bytes: 0,
    };
    for (index, pack) in packs.iter().enumerate() {
        let live = pack
            .pieces
            .iter()
            .filter(|(piece, _)| homes.get(piece) == Some(&index));
        let live_bytes: u64 = live.clone().map(|(_, bytes)| bytes).sum();
        let needed = terms.needed_by_others.contains(&pack.id);
        let mine = pack.sealed_by == terms.device || terms.retired.contains(&pack.sealed_by);
        let sparse = live_bytes * 1000 < pack.bytes * u64::from(terms.repack_below_permille);
        // To pack anew what cannot be condemned afterwards would only cost space.
        let repack = live_bytes > 0 && sparse && mine && !needed;
        if live_bytes > 0 && !repack {
            sweep.keep.push(pack.id);
            continue;
        }
        sweep.rescue.extend(live.map(|(piece, _)| (*piece, pack.id)));
        if mine && !needed {
            sweep.condemn.push(pack.id);
            sweep.condemned_bytes += pack.bytes;
        }
    }
    sweep
}

/// For each live piece, the place in `packs` of the one listed pack that counts.
fn homes<P: Ord + Copy>(
    packs: &[Pack<P>],
    terms: &Terms<'_>,
    is_live: impl Fn(&P) -> bool,
) -> BTreeMap<P, usize> {
    let is_needed = |pack: &Pack<P>| terms.needed_by_others.contains(&pack.id);
    let mut order: Vec<usize> = (0..packs.len()).filter(|index| packs[*index].listed).collect();
    order.sort_by_key(|index| !is_needed(&packs[*index]));
    let mut homes = BTreeMap::new();
    for index in order {
        for (piece, _) in packs[index].pieces.iter().filter(|(piece, _)| is_live(piece)) {
            homes.entry(*piece).or_insert(index);
        }
    }
    homes
}

#[cfg(test)]
mod tests;
