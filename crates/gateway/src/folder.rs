//! The folder that a peer's role shares and downloads into: files directly in it, by name.
//!
//! Everything is resolved beneath the folder and never through symbolic links, as
//! [`skep_world::Dir`] promises. What is not complete yet has a name that is neither listed nor
//! served; a download gets its own name at its end, and replaces nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_wire::RelPath;
use skep_world::{
    Dir, Disk, File,
    disk::{Kind, Open, Replace},
};

/// How the names of incomplete files begin.
const INCOMPLETE: &str = ".skep-incomplete-";

/// A shared folder. Its methods are blocking.
#[derive(Clone)]
pub struct Folder(Arc<dyn Dir>);

impl Folder {
    /// The folder at `path`, which the user named.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        disk.dir(path).map(Self)
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.host_path()
    }

    /// An ordinary file in it, for reading, and its size.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    pub fn file(&self, name: &str) -> io::Result<(Arc<dyn File>, u64)> {
        let file = self.0.open(&visible(name)?, Open::Read)?;
        let size = file.stat()?.size;
        Ok((file, size))
    }

    /// Whether something has this name.
    ///
    /// # Errors
    /// When that cannot be found out, or nothing can have it.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match self.0.stat(&visible(name)?) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The names of the ordinary files in it.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = self.0.list(None)?.into_iter();
        let files = entries.filter(|entry| entry.kind == Kind::File);
        let names = files.filter_map(|entry| entry.name.into_string().ok());
        Ok(names.filter(|name| visible(name).is_ok()).collect())
    }

    /// Begins a file that will have this name once it is complete.
    ///
    /// # Errors
    /// Of kind `AlreadyExists` when there is one; when it cannot be made.
    pub fn begin(&self, name: &str) -> io::Result<Incoming> {
        let target = visible(name)?;
        if self.has(name)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let partial = parsed(&format!("{INCOMPLETE}{name}"))?;
        match self.0.remove_file(&partial) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = self.0.open(&partial, Open::CreateNew)?;
        Ok(Incoming {
            dir: self.0.clone(),
            file,
            partial: Some(partial),
            target,
        })
    }
}

/// A file on its way. It is removed if it is dropped before it is complete.
pub struct Incoming {
    dir: Arc<dyn Dir>,
    file: Arc<dyn File>,
    partial: Option<RelPath>,
    target: RelPath,
}

impl Incoming {
    /// What is written so far.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// It is complete: durable, and then under its name.
    ///
    /// # Errors
    /// When it cannot be written, or something else has the name by now.
    pub fn complete(mut self) -> io::Result<()> {
        self.file.sync()?;
        if let Some(partial) = self.partial.take() {
            let renamed = self.dir.rename(&partial, &self.target, Replace::Never);
            if renamed.is_err() {
                self.partial = Some(partial);
            }
            renamed?;
        }
        self.dir.sync(None)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // What cannot be removed is neither listed nor served.
            let _ = self.dir.remove_file(partial);
        }
    }
}

/// A single component that is no incomplete file.
fn visible(name: &str) -> io::Result<RelPath> {
    let path = parsed(name)?;
    if path.components().count() != 1 || name.starts_with(INCOMPLETE) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(path)
}

fn parsed(name: &str) -> io::Result<RelPath> {
    RelPath::parse(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

#[cfg(test)]
mod tests {
    use skep_wire::hostile;
    use skep_world::real;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("shared")).unwrap();
        let folder = Folder::open(&real::Disk, &outer.path().join("shared")).unwrap();
        (outer, folder)
    }

    #[test]
    fn a_download_has_its_name_when_it_is_complete_and_not_before() {
        let (_outer, folder) = folder();
        let incoming = folder.begin("lorem").unwrap();
        incoming.file().write_at(0, b"ipsum").unwrap();
        assert_eq!(folder.names().unwrap(), [""; 0]);
        incoming.complete().unwrap();
        assert_eq!(folder.names().unwrap(), ["lorem"]);
        let (file, size) = folder.file("lorem").unwrap();
        let mut bytes = [0; 5];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!((size, &bytes), (5, b"ipsum"));
        let again = folder.begin("lorem").err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_is_given_up_leaves_nothing_and_replaces_nothing() {
        let (outer, folder) = folder();
        drop(folder.begin("lorem").unwrap());
        assert_eq!(std::fs::read_dir(outer.path().join("shared")).unwrap().count(), 0);
        let incoming = folder.begin("lorem").unwrap();
        std::fs::write(outer.path().join("shared/lorem"), "mine").unwrap();
        assert!(incoming.complete().is_err());
        assert_eq!(std::fs::read(outer.path().join("shared/lorem")).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(outer.path().join("shared")).unwrap().count(), 1);
    }

    #[test]
    fn nothing_outside_is_read_or_written() {
        let (outer, folder) = folder();
        std::fs::write(outer.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", outer.path().join("shared/link")).unwrap();
        assert!(folder.file("link").is_err());
        assert!(folder.begin("link").is_err());
        assert_eq!(folder.names().unwrap(), [""; 0]);
        for name in hostile::paths().iter().chain(&hostile::components()) {
            assert!(folder.file(name).is_err(), "{name:.40?}");
            assert!(folder.begin(name).is_err(), "{name:.40?}");
        }
        assert!(folder.begin("a/b").is_err());
        assert!(folder.file(&format!("{INCOMPLETE}x")).is_err());
    }
}
