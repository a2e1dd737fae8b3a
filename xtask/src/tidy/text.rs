//! What a single file must look like.

use super::Complaint;

/// A file that is longer holds two ideas.
const MAX_LINES: usize = 600;

/// Words that say that something is left undone. In pieces, so that this file may pass.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Macros that say the same to the compiler.
const UNFINISHED_MACROS: &[&str] = &[concat!("to", "do!("), concat!("unimple", "mented!(")];

/// What a pure crate must not touch: clocks, sockets, files, threads, randomness of its own.
const WORLDLY: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "rand::rng()",
    "OsRng",
];

/// Where [`WORLDLY`] is forbidden.
const PURE: &[&str] = &["crates/wire/src/", "crates/engine/src/", "crates/vault/src/"];

/// What a merge leaves behind.
const CONFLICT: &[&str] = &[concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];

/// Everything wrong with the file at `path`.
pub(super) fn check(path: &str, text: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut complain = |line: usize, message: String| {
        found.push(Complaint {
            path: path.to_owned(),
            line,
            message,
        });
    };
    if path.ends_with(".rs") {
        check_module(text, &mut complain);
    }
    if path.starts_with("crates/")
        && path.ends_with("Cargo.toml")
        && !text.contains("[lints]\nworkspace = true")
    {
        complain(
            0,
            "a crate takes the workspace's lints: `[lints] workspace = true`".into(),
        );
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complain(text.lines().count(), "the last line has no newline".into());
    }
    for (line, content) in (1..).zip(text.split_terminator('\n')) {
        if let Some(message) = line_fault(path, content) {
            complain(line, message);
        }
    }
    found
}

fn check_module(text: &str, complain: &mut impl FnMut(usize, String)) {
    if !text.trim_start().starts_with("//!") {
        complain(
            1,
            "a module opens with `//!`: what it is, and what it is not".into(),
        );
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        complain(
            0,
            format!("{lines} lines, {MAX_LINES} at most: it holds two ideas"),
        );
    }
}

/// The first thing that is wrong with one line.
fn line_fault(path: &str, line: &str) -> Option<String> {
    if line.ends_with(char::is_whitespace) {
        return Some("white space at the end of the line".into());
    }
    if CONFLICT.iter().any(|marker| line.starts_with(marker)) {
        return Some("a merge was not finished here".into());
    }
    if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
        return Some(format!("{word}: finish it, or describe it in an issue"));
    }
    if !path.ends_with(".rs") {
        return None;
    }
    if let Some(name) = UNFINISHED_MACROS.iter().find(|name| line.contains(*name)) {
        return Some(format!("{name}..) is not finished work"));
    }
    let pure = PURE.iter().any(|folder| path.starts_with(folder));
    let worldly = WORLDLY.iter().find(|name| pure && line.contains(*name))?;
    Some(format!("{worldly} in a pure crate: it comes in as an argument"))
}

/// Whether `word` stands in `line` by itself.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !before.ends_with(part_of_word) && !after.starts_with(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a module at `path` with `body` below a proper opening.
    fn judge(path: &str, body: &str) -> Vec<String> {
        check(path, &format!("//! A module.\n{body}"))
            .into_iter()
            .map(|complaint| complaint.message)
            .collect()
    }

    #[test]
    fn a_tidy_module_passes() {
        assert_eq!(
            judge("crates/node/src/lib.rs", "use std::fs;\n\nfn now() {}\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_module_without_text_is_refused() {
        let complaints = check("crates/node/src/lib.rs", "use std::fs;\n");
        assert!(
            complaints[0].message.contains("opens with `//!`"),
            "{complaints:?}"
        );
        assert_eq!(check("notes.md", "no module\n"), []);
    }

    #[test]
    fn unfinished_work_is_refused_in_code_and_documents() {
        for word in UNFINISHED {
            assert_eq!(judge("a.rs", &format!("// {word}: later\n")).len(), 1);
            assert_eq!(check("a.md", &format!("{word}\n")).len(), 1);
            assert_eq!(judge("a.rs", &format!("// x{word}x\n")), [""; 0]);
        }
        for name in UNFINISHED_MACROS {
            assert_eq!(judge("a.rs", &format!("fn f() {{ {name}) }}\n")).len(), 1);
        }
    }

    #[test]
    fn a_long_file_is_refused() {
        assert_eq!(judge("a.rs", &"\n".repeat(MAX_LINES - 1)), [""; 0]);
        assert!(judge("a.rs", &"\n".repeat(MAX_LINES))[0].contains("two ideas"));
    }

    #[test]
    fn a_pure_crate_reads_no_clock() {
        for name in WORLDLY {
            assert_eq!(
                judge("crates/engine/src/swarm.rs", &format!("let x = {name};\n")).len(),
                1
            );
            assert_eq!(
                judge("crates/engine/examples/scale.rs", &format!("let x = {name};\n")),
                [""; 0]
            );
        }
    }

    #[test]
    fn white_space_at_the_end_is_refused() {
        assert_eq!(judge("a.rs", "fn f() {} \n").len(), 1);
        assert_eq!(judge("a.rs", "fn f() {}\r\n").len(), 1);
        assert_eq!(judge("a.rs", "fn f() {}").len(), 1);
    }

    #[test]
    fn an_unfinished_merge_is_refused() {
        for marker in CONFLICT {
            assert_eq!(judge("a.rs", &format!("{marker}main\n")).len(), 1);
        }
    }

    #[test]
    fn a_crate_without_the_lints_is_refused() {
        assert_eq!(check("crates/a/Cargo.toml", "[package]\n").len(), 1);
        assert_eq!(check("crates/a/Cargo.toml", "[lints]\nworkspace = true\n"), []);
    }
}
