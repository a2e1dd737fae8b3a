//! What went wrong, as a person sees it: one sentence, and what to do next.

use skep_node::api::types::ErrorBody;

use crate::exit::Exit;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) body: ErrorBody,
}

impl Failure {
    /// A failure of that kind.
    pub(crate) fn new(kind: &str, message: impl ToString, hint: impl ToString) -> Self {
        let body = ErrorBody {
            kind: kind.to_owned(),
            message: message.to_string(),
            hint: hint.to_string(),
        };
        Self {
            exit: Exit::Failed,
            body,
        }
    }

    /// The words of the command make no sense.
    pub(crate) fn usage(message: impl ToString, hint: impl ToString) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new("usage", message, hint)
        }
    }

    /// A person pressed Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            ..Self::new("interrupted", "interrupted", "")
        }
    }
}

impl From<ErrorBody> for Failure {
    fn from(body: ErrorBody) -> Self {
        // Some wrong usage is found by the running peer alone, such as a path that is not there.
        let exit = match body.kind.as_str() {
            "usage" => Exit::Usage,
            _ => Exit::Failed,
        };
        Self { exit, body }
    }
}
