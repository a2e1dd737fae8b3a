//! Exit codes: a contract with scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The words of the command make no sense (clap uses the same).
    Usage = 2,
    /// Done in part; what is missing was named.
    Partly = 3,
    /// Interrupted by a person.
    Interrupted = 130,
}

impl Exit {
    /// Done, or done in part.
    pub(crate) fn partly(is_partly: bool) -> Self {
        if is_partly { Self::Partly } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
