//! Who provides what, and who is asked next.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

use rand::{Rng, RngCore};

use crate::turns::Turns;

/// How a provider is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pick {
    /// Any, all alike.
    Random,
    /// The one that was handed out least recently.
    #[default]
    RoundRobin,
    /// Any, in proportion to 1 + its credit.
    Credit,
}

/// Contents `C` and their providers `P`.
#[derive(Debug, Clone)]
pub struct Providers<C, P> {
    by_content: BTreeMap<C, Turns<P>>,
    by_provider: BTreeMap<P, BTreeSet<C>>,
    credit: BTreeMap<P, u64>,
}

impl<C, P> Default for Providers<C, P> {
    fn default() -> Self {
        Self {
            by_content: BTreeMap::new(),
            by_provider: BTreeMap::new(),
            credit: BTreeMap::new(),
        }
    }
}

impl<C: Ord + Clone, P: Ord + Clone> Providers<C, P> {
    /// Lists a provider of a content; it is the next to be handed out. Returns whether it was not listed.
    pub fn list(&mut self, content: &C, who: &P) -> bool {
        self.enter(content, who, Turns::come)
    }

    /// Lists a provider of a content behind all others. Returns whether it was not listed.
    pub fn list_last(&mut self, content: &C, who: &P) -> bool {
        self.enter(content, who, Turns::queue)
    }

    fn enter(&mut self, content: &C, who: &P, place: fn(&mut Turns<P>, P)) -> bool {
        let contents = self.by_provider.entry(who.clone()).or_default();
        let is_new = contents.insert(content.clone());
        if is_new {
            place(self.by_content.entry(content.clone()).or_default(), who.clone());
        }
        is_new
    }

    /// It does not provide that content any more. Returns whether it did.
    pub fn unlist<Q: Ord + ?Sized>(&mut self, content: &Q, who: &P) -> bool
    where
        C: Borrow<Q>,
    {
        if let Some(contents) = self.by_provider.get_mut(who) {
            contents.remove(content);
            if contents.is_empty() {
                self.by_provider.remove(who);
            }
        }
        let Some(providers) = self.by_content.get_mut(content) else {
            return false;
        };
        let was_listed = providers.go(who);
        if providers.is_empty() {
            self.by_content.remove(content);
        }
        was_listed
    }

    /// It provides nothing any more, and its credit is forgotten. Returns what it provided.
    pub fn unlist_all(&mut self, who: &P) -> BTreeSet<C> {
        self.credit.remove(who);
        let contents = self.by_provider.get(who).cloned().unwrap_or_default();
        for content in &contents {
            self.unlist(content, who);
        }
        contents
    }

    /// It was reported to have brought something to others: that counts for [`Pick::Credit`].
    pub fn give_credit(&mut self, who: &P, amount: u64) {
        let credit = self.credit.entry(who.clone()).or_default();
        *credit = credit.saturating_add(amount);
    }

    /// Whom to ask for a content, of those who `may` be asked. It has had its turn then.
    pub fn pick<Q: Ord + ?Sized>(
        &mut self,
        content: &Q,
        how: Pick,
        rng: &mut dyn RngCore,
        may: impl Fn(&P) -> bool,
    ) -> Option<P>
    where
        C: Borrow<Q>,
    {
        let providers = self.by_content.get_mut(content)?;
        let weight = |who: &P| match how {
            Pick::Credit => 1 + u128::from(self.credit.get(who).copied().unwrap_or(0)),
            Pick::Random | Pick::RoundRobin => 1,
        };
        let chosen = match how {
            Pick::RoundRobin => None,
            Pick::Random | Pick::Credit => Some(draw(providers.iter().filter(|who| may(who)), weight, rng)?),
        };
        let mut picked = None;
        let passes_over = |who: &P| chosen.as_ref().map_or(!may(who), |chosen| who != chosen);
        providers.hand_out(1, passes_over, |who| picked = Some(who.clone()));
        picked
    }

    /// Whether somebody provides it; `who`, if given.
    pub fn provides<Q: Ord + ?Sized>(&self, content: &Q, who: &P) -> bool
    where
        C: Borrow<Q>,
    {
        self.by_provider
            .get(who)
            .is_some_and(|contents| contents.contains(content))
    }

    /// The providers of a content; the next to be handed out first.
    pub fn of<Q: Ord + ?Sized>(&self, content: &Q) -> impl Iterator<Item = &P>
    where
        C: Borrow<Q>,
    {
        self.by_content.get(content).into_iter().flatten()
    }

    /// What somebody provides, in order.
    pub fn by(&self, who: &P) -> impl Iterator<Item = &C> {
        self.by_provider.get(who).into_iter().flatten()
    }

    /// All contents that somebody provides, in order.
    pub fn contents(&self) -> impl ExactSizeIterator<Item = &C> {
        self.by_content.keys()
    }

    /// All who provide something, in order.
    pub fn providers(&self) -> impl ExactSizeIterator<Item = &P> {
        self.by_provider.keys()
    }
}

/// One of `all`, in proportion to its weight.
fn draw<'a, P: Clone + 'a>(
    all: impl Iterator<Item = &'a P> + Clone,
    weight: impl Fn(&P) -> u128,
    rng: &mut dyn RngCore,
) -> Option<P> {
    let total: u128 = all.clone().map(&weight).sum();
    if total == 0 {
        return None;
    }
    let mut point = rng.random_range(0..total);
    for who in all {
        let weight = weight(who);
        if point < weight {
            return Some(who.clone());
        }
        point -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn three() -> Providers<String, u8> {
        let mut providers = Providers::default();
        for who in [3, 2, 1] {
            assert!(providers.list(&"song".to_owned(), &who));
        }
        providers
    }

    fn counts(providers: &mut Providers<String, u8>, how: Pick) -> [u32; 4] {
        let mut rng = StdRng::seed_from_u64(1);
        let mut counts = [0; 4];
        for _ in 0..1000 {
            let who = providers.pick("song", how, &mut rng, |who| *who != 3).unwrap();
            counts[usize::from(who)] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_takes_turns_among_those_who_may_be_asked() {
        assert_eq!(counts(&mut three(), Pick::RoundRobin), [0, 500, 500, 0]);
    }

    #[test]
    fn random_is_even_and_credit_is_in_proportion() {
        let mut providers = three();
        let even = counts(&mut providers, Pick::Random);
        assert!(even[1].abs_diff(500) < 60 && even[3] == 0, "{even:?}");
        providers.give_credit(&2, 8);
        let credit = counts(&mut providers, Pick::Credit);
        assert!(credit[2].abs_diff(900) < 40 && credit[3] == 0, "{credit:?}");
    }

    #[test]
    fn who_leaves_takes_along_all_that_it_provided() {
        let mut providers = three();
        providers.list(&"film".to_owned(), &3);
        assert!(!providers.list(&"film".to_owned(), &3));
        assert_eq!(providers.contents().len(), 2);
        assert_eq!(providers.unlist_all(&3).len(), 2);
        assert_eq!(providers.of("song").copied().collect::<Vec<_>>(), [1, 2]);
        assert!(!providers.provides("film", &3) && providers.by(&3).next().is_none());
        assert!(providers.unlist("song", &1) && !providers.unlist("song", &1));
        assert_eq!(
            providers.pick("film", Pick::Random, &mut StdRng::seed_from_u64(1), |_| true),
            None
        );
        assert_eq!(providers.providers().collect::<Vec<_>>(), [&2]);
    }
}
