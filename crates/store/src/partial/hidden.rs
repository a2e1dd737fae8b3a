//! The hidden file or folder in which a download grows, beside its target.

use std::io;

use skep_wire::{RelPath, path::MAX_COMPONENT_BYTES, record::ContentKind};
use skep_world::{
    Dir,
    disk::{Kind, Open, Replace},
};

use super::hint::Label;

/// Names that are tried when others, of other peers on this machine, are in use.
const ATTEMPTS: u32 = 100;

/// The folder in which the target and everything hidden lie, and the target's name.
#[derive(Clone)]
pub(super) struct Target {
    parent: Option<RelPath>,
    name: String,
}

impl Target {
    pub(super) fn new(path: &RelPath) -> Self {
        Self {
            parent: path.parent(),
            name: path.file_name().to_owned(),
        }
    }

    pub(super) fn parent(&self) -> Option<&RelPath> {
        self.parent.as_ref()
    }

    /// `name` beside the target.
    pub(super) fn beside(&self, name: &RelPath) -> io::Result<RelPath> {
        match &self.parent {
            Some(parent) => parent
                .join(name)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidFilename, e)),
            None => Ok(name.clone()),
        }
    }

    /// Where an old folder lies while a new one takes its name.
    pub(super) fn replaced(&self) -> io::Result<RelPath> {
        self.beside(&self.hidden_name("skep-replaced"))
    }

    fn partial_name(&self, attempt: u32) -> RelPath {
        match attempt {
            0 => self.hidden_name("skep-partial"),
            _ => self.hidden_name(&format!("skep-partial-{attempt}")),
        }
    }

    /// `.NAME.ending`; a name that would become too long is replaced by its hash.
    fn hidden_name(&self, ending: &str) -> RelPath {
        let long = format!(".{}.{ending}", self.name);
        let name = if long.len() > MAX_COMPONENT_BYTES {
            format!(".{}.{ending}", blake3::hash(self.name.as_bytes()).to_hex())
        } else {
            long
        };
        RelPath::parse(&name).expect("a valid name between dots is one")
    }
}

/// Makes a new hidden file or folder and returns its label; `note` writes that down, before and after.
pub(super) fn make(
    dir: &dyn Dir,
    target: &Target,
    label: &Label,
    note: impl Fn(&Label) -> io::Result<()>,
) -> io::Result<Label> {
    for attempt in 0..ATTEMPTS {
        let name = target.partial_name(attempt);
        let mut label = Label {
            hidden: Some(name.clone()),
            inode: 0,
            ..label.clone()
        };
        note(&label)?;
        let path = target.beside(&name)?;
        match make_new(dir, &path, label.content.kind) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(()) => {
                label.inode = dir.stat(&path)?.inode;
                note(&label)?;
                return Ok(label);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn make_new(dir: &dyn Dir, path: &RelPath, kind: ContentKind) -> io::Result<()> {
    match kind {
        ContentKind::File => dir.open(path, Open::CreateNew).map(drop),
        ContentKind::Folder => {
            // Making folders does not tell whether they were there; renaming does.
            let new = RelPath::parse(&format!("{path}-new")).map_err(io::Error::other)?;
            dir.make_dirs(&new)?;
            dir.rename(&new, path, Replace::Never)
                .inspect_err(|_| drop(dir.remove_dir(&new)))
        }
    }
}

/// Where the hidden thing of `label` lies, if it is there and is the one that we made. The inode number
/// is filled in if the process died before it could write it down.
pub(super) fn find(dir: &dyn Dir, target: &Target, label: &mut Label) -> io::Result<Option<RelPath>> {
    let Some(name) = &label.hidden else {
        return Ok(None);
    };
    let path = target.beside(name)?;
    let stat = match dir.stat(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        stat => stat?,
    };
    let untouched = match stat.kind {
        Kind::File => stat.size == 0,
        Kind::Dir => dir.list(Some(&path))?.is_empty(),
        _ => false,
    };
    if label.inode == 0 && untouched {
        label.inode = stat.inode;
    }
    Ok((stat.inode == label.inode).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_fit_and_stay_beside() {
        let target = Target::new(&RelPath::parse("a/b.iso").unwrap());
        let at = |n| target.beside(&target.partial_name(n)).unwrap();
        assert_eq!(at(0).as_str(), "a/.b.iso.skep-partial");
        assert_eq!(at(2).as_str(), "a/.b.iso.skep-partial-2");
        assert_eq!(target.replaced().unwrap().as_str(), "a/.b.iso.skep-replaced");
        let long = Target::new(&RelPath::parse(&"é".repeat(127)).unwrap());
        assert_eq!(long.partial_name(0).as_str().len(), 1 + 64 + 13);
    }
}
