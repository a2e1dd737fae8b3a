//! What a peer keeps in its home: chunks of others, and what it knows of its own backups. Blocking.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while the peer runs |
//! | `ports` | its ports, so that it comes back as the same peer |
//! | `chunks/H/about` | whose chunks and of which file lie in the folder; H is a hash of that |
//! | `chunks/H/N` | chunk N: its CRC32, then its bytes |
//! | `backups/H` | a backup of this peer |
//!
//! Names from outside never become names of files here.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skep_wire::RelPath;
use skep_world::{Dir, disk::Replace};

use super::{
    super::codec::{Checksum, FileName, Name},
    storage::ChunkName,
};

/// The most bytes of a chunk with its checksum, and of anything else here.
const CHUNK_BYTES: usize = (1 << 20) + 4;
const SMALL_BYTES: usize = 1 << 20;

/// A backup that this peer has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The file, as it is sent.
    pub file: FileName,
    /// Bytes of the file.
    pub size: u64,
    /// Its checksum.
    pub checksum: Checksum,
    /// Bytes of each chunk but the last.
    pub chunk_size: u64,
}

/// Whose chunks lie in a folder.
#[derive(Serialize, Deserialize)]
struct About {
    owner: Name,
    file: FileName,
}

/// The home of a peer.
#[derive(Clone)]
pub struct Shelf {
    dir: Arc<dyn Dir>,
    /// Chunks of one file may come at the same time; one of them makes its folder.
    making: Arc<Mutex<()>>,
}

impl Shelf {
    /// The shelf in a home, and the chunks in it.
    ///
    /// # Errors
    /// When the home cannot be read.
    pub fn open(dir: Arc<dyn Dir>) -> io::Result<(Self, BTreeMap<ChunkName, u64>)> {
        for folder in ["chunks", "backups"] {
            dir.make_dirs(&path(folder))?;
        }
        dir.sync(None)?;
        let making = Arc::default();
        let shelf = Self { dir, making };
        let mut held = BTreeMap::new();
        for entry in shelf.dir.list(Some(&path("chunks")))? {
            let Some(folder) = entry.name.to_str().map(|name| path(&format!("chunks/{name}"))) else {
                continue;
            };
            shelf.read_folder(&folder, &mut held)?;
        }
        Ok((shelf, held))
    }

    /// A folder whose description is not whole was never told to be there.
    fn read_folder(&self, folder: &RelPath, held: &mut BTreeMap<ChunkName, u64>) -> io::Result<()> {
        let Some(About { owner, file }) = self.read(&path(&format!("{folder}/about")))? else {
            return Ok(());
        };
        for entry in self.dir.list(Some(folder))? {
            let Some(chunk) = entry.name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = self.dir.stat(&path(&format!("{folder}/{chunk}")))?;
            let name = ChunkName {
                owner: owner.clone(),
                file: file.clone(),
                chunk,
            };
            held.insert(name, stat.size.saturating_sub(4));
        }
        Ok(())
    }

    /// Keeps a chunk; when this returns it survives a crash.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &ChunkName, bytes: &[u8]) -> io::Result<()> {
        let folder = folder(name);
        self.make_folder(&folder, name)?;
        let crc = crc32fast::hash(bytes).to_be_bytes();
        let whole = [&crc[..], bytes].concat();
        let path = path(&format!("{folder}/{}", name.chunk));
        self.dir.write_whole(&path, &whole, Replace::Allow)
    }

    fn make_folder(&self, folder: &RelPath, name: &ChunkName) -> io::Result<()> {
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let about = path(&format!("{folder}/about"));
        if self.dir.stat(&about).is_ok() {
            return Ok(());
        }
        self.dir.make_dirs(folder)?;
        self.dir.sync(Some(&path("chunks")))?;
        let (owner, file) = (name.owner.clone(), name.file.clone());
        self.write(&about, &About { owner, file })
    }

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// When it cannot be read; of kind `InvalidData` when it is not what was kept.
    pub fn get(&self, name: &ChunkName) -> io::Result<Vec<u8>> {
        let path = path(&format!("{}/{}", folder(name), name.chunk));
        let whole = self
            .dir
            .read_whole(&path, CHUNK_BYTES)?
            .ok_or(io::ErrorKind::NotFound)?;
        match whole.split_first_chunk() {
            Some((crc, bytes)) if crc32fast::hash(bytes).to_be_bytes() == *crc => Ok(bytes.to_vec()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the chunk is damaged")),
        }
    }

    /// Remembers a backup of this peer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, record: &Record) -> io::Result<()> {
        let hash = blake3::hash(record.file.as_str().as_bytes()).to_hex();
        self.write(&path(&format!("backups/{hash}")), record)
    }

    /// The backups of this peer, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn records(&self) -> io::Result<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        for entry in self.dir.list(Some(&path("backups")))? {
            let Some(name) = entry.name.to_str().filter(|name| !name.contains('.')) else {
                continue;
            };
            records.extend(self.read::<Record>(&path(&format!("backups/{name}")))?);
        }
        records.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(records)
    }

    /// The ports that this peer had, UDP and TCP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        self.read(&path("ports")).ok().flatten()
    }

    /// Remembers the ports.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_ports(&self, udp: u16, tcp: u16) -> io::Result<()> {
        self.write(&path("ports"), &(udp, tcp))
    }

    fn read<T: DeserializeOwned>(&self, path: &RelPath) -> io::Result<Option<T>> {
        let bytes = self.dir.read_whole(path, SMALL_BYTES)?;
        Ok(bytes.and_then(|bytes| postcard::from_bytes(&bytes).ok()))
    }

    fn write<T: Serialize>(&self, path: &RelPath, value: &T) -> io::Result<()> {
        let bytes = postcard::to_allocvec(value).map_err(io::Error::other)?;
        self.dir.write_whole(path, &bytes, Replace::Allow)
    }
}

fn folder(name: &ChunkName) -> RelPath {
    let whose = format!("{} {}", name.owner, name.file);
    path(&format!("chunks/{}", blake3::hash(whose.as_bytes()).to_hex()))
}

fn path(name: &str) -> RelPath {
    RelPath::parse(name).expect("the names in this module are paths")
}

#[cfg(test)]
mod tests {
    use skep_world::{Disk as _, real};

    use super::*;

    #[test]
    fn chunks_and_records_are_there_again_and_damage_is_found() {
        let home = tempfile::tempdir().unwrap();
        let dir = real::Disk.dir(home.path()).unwrap();
        let (shelf, held) = Shelf::open(dir.clone()).unwrap();
        assert!(held.is_empty());
        let name = ChunkName {
            owner: "..".parse().unwrap(),
            file: "../../etc/passwd".parse().unwrap(),
            chunk: 7,
        };
        shelf.put(&name, b"bytes").unwrap();
        shelf.put(&name, b"newer").unwrap();
        let record = Record {
            file: "f".parse().unwrap(),
            size: 5,
            checksum: "0".parse().unwrap(),
            chunk_size: 4096,
        };
        shelf.remember(&record).unwrap();
        shelf.keep_ports(1, 2).unwrap();

        let (shelf, held) = Shelf::open(dir).unwrap();
        assert_eq!(held, BTreeMap::from([(name.clone(), 5)]));
        assert_eq!(shelf.get(&name).unwrap(), b"newer");
        assert_eq!(
            (shelf.records().unwrap(), shelf.ports()),
            (vec![record], Some((1, 2)))
        );
        let on_disk = home.path().join(format!("{}/7", folder(&name)));
        std::fs::write(on_disk, b"\0\0\0\0newer").unwrap();
        assert_eq!(shelf.get(&name).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
