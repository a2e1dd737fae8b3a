//! The closed formula: a pack is a Markov chain that counts its missing shards.

use super::{Setting, Sites};

/// How many packs are lost in the time of the setting.
///
/// With n shards of which k are needed, each shard is lost at the rate r and back at the rate 1/T: from i missing
/// ones the chain goes up at (n-i)r and down at i/T, and ends at n-k+1. The mean time to its end is the sum over
/// i <= n-k and j <= i of the product of (down by up) from j+1 to i, by the rate upwards at j. A site that is lost
/// takes one shard of a pack that is spread over sites, so r is the sum of both rates; one that is not spread also
/// ends where more than n-k of its shards stand on one site.
#[must_use]
pub fn expected(setting: &Setting) -> f64 {
    let of_sites = setting.sites.map_or(0.0, |sites| 1.0 / sites.lifetime_days);
    let rate = 1.0 / setting.lifetime_days + of_sites;
    let (shards, parity) = (setting.scheme.shards(), setting.scheme.parity());
    let yearly = 1.0 / days_to_loss(shards, parity, rate, setting.window_days());
    let at_once = match setting.sites {
        Some(sites) if !sites.are_named => lost_at_once(&sites, shards, parity),
        _ => 0.0,
    };
    (yearly + at_once) * f64::from(setting.packs) * f64::from(setting.days)
}

fn days_to_loss(shards: usize, parity: usize, rate: f64, window_days: f64) -> f64 {
    let up = |missing: usize| (shards - missing) as f64 * rate;
    let down = |missing: usize| missing as f64 / window_days;
    let mut days = 0.0;
    for last in 0..=parity {
        for first in 0..=last {
            let back: f64 = (first + 1..=last).map(|i| down(i) / up(i)).product();
            days += back / up(first);
        }
    }
    days
}

/// How often in a day a site is lost that has more than `parity` of a pack's shards, which stand anywhere.
fn lost_at_once(sites: &Sites, shards: usize, parity: usize) -> f64 {
    let here = 1.0 / f64::from(sites.count);
    let exactly = |count: usize| {
        let ways: f64 = (0..count).map(|i| (shards - i) as f64 / (i + 1) as f64).product();
        ways * power(here, count) * power(1.0 - here, shards - count)
    };
    let too_many: f64 = (parity + 1..=shards).map(exactly).sum();
    too_many * f64::from(sites.count) / sites.lifetime_days
}

fn power(base: f64, times: usize) -> f64 {
    (0..times).map(|_| base).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_copy_lives_as_long_as_its_holder() {
        let days = days_to_loss(1, 0, 0.1, 1.0);
        assert!((days - 10.0).abs() < 1e-9, "{days}");
    }

    #[test]
    fn two_copies_are_lost_when_the_second_goes_before_the_first_is_back() {
        // By hand: (3r + 1/T) / 2r².
        let (rate, window) = (0.02, 1.5);
        let by_hand = (3.0 * rate + 1.0 / window) / (2.0 * rate * rate);
        let days = days_to_loss(2, 1, rate, window);
        assert!((days / by_hand - 1.0).abs() < 1e-9, "{days} {by_hand}");
    }

    #[test]
    fn a_site_takes_two_copies_at_once_where_chance_put_them_there() {
        let sites = Sites {
            count: 4,
            lifetime_days: 100.0,
            are_named: false,
        };
        // One in four pairs stands on one site, and that one is lost every hundred days.
        let often = lost_at_once(&sites, 2, 1);
        assert!((often - 0.25 / 100.0).abs() < 1e-12, "{often}");
    }
}
