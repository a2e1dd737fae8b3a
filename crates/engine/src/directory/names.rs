//! Unique names, and where each stands. A name is a label: who has it is known by the endpoint alone.

use std::{borrow::Borrow, collections::BTreeMap};

/// Names, each at one endpoint, and endpoints, each with one name.
#[derive(Debug, Clone)]
pub struct Names<E> {
    by_name: BTreeMap<String, E>,
    by_endpoint: BTreeMap<E, String>,
}

/// How a claim of a name by an endpoint stands to what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim<E> {
    /// Neither was known.
    New,
    /// It is its name already.
    Own,
    /// Somebody else has the name.
    Taken(E),
    /// The name is free, and the endpoint has had this other one so far.
    Renames(String),
}

impl<E> Default for Names<E> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_endpoint: BTreeMap::new(),
        }
    }
}

impl<E: Ord + Clone> Names<E> {
    /// How `endpoint` stands to `name`; nothing changes.
    #[must_use]
    pub fn claim(&self, name: &str, endpoint: &E) -> Claim<E> {
        match (self.by_name.get(name), self.by_endpoint.get(endpoint)) {
            (Some(holder), _) if holder == endpoint => Claim::Own,
            (Some(holder), _) => Claim::Taken(holder.clone()),
            (None, Some(former)) => Claim::Renames(former.clone()),
            (None, None) => Claim::New,
        }
    }

    /// From now on `endpoint` has `name`; whatever either had before is forgotten.
    pub fn assign(&mut self, name: &str, endpoint: E) {
        self.remove(name);
        if let Some(former) = self.by_endpoint.insert(endpoint.clone(), name.to_owned()) {
            self.by_name.remove(&former);
        }
        self.by_name.insert(name.to_owned(), endpoint);
    }

    /// Frees a name. Returns where it was.
    pub fn remove(&mut self, name: &str) -> Option<E> {
        let endpoint = self.by_name.remove(name)?;
        self.by_endpoint.remove(&endpoint);
        Some(endpoint)
    }

    /// The name at an endpoint.
    pub fn at<Q: Ord + ?Sized>(&self, endpoint: &Q) -> Option<&str>
    where
        E: Borrow<Q>,
    {
        self.by_endpoint.get(endpoint).map(String::as_str)
    }

    /// Where a name is.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&E> {
        self.by_name.get(name)
    }

    /// All of them, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &E)> {
        self.by_name.iter().map(|(name, at)| (name.as_str(), at))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The first of `prefix_1`, `prefix_2`, ... that nobody has.
    #[must_use]
    pub fn suggest(&self, prefix: &str) -> String {
        let mut names = (1u64..).map(|n| format!("{prefix}_{n}"));
        names
            .find(|name| !self.by_name.contains_key(name))
            .expect("there are more numbers than names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_at_one_endpoint_and_an_endpoint_has_one_name() {
        let mut names = Names::default();
        assert_eq!(names.claim("alice", &1), Claim::New);
        names.assign("alice", 1);
        assert_eq!(names.claim("alice", &1), Claim::Own);
        assert_eq!(names.claim("alice", &2), Claim::Taken(1));
        assert_eq!(names.claim("bob", &1), Claim::Renames("alice".into()));
        names.assign("bob", 1);
        assert_eq!((names.at(&1), names.endpoint("alice")), (Some("bob"), None));
        names.assign("bob", 2);
        assert_eq!((names.at(&1), names.at(&2), names.len()), (None, Some("bob"), 1));
        assert_eq!(names.remove("bob"), Some(2));
        assert!(names.is_empty() && names.at(&2).is_none());
    }

    #[test]
    fn the_first_free_number_is_suggested() {
        let mut names = Names::default();
        assert_eq!(names.suggest("peer"), "peer_1");
        for n in [1, 2, 4] {
            names.assign(&format!("peer_{n}"), n);
        }
        assert_eq!(names.suggest("peer"), "peer_3");
    }
}
