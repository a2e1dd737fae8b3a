//! Small files that are read and written whole: keys, settings, snapshots of state.

use std::io;

use skep_wire::RelPath;

use crate::{
    Dir,
    disk::{Open, Replace},
};

impl dyn Dir + '_ {
    /// All bytes of a file; none when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read; of kind `InvalidData` when it has more than `limit` bytes.
    pub fn read_whole(&self, path: &RelPath, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let size = usize::try_from(file.stat()?.size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is too large",
            ));
        }
        let mut bytes = vec![0; size];
        file.read_exact_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a file of mode 0600, durably: after a crash it is as it was before, or has all of
    /// `bytes`. On the way they are in `path`.new.
    ///
    /// # Errors
    /// When it cannot be written; with [`Replace::Never`] of kind `AlreadyExists` when it is there.
    pub fn write_whole(&self, path: &RelPath, bytes: &[u8], replace: Replace) -> io::Result<()> {
        let new = RelPath::parse(&format!("{path}.new")).map_err(io::Error::other)?;
        match self.remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = self.open(&new, Open::CreateNewPrivate)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.rename(&new, path, replace)?;
        self.sync(path.parent().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk as _, real};

    #[test]
    fn a_file_is_written_and_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let dir = real::Disk.dir(folder.path()).unwrap();
        let path = RelPath::parse("state").unwrap();
        assert_eq!(dir.read_whole(&path, 10).unwrap(), None);
        dir.write_whole(&path, b"one", Replace::Never).unwrap();
        std::fs::write(folder.path().join("state.new"), b"left by a crash").unwrap();
        dir.write_whole(&path, b"three", Replace::Allow).unwrap();
        assert_eq!(dir.read_whole(&path, 5).unwrap().unwrap(), b"three");
        assert_eq!(
            dir.read_whole(&path, 4).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let refused = dir.write_whole(&path, b"four", Replace::Never).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(dir.read_whole(&path, 5).unwrap().unwrap(), b"three");
    }
}
