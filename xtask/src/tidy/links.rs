//! Links between the project's documents lead somewhere. Addresses outside are not asked.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use super::Complaint;

/// Every relative link of the Markdown file at `path` that leads to none of `paths`.
pub(super) fn check(path: &str, text: &str, paths: &BTreeSet<String>) -> Vec<Complaint> {
    if !path.ends_with(".md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let broken = targets(content).filter(|target| !leads_somewhere(path, target, paths));
        found.extend(broken.map(|target| Complaint {
            path: path.to_owned(),
            line,
            message: format!("the link to {target} leads nowhere"),
        }));
    }
    found
}

/// The targets of `[text](target)` in one line, without what lies outside the checkout.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let all = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    all.map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

fn leads_somewhere(from: &str, target: &str, paths: &BTreeSet<String>) -> bool {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let Some(resolved) = resolve(&folder.join(target)) else {
        return false;
    };
    paths.iter().any(|path| Path::new(path).starts_with(&resolved))
}

/// `path` without `.` and `..`; none if it leaves the checkout.
fn resolve(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if !resolved.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(line: &str) -> usize {
        let paths = ["README.md", "docs/protocol.md", "docs/decisions/0001-tcp.md"].map(String::from);
        check("docs/performance.md", line, &BTreeSet::from(paths)).len()
    }

    #[test]
    fn links_to_files_and_folders_pass() {
        assert_eq!(
            broken("[a](protocol.md#frames), [b](../README.md) and [c](decisions/)"),
            0
        );
        assert_eq!(broken("[outside](https://example.org/x.md), [here](#below)"), 0);
    }

    #[test]
    fn broken_links_are_named() {
        assert_eq!(broken("[a](protocols.md) [b](../../README.md) [c](decision)"), 3);
    }
}
