//! The fields of one line, read from left to right.

use std::str::FromStr;

use super::field::BadField;

/// What is left of a line.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        let rest = line.trim_matches([' ', '\r', '\n', '\0']);
        Self { rest }
    }

    /// The next token; none at the end. Two spaces are no field between them.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let (token, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest.trim_start_matches(' ');
        (!token.is_empty()).then_some(token)
    }

    /// The next field.
    pub(super) fn field<T: FromStr>(&mut self) -> Result<T, BadField> {
        self.next().and_then(|token| token.parse().ok()).ok_or(BadField)
    }

    /// A field that may be missing; if it is there, it must make sense.
    pub(super) fn optional<T: FromStr>(&mut self) -> Result<Option<T>, BadField> {
        self.next()
            .map(|token| token.parse().map_err(|_| BadField))
            .transpose()
    }

    /// Everything that is left: a reason may have spaces.
    pub(super) fn rest(self) -> &'a str {
        self.rest
    }

    /// The list in brackets that comes now, and what is left after it.
    pub(super) fn list<T: FromStr>(&mut self) -> Result<T, BadField> {
        let end = self.rest.rfind(']').ok_or(BadField)? + 1;
        let (list, rest) = self.rest.split_at_checked(end).ok_or(BadField)?;
        self.rest = rest.trim_start_matches(' ');
        list.parse().map_err(|_| BadField)
    }

    /// Whether a list in brackets comes now.
    pub(super) fn at_list(&self) -> bool {
        self.rest.starts_with('[')
    }
}
