//! What every command takes.

use std::path::{Path, PathBuf};

use clap::Args;
use directories::ProjectDirs;

use crate::failure::Failure;

/// Options of every command.
#[derive(Args, Debug, Clone)]
pub(crate) struct Globals {
    /// Folder of the peer's or coordinator's data [default: below the XDG data folder]
    #[arg(long, value_name = "DIR", env = "SKEP_HOME", global = true)]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object per line, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print every control message, with direction and peer
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl Globals {
    /// The peer's home.
    pub(crate) fn peer_home(&self) -> Result<PathBuf, Failure> {
        self.home_or("peer")
    }

    /// The coordinator's home.
    pub(crate) fn coordinator_home(&self) -> Result<PathBuf, Failure> {
        self.home_or("coordinator")
    }

    fn home_or(&self, name: &str) -> Result<PathBuf, Failure> {
        if let Some(home) = &self.home {
            return absolute(home);
        }
        let dirs = ProjectDirs::from("", "", "skep");
        let dirs =
            dirs.ok_or_else(|| Failure::usage("there is no home folder for this user", "say --home DIR"))?;
        Ok(dirs.data_dir().join(name))
    }
}

/// `path` from the root on; links are left as they are.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|e| Failure::usage(format!("{} is not a path: {e}", path.display()), "check the path"))
}
