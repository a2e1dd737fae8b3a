//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! The rules are pure functions ([`edges`], [`text`], [`links`], [`claims`]); this file only reads the checkout.

mod claims;
mod edges;
mod links;
mod text;

use std::{collections::BTreeSet, fmt, fs};

use crate::{Outcome, workspace};

/// Check the rules that neither rustc nor clippy know: crate edges, module texts, file sizes, links.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Where files are data for a program, whatever they look like.
const DATA: &str = "fuzz/corpus/";

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Path from the root of the checkout, with `/`.
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Prints every complaint; fails if there is one.
pub(crate) fn run(_: &Args) -> Outcome {
    let complaints = complaints()?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => Err(format!("tidy found {count} places that break a rule").into()),
    }
}

fn complaints() -> Outcome<Vec<Complaint>> {
    let mut found = edges::check(&edges::packages(&metadata()?)?);
    let paths = paths()?;
    let texts = texts(&paths);
    let sources = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    let functions = sources.flat_map(|(_, text)| claims::functions(text)).collect();
    for (path, text) in &texts {
        found.extend(text::check(path, text));
        found.extend(links::check(path, text, &paths));
        found.extend(claims::check(path, text, &functions));
    }
    Ok(found)
}

/// All files that are text: what is not has no lines to judge.
fn texts(paths: &BTreeSet<String>) -> Vec<(&str, String)> {
    let judged = paths.iter().filter(|path| !path.starts_with(DATA));
    let read = |path: &str| {
        // One that cannot be read was removed in the work tree, and not yet in the index.
        String::from_utf8(fs::read(workspace::root().join(path)).ok()?).ok()
    };
    judged
        .filter_map(|path| Some((path.as_str(), read(path)?)))
        .collect()
}

fn metadata() -> Outcome<serde_json::Value> {
    let text = workspace::output(&mut workspace::cargo(&[
        "metadata",
        "--format-version=1",
        "--no-deps",
    ]))?;
    Ok(serde_json::from_str(&text)?)
}

/// Every file that is, or could be, committed.
fn paths() -> Outcome<BTreeSet<String>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = workspace::output(&mut workspace::command("git", &args))?;
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(String::from)
        .collect())
}
