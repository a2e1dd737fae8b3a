//! What is left out of a backup on purpose: `--exclude`, `.skepignore`, and the peer's own home.

use std::path::{Path, PathBuf};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use skep_world::raw::Folder;
use thiserror::Error;

/// The file in a folder that says what to leave out beneath it, as `.gitignore` does.
const FILE: &[u8] = b".skepignore";
/// The most bytes of such a file that are read.
const MAX_FILE_BYTES: usize = 1 << 20;

/// A pattern that is none.
#[derive(Debug, Error)]
#[error("{glob} is not a pattern: {reason}")]
pub struct BadGlob {
    glob: String,
    reason: String,
}

/// The rules at a place in the tree: those of all folders above it.
pub(super) struct Rules {
    everywhere: Gitignore,
    home: PathBuf,
    folders: Vec<Gitignore>,
}

/// Checks the patterns of `--exclude`.
pub(crate) fn parse(globs: &[String]) -> Result<Gitignore, BadGlob> {
    let mut builder = GitignoreBuilder::new("/");
    for glob in globs {
        builder.add_line(None, glob).map_err(|e| BadGlob {
            glob: glob.clone(),
            reason: e.to_string(),
        })?;
    }
    builder.build().map_err(|e| BadGlob {
        glob: globs.join(" "),
        reason: e.to_string(),
    })
}

impl Rules {
    pub(super) fn new(everywhere: Gitignore, home: PathBuf) -> Self {
        Self {
            everywhere,
            home,
            folders: Vec::new(),
        }
    }

    /// Enters a folder, which may have rules of its own.
    pub(super) fn enter(&mut self, path: &Path, folder: &dyn Folder) {
        self.folders
            .push(read(path, folder).unwrap_or_else(Gitignore::empty));
    }

    /// Leaves the folder that was entered last.
    pub(super) fn leave(&mut self) {
        self.folders.pop();
    }

    /// Whether what lies at `path`, in the folder that was entered last, is left out.
    pub(super) fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        if path == self.home {
            return true;
        }
        // The nearest file that says something counts; who runs the backup has the last word.
        let nearest_first = self.folders.iter().rev();
        std::iter::once(&self.everywhere)
            .chain(nearest_first)
            .find_map(|rules| match rules.matched(path, is_folder) {
                Match::None => None,
                matched => Some(matched.is_ignore()),
            })
            .unwrap_or(false)
    }
}

/// The rules of a folder, if it has some. A line that is no pattern is no rule.
fn read(path: &Path, folder: &dyn Folder) -> Option<Gitignore> {
    folder.find(FILE).ok().flatten()?;
    let mut text = vec![0; MAX_FILE_BYTES];
    let len = folder.file(FILE).ok()?.read_at(0, &mut text).ok()?;
    compile(path, &text[..len])
}

/// The rules that a file in the folder `path` has.
pub(crate) fn compile(path: &Path, text: &[u8]) -> Option<Gitignore> {
    let mut builder = GitignoreBuilder::new(path);
    for line in String::from_utf8_lossy(text).lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use skep_world::{Disk as _, real};

    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join(".skepignore"), "*.o\n!keep.o\n/only-here\n").unwrap();
        let globs = ["target/".to_owned(), "*.tmp".to_owned()];
        let mut rules = Rules::new(parse(&globs).unwrap(), tmp.path().join("home"));
        rules.enter(tmp.path(), &*real::Disk.raw(tmp.path()).unwrap());
        let out = |name: &str, is_folder| rules.leave_out(&tmp.path().join(name), is_folder);
        for (name, is_folder, left_out) in [
            ("a.o", false, true),
            ("sub/b.o", false, true),
            ("keep.o", false, false),
            ("only-here", false, true),
            ("sub/only-here", false, false),
            ("target", true, true),
            ("target", false, false),
            ("x.tmp", false, true),
            ("home", true, true),
            ("a.c", false, false),
        ] {
            assert_eq!(out(name, is_folder), left_out, "{name}");
        }
        rules.leave();
        assert!(!rules.leave_out(&tmp.path().join("a.o"), false));
        assert!(parse(&["[z-a]".to_owned()]).is_err());
    }
}
