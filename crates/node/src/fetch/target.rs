//! Where a download goes, as `cp` would have it: into an existing folder, or under the name given.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_store::Place;
use skep_wire::RelPath;
use skep_world::{Dir, World, disk::Kind};

use super::{error::GetError, goal, resolve::Choice};
use crate::core::Core;

/// The place.
#[derive(Clone)]
pub(crate) struct Target {
    /// For the store.
    pub(crate) place: Place,
    /// For people, and for the catalog.
    pub(crate) path: PathBuf,
    /// Whether something is there.
    pub(crate) exists: bool,
}

/// Finds the place for what was chosen.
pub(crate) async fn find(core: &Arc<Core>, output: &Path, choice: &Choice) -> Result<Target, GetError> {
    let own = goal::own_name(choice);
    let (world, output) = (core.world.clone(), output.to_owned());
    core.world.work.call(move || locate(&world, &output, &own)).await
}

/// The place with this path.
pub(crate) async fn at(core: &Arc<Core>, path: &Path) -> Result<Target, GetError> {
    let (world, path) = (core.world.clone(), path.to_owned());
    core.world.work.call(move || beneath_parent(&world, &path)).await
}

fn locate(world: &World, output: &Path, own: &str) -> Result<Target, GetError> {
    let fail = |why: &dyn ToString| GetError::Target {
        path: output.to_owned(),
        why: why.to_string(),
    };
    match world.disk.dir(output) {
        Ok(dir) => place(&dir, own).map_err(|e| fail(&e)),
        Err(_) => beneath_parent(world, output),
    }
}

fn beneath_parent(world: &World, output: &Path) -> Result<Target, GetError> {
    let fail = |why: &dyn ToString| GetError::Target {
        path: output.to_owned(),
        why: why.to_string(),
    };
    let name = output
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| fail(&"it has no name"))?;
    let parent = output.parent().ok_or_else(|| fail(&"it has no folder"))?;
    let dir = world.disk.dir(parent).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => fail(&format!("the folder {} does not exist", parent.display())),
        _ => fail(&e),
    })?;
    place(&dir, name).map_err(|e| fail(&e))
}

fn place(dir: &Arc<dyn Dir>, name: &str) -> io::Result<Target> {
    let name = RelPath::parse(name).map_err(io::Error::other)?;
    let exists = match dir.stat(&name) {
        Ok(stat) if matches!(stat.kind, Kind::File | Kind::Dir) => true,
        Ok(_) => {
            return Err(io::Error::other(
                "there is something that is neither a file nor a folder",
            ));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(e),
    };
    let path = dir.host_path().join(name.as_str());
    Ok(Target {
        place: Place::new(dir.clone(), name),
        path,
        exists,
    })
}
