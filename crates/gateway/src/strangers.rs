//! What a datagram service owes to those it does not know: little, so that it is no weapon.
//!
//! A source address is easily forged. To one that has not registered go at most as many bytes as it
//! sent (or [`FREE_BYTES`], if that is more), and at most [`PER_SECOND`] answers in a second.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;

/// An answer of so many bytes may be longer than what it answers.
pub const FREE_BYTES: usize = 64;
/// The most answers to one unknown address in a second.
pub const PER_SECOND: u32 = 10;
/// The most unknown addresses remembered in a second; others get no answer.
const REMEMBERED: usize = 4096;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    bits: u128,
    prefix: u32,
}

/// It is not written like a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a range of addresses like 10.0.0.0/8")]
pub struct BadCidr(String);

impl Cidr {
    /// Whether an address lies in it. An IPv4 address is the same however it is written.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differs = self.bits ^ v6(ip);
        self.prefix == 0 || differs >> (128 - self.prefix) == 0
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (ip, prefix) = text
            .split_once('/')
            .map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let (longest, offset) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse().map_err(|_| bad()))?;
        if prefix > longest {
            return Err(bad());
        }
        let prefix = prefix + offset;
        Ok(Self { bits: v6(ip), prefix })
    }
}

fn v6(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
    .to_bits()
}

/// Addresses that are exempt: loopback, and what a person trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust(Vec<Cidr>);

impl Trust {
    /// Loopback and these.
    #[must_use]
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Self(ranges)
    }

    /// Whether an address is trusted.
    #[must_use]
    pub fn covers(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback() || self.0.iter().any(|range| range.contains(ip))
    }
}

/// Answers to unknown addresses in the current second.
#[derive(Debug, Default)]
pub struct Strangers {
    trust: Trust,
    second: u64,
    answers: BTreeMap<Ipv6Addr, u32>,
}

impl Strangers {
    /// Nobody was answered yet.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            ..Self::default()
        }
    }

    /// Whether `ip` is exempt.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trust.covers(ip)
    }

    /// Whether an unregistered address may get `answer_bytes` for its `request_bytes` now. If so, that counts.
    pub fn may_answer(
        &mut self,
        now: Duration,
        ip: IpAddr,
        request_bytes: usize,
        answer_bytes: usize,
    ) -> bool {
        if self.trusts(ip) {
            return true;
        }
        if now.as_secs() != self.second {
            self.second = now.as_secs();
            self.answers.clear();
        }
        if answer_bytes > request_bytes.max(FREE_BYTES) {
            return false;
        }
        let ip = Ipv6Addr::from_bits(v6(ip));
        if self.answers.len() >= REMEMBERED && !self.answers.contains_key(&ip) {
            return false;
        }
        let answers = self.answers.entry(ip).or_default();
        *answers += 1;
        *answers <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_contain_what_they_say() {
        let range: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(range.contains(ip("10.1.255.1")) && range.contains(ip("::ffff:10.1.0.1")));
        assert!(!range.contains(ip("10.2.0.1")) && !range.contains(ip("::1")));
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains(ip("8.8.8.8")));
        assert!(!"0.0.0.0/0".parse::<Cidr>().unwrap().contains(ip("2001:db8::1")));
        assert!("::/0".parse::<Cidr>().unwrap().contains(ip("8.8.8.8")));
        assert!("fd00::1".parse::<Cidr>().unwrap().contains(ip("fd00::1")));
        for bad in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129", "host/8"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn strangers_get_no_more_than_they_sent_and_ten_answers_a_second() {
        let mut strangers = Strangers::new(Trust::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let (now, stranger) = (Duration::from_secs(5), ip("192.0.2.1"));
        assert!(!strangers.may_answer(now, stranger, 10, 65));
        assert!(strangers.may_answer(now, stranger, 200, 200));
        let answered = (0..20)
            .filter(|_| strangers.may_answer(now, stranger, 10, 64))
            .count();
        assert_eq!(answered, 9);
        assert!(strangers.may_answer(now + Duration::from_secs(1), stranger, 10, 64));
        assert!((0..50).all(|_| strangers.may_answer(now, ip("10.0.0.1"), 1, 1400)));
        assert!(strangers.may_answer(now, ip("127.0.0.1"), 1, 1400));
    }

    #[test]
    fn a_flood_of_addresses_costs_bounded_memory() {
        let mut strangers = Strangers::default();
        for n in 0..20_000u32 {
            let ip = IpAddr::from(n.to_be_bytes());
            if !ip.is_loopback() {
                strangers.may_answer(Duration::ZERO, ip, 64, 64);
            }
        }
        assert_eq!(strangers.answers.len(), REMEMBERED);
    }
}
