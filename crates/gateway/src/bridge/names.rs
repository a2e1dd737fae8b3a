//! Names of shares that fit a dialect: as they are, or shortened, and always unique.
//!
//! Pure. A share keeps its name for as long as it is there, whatever comes and goes beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::Share;

/// What fits a dialect.
#[derive(Debug, Clone, Copy)]
pub struct Fit {
    /// The most bytes of a name.
    pub name_bytes: usize,
    /// The most bytes of a file.
    pub file_bytes: u64,
    /// Whether a file can be called so there.
    pub allows: fn(&str) -> bool,
}

/// The names that are given.
#[derive(Debug)]
pub struct Names {
    fit: Fit,
    given: BTreeMap<(String, String), String>,
}

impl Names {
    /// None yet.
    #[must_use]
    pub fn new(fit: Fit) -> Self {
        Self {
            fit,
            given: BTreeMap::new(),
        }
    }

    /// The shares by their names here. Names of shares that are gone may be given again.
    pub fn assign(&mut self, shares: &[Share]) -> BTreeMap<String, Share> {
        let keys: BTreeSet<_> = shares.iter().map(key).collect();
        self.given.retain(|key, _| keys.contains(key));
        let mut files = BTreeMap::new();
        let (as_they_are, longer): (Vec<_>, Vec<_>) =
            shares.iter().partition(|share| (self.fit.allows)(&share.name));
        for share in as_they_are.into_iter().chain(longer) {
            if let Some(name) = self.name(share) {
                files.insert(name, share.clone());
            }
        }
        files
    }

    fn name(&mut self, share: &Share) -> Option<String> {
        if let Some(name) = self.given.get(&key(share)) {
            return Some(name.clone());
        }
        let taken: BTreeSet<&str> = self.given.values().map(String::as_str).collect();
        // One more than there are taken: one of these is free.
        let shortened =
            (1..=taken.len() + 1).map(|number| shortened(&share.name, number, self.fit.name_bytes));
        let name = std::iter::once(share.name.clone())
            .chain(shortened)
            .find(|name| (self.fit.allows)(name) && !taken.contains(name.as_str()))?;
        self.given.insert(key(share), name.clone());
        Some(name)
    }
}

/// Two shares with one name have different contents.
fn key(share: &Share) -> (String, String) {
    (share.name.clone(), share.id.clone())
}

/// The beginning of `name`, `~number`, and its ending if there is room for that.
fn shortened(name: &str, number: usize, bytes: usize) -> String {
    let number = format!("~{number}");
    let fits = |dot: &usize| *dot > 0 && name.len() - dot + number.len() < bytes;
    let dot = name.rfind('.').filter(fits);
    let (stem, ending) = name.split_at(dot.unwrap_or(name.len()));
    let room = bytes.saturating_sub(number.len() + ending.len());
    format!("{}{number}{ending}", cut(stem, room))
}

/// The first characters, in so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: Fit = Fit {
        name_bytes: 9,
        file_bytes: u64::MAX,
        allows: |name| !name.is_empty() && name.len() <= 9 && !name.starts_with('~'),
    };

    fn share(name: &str, id: &str) -> Share {
        Share {
            name: name.to_owned(),
            id: id.to_owned(),
            publisher: "ann".to_owned(),
            bytes: 1,
        }
    }

    fn assigned(names: &mut Names, shares: &[Share]) -> Vec<(String, String)> {
        let files = names.assign(shares).into_iter();
        files.map(|(name, share)| (name, share.name)).collect()
    }

    #[test]
    fn names_are_kept_where_they_fit_and_shortened_where_not() {
        let mut names = Names::new(FIT);
        let shares = [
            share("lorem", "1"),
            share("summer holiday.mp4", "2"),
            share("summer house.mp4", "3"),
            share("ungeheuer\u{fc}ber", "4"),
            share("x.verylongending", "5"),
        ];
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [
            pair("lorem", "lorem"),
            pair("sum~1.mp4", "summer holiday.mp4"),
            pair("sum~2.mp4", "summer house.mp4"),
            pair("ungeheu~1", "ungeheuer\u{fc}ber"),
            pair("x.veryl~1", "x.verylongending"),
        ];
        assert_eq!(assigned(&mut names, &shares), expected);
    }

    #[test]
    fn a_share_keeps_its_name_and_a_name_becomes_free() {
        let mut names = Names::new(FIT);
        let (first, second) = (share("summer holiday", "1"), share("summer house", "2"));
        assert_eq!(
            assigned(&mut names, std::slice::from_ref(&second))[0].0,
            "summer ~1"
        );
        let both = assigned(&mut names, &[first.clone(), second.clone()]);
        assert_eq!(both[0], ("summer ~1".to_owned(), "summer house".to_owned()));
        assert_eq!(both[1].0, "summer ~2");
        assigned(&mut names, std::slice::from_ref(&first));
        let both = assigned(&mut names, &[first, second]);
        assert_eq!(both[0].1, "summer house");
    }

    #[test]
    fn contents_with_one_name_and_very_many_of_them_are_told_apart() {
        let mut names = Names::new(FIT);
        let shares: Vec<Share> = (0..300).map(|n| share("same.txt", &n.to_string())).collect();
        let files = names.assign(&shares);
        assert_eq!(files.len(), 300);
        assert!(files.contains_key("same.txt") && files.keys().all(|name| name.len() <= 9));
    }

    #[test]
    fn what_can_have_no_name_is_left_out() {
        let mut names = Names::new(Fit {
            allows: |name| name == "lorem",
            ..FIT
        });
        assert_eq!(
            assigned(&mut names, &[share("lorem", "1"), share("ipsum", "2")]).len(),
            1
        );
    }
}
