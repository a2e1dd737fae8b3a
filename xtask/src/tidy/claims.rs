//! The tests that docs/security.md names are there.

use std::collections::BTreeSet;

use super::Complaint;

/// The document that names tests.
const DOCUMENT: &str = "docs/security.md";

/// Every test that the document at `path` names and that is none of `functions`.
pub(super) fn check(path: &str, text: &str, functions: &BTreeSet<String>) -> Vec<Complaint> {
    if path != DOCUMENT {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let missing = named(content).filter(|name| !functions.contains(*name));
        found.extend(missing.map(|name| Complaint {
            path: path.to_owned(),
            line,
            message: format!("there is no test {name}"),
        }));
    }
    found
}

/// What stands in backquotes and is written like a test's name.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        name.contains('_')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

/// The functions that a source text defines.
pub(super) fn functions(text: &str) -> impl Iterator<Item = String> {
    let names = text
        .lines()
        .filter_map(|line| line.split_once("fn ").map(|(_, rest)| rest));
    names.filter_map(|rest| rest.split(['(', '<']).next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_named() {
        let known = functions("#[test]\n    fn it_is_there() {\n").collect();
        let line = "| it | `it_is_there`, `it_is_gone`, `skep peers`, `cargo` |\n";
        assert_eq!(check(DOCUMENT, line, &known).len(), 1);
        assert!(check("README.md", line, &known).is_empty());
    }
}
