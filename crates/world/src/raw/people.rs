//! The names of users and groups, from `/etc/passwd` and `/etc/group`. Other directories are not asked:
//! where a name is not found, the number stands for it.

use std::{collections::HashMap, fs};

/// Users and groups of this machine.
#[derive(Debug, Default)]
pub struct People {
    users: Table,
    groups: Table,
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<u32, Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
}

impl People {
    /// Reads both files; what cannot be read has no names.
    #[must_use]
    pub fn read() -> Self {
        let read = |path| Table::parse(&fs::read(path).unwrap_or_default());
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }

    /// The name of a user; empty if it has none.
    #[must_use]
    pub fn user(&self, uid: u32) -> &[u8] {
        self.users.name(uid)
    }

    /// The name of a group; empty if it has none.
    #[must_use]
    pub fn group(&self, gid: u32) -> &[u8] {
        self.groups.name(gid)
    }

    /// The number of the user of this name; `or` where there is none.
    #[must_use]
    pub fn uid(&self, name: &[u8], or: u32) -> u32 {
        self.users.numbers.get(name).copied().unwrap_or(or)
    }

    /// The number of the group of this name; `or` where there is none.
    #[must_use]
    pub fn gid(&self, name: &[u8], or: u32) -> u32 {
        self.groups.numbers.get(name).copied().unwrap_or(or)
    }
}

impl Table {
    /// Lines of `name:password:number:...`.
    fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            let number = std::str::from_utf8(number)
                .ok()
                .and_then(|text| text.parse().ok());
            let (Some(number), 1..=255) = (number, name.len()) else {
                continue;
            };
            table.names.entry(number).or_insert_with(|| name.to_vec());
            table.numbers.entry(name.to_vec()).or_insert(number);
        }
        table
    }

    fn name(&self, number: u32) -> &[u8] {
        self.names.get(&number).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let users = Table::parse(b"root:x:0:0::/:/bin/sh\nann:x:1000:\nbroken\nbad:x:no:\ntwin:x:1000:\n");
        let people = People {
            users,
            groups: Table::default(),
        };
        assert_eq!(people.user(0), b"root");
        assert_eq!(people.user(1000), b"ann");
        assert_eq!(people.user(7), b"");
        assert_eq!(people.uid(b"ann", 5), 1000);
        assert_eq!(people.uid(b"bob", 5), 5);
        assert_eq!(people.gid(b"ann", 6), 6);
    }
}
