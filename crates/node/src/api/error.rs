//! Errors as people and scripts see them: a kind that does not change, a sentence, and what to do.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use skep_store::scan::ScanError;
use skep_wire::message::Reason;

use super::types::ErrorBody;
use crate::{
    announce::AnnounceError, backup::BackupError, fetch::GetError, hold::EvictError, home::HomeError,
    join::JoinError, leaving::LeaveError, node::StartError, publish::ShareError, schedule::ScheduleError,
    session::SessionError,
};

impl IntoResponse for ErrorBody {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(self)).into_response()
    }
}

fn body(kind: &str, message: impl ToString, hint: &str) -> ErrorBody {
    ErrorBody {
        kind: kind.to_owned(),
        message: message.to_string(),
        hint: hint.to_owned(),
    }
}

const WAIT: &str = "it reconnects by itself: see `skep status`, and whether the coordinator runs";

/// The kind and hint of a denial.
fn denial(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::NotAllowed => ("not_allowed", "ask the network's admin for a ticket"),
        Reason::Revoked => (
            "revoked",
            "ask the network's admin; a revoked peer needs a new home to join again",
        ),
        Reason::Expired => ("expired", "ask for a new ticket: `skep invite`"),
        Reason::BadTicket => (
            "bad_ticket",
            "each ticket works once: ask for a new one with `skep invite`",
        ),
        Reason::NameInUse => ("name_in_use", "choose another with --name"),
        Reason::Full => ("full", "the coordinator was started with --max-peers"),
        Reason::RoleTooWide => (
            "role_too_wide",
            "ask for a ticket with a wider --role, or join with a narrower one",
        ),
        Reason::NotFound => ("not_found", "`skep ls` shows what there is"),
        Reason::Changed => ("changed", ""),
        Reason::Ambiguous => ("ambiguous", "say PEER/NAME, or the id"),
        Reason::Stale => ("stale", "another device may publish with the same key"),
        Reason::NotVerified => ("not_verified", "check the files"),
        Reason::Busy => ("busy", "try again in a moment"),
        Reason::BadRequest => ("bad_request", "the two sides may be of different versions"),
        Reason::Internal => ("internal", "the log of the other side says more"),
        Reason::NoRoom => ("no_room", "let more storage peers join, or raise their capacity"),
    }
}

impl From<SessionError> for ErrorBody {
    fn from(error: SessionError) -> Self {
        match &error {
            SessionError::Refused { reason, .. } => {
                let (kind, hint) = denial(*reason);
                body(kind, &error, hint)
            }
            SessionError::Disconnected(_) | SessionError::Failed(_) => body("not_connected", &error, WAIT),
        }
    }
}

impl From<LeaveError> for ErrorBody {
    fn from(error: LeaveError) -> Self {
        let LeaveError::Session(error) = error;
        let hint = "`skep leave --force` leaves without telling the coordinator";
        ErrorBody {
            hint: hint.to_owned(),
            ..Self::from(error)
        }
    }
}

impl From<EvictError> for ErrorBody {
    fn from(error: EvictError) -> Self {
        let message = error.to_string();
        match error {
            EvictError::NoSuchOwner(_) => body(
                "not_found",
                message,
                "`skep evict` alone lists whose backups are here",
            ),
            EvictError::Ambiguous(_) => body("ambiguous", message, "say more of the owner's id"),
            EvictError::Session(error) => error.into(),
            EvictError::Disk(_) => body("home", message, "check the disk of the home"),
        }
    }
}

impl From<ShareError> for ErrorBody {
    fn from(error: ShareError) -> Self {
        let message = error.to_string();
        match error {
            ShareError::Path { .. } => body("not_readable", message, "check the path and its permissions"),
            ShareError::NotAFile(_) => body("not_a_file", message, "share a file or a folder"),
            ShareError::Name { .. } => body("bad_name", message, "give it another with --name"),
            ShareError::NoSuchPeer(_) => body("no_such_peer", message, "`skep peers` shows who there is"),
            ShareError::TooManyPeers => body("too_many", message, "share it with everyone"),
            ShareError::NotPublished(_) => {
                body("not_found", message, "`skep ls --local` shows what it publishes")
            }
            ShareError::Scan(ScanError::Stopped(_)) => body("interrupted", "the share was interrupted", ""),
            ShareError::Scan(ScanError::Home(_)) => body("home", message, "check the disk of the home"),
            ShareError::Scan(_) => body("not_readable", message, "check the path and its permissions"),
            ShareError::NotAnnounced {
                source: AnnounceError::Session(source),
                ..
            } => {
                let hint = match &source {
                    SessionError::Refused { reason, .. } => denial(*reason).1,
                    _ => "it is announced as soon as the coordinator can be reached",
                };
                ErrorBody {
                    message,
                    hint: hint.to_owned(),
                    ..Self::from(source)
                }
            }
            ShareError::NotAnnounced { .. } | ShareError::Catalog(_) => {
                body("home", message, "check the disk of the home")
            }
            ShareError::Session(source) => source.into(),
        }
    }
}

impl From<&GetError> for ErrorBody {
    fn from(error: &GetError) -> Self {
        let message = error.to_string();
        match error {
            GetError::NotWanted(_) => body("bad_name", message, "`skep ls` shows what there is"),
            GetError::NotFound(_) => body("not_found", message, "`skep ls` shows what there is"),
            GetError::Ambiguous { .. } => body("ambiguous", message, "say PEER/NAME, or the id"),
            GetError::NoSuchPart { .. } => body(
                "not_found",
                message,
                "get the folder without the part to see what is in it",
            ),
            GetError::IsFolder(_) => body(
                "is_folder",
                message,
                "name a file in it, NAME/SUB/PATH; `skep get` gets all of it",
            ),
            GetError::KeyChanged { .. } => body(
                "key_changed",
                message,
                "if you know that the peer has a new key, get it by its id; else ask the network's admin",
            ),
            GetError::RolledBack { .. } => body(
                "rolled_back",
                message,
                "the coordinator may have been restored from an old copy; get it by its id if you want the old state",
            ),
            GetError::OtherNetwork => body(
                "other_network",
                message,
                "join that network first, with a home of its own",
            ),
            GetError::NoSuchPeer(_) => body("no_such_peer", message, "`skep peers` shows who there is"),
            GetError::NoHolders(_) => body(
                "no_holders",
                message,
                "try again when one of them is; `skep peers` shows who is there",
            ),
            GetError::Stuck { .. } => body(
                "no_holders",
                message,
                "what has come is kept: run the same command again later",
            ),
            GetError::Exists(_) => body("exists", message, "give another path with -o, or --overwrite it"),
            GetError::AlreadyRunning(_) => body("busy", message, "wait for it, or give another path with -o"),
            GetError::Target { .. } => body("not_writable", message, "give another path with -o"),
            GetError::Full(_) => body(
                "disk_full",
                message,
                "make room and run the same command again: what has come is kept",
            ),
            GetError::Store { .. } | GetError::Source(_) => body(
                "not_stored",
                message,
                "check the disk, and run the same command again",
            ),
            GetError::NoSuchDownload(_) => body("not_found", message, "`skep downloads` shows what there is"),
            GetError::Cancelled(_) => body("cancelled", message, "what had come of it was removed"),
            GetError::Stopping => super::stopping(),
            GetError::Session(source) => source.clone().into(),
            GetError::Catalog(_) => body("home", message, "check the disk of the home"),
        }
    }
}

impl From<GetError> for ErrorBody {
    fn from(error: GetError) -> Self {
        Self::from(&error)
    }
}

impl From<StartError> for ErrorBody {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Home(HomeError::InUse(_)) => body(
                "in_use",
                message,
                "a peer runs already: `skep status`; or give this one a --home of its own",
            ),
            StartError::Home(_)
            | StartError::Catalog(_)
            | StartError::Ledger(_)
            | StartError::Store { .. } => body("home", message, "check the home's disk and permissions"),
            StartError::NoNetwork(_) => body(
                "no_network",
                message,
                "ask for a ticket (`skep invite` at the coordinator) and run `skep up --join TICKET`",
            ),
            StartError::Join(JoinError::Denied { reason, .. }) | StartError::Denied { reason, .. } => {
                let (kind, hint) = denial(reason);
                body(kind, message, hint)
            }
            StartError::Join(JoinError::Expired) => {
                body("expired", message, "ask for a new ticket: `skep invite`")
            }
            StartError::Join(JoinError::WrongCoordinator(_)) => body(
                "wrong_coordinator",
                message,
                "the address belongs to somebody else now, or somebody is in between: ask for a new ticket",
            ),
            StartError::Join(_) => body(
                "not_connected",
                message,
                "check that the coordinator runs and can be reached from here",
            ),
            StartError::Listen { .. } => body("listen", message, "give another address with --listen"),
        }
    }
}

impl From<BackupError> for ErrorBody {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        let (kind, hint) = match error {
            BackupError::Session(error) => return error.into(),
            BackupError::Stopped => return super::stopping(),
            BackupError::NoOwner => (
                "no_backups",
                "`skep backup PATH` makes one, `skep recover` finds those of another machine",
            ),
            BackupError::Busy => ("busy", "wait for it"),
            BackupError::Path { .. }
            | BackupError::Paths
            | BackupError::Glob(_)
            | BackupError::Redundancy(_) => ("usage", "see `skep backup --help`"),
            BackupError::NotPruned(_) => (
                "not_pruned",
                "run it again; if that does not help, `skep check` says what is lost, and which snapshots to forget",
            ),
            BackupError::Policy(_) => ("usage", "see `skep forget --help`"),
            BackupError::Denied(_) => (
                "denied",
                "`skep peers` shows who offers storage; see also --redundancy",
            ),
            BackupError::NotKept(_) => (
                "not_stored",
                "run the same command again: what is stored is not sent again",
            ),
            BackupError::NotAllowed => ("not_allowed", "the device was revoked, or never had this right"),
            BackupError::State(_) | BackupError::DamagedState(_) => ("home", "check the disk of the home"),
            BackupError::Head(_) => ("full", "`skep forget` makes room"),
            BackupError::Phrase(_) => (
                "phrase",
                "type all 24 words as `skep recovery-phrase` showed them",
            ),
            BackupError::NoPhrase => (
                "no_phrase",
                "it is kept on the device that made the first backup, until it is removed there",
            ),
            BackupError::UnknownOwner => (
                "unknown_owner",
                "check the words, and that the storage peers are online in this network",
            ),
            BackupError::WrongPhrase => (
                "wrong_phrase",
                "check the words, and that this peer is the one that you mean (--home)",
            ),
            BackupError::NoDevice(..) => ("not_found", "say the name, or the beginning of the key"),
            BackupError::AmbiguousDevice(_) => {
                ("ambiguous", "say the beginning of its key: `skep peers` shows it")
            }
            BackupError::OwnDevice => ("usage", "revoke it from another device of the owner"),
            BackupError::OtherOwner => ("other_owner", "recover on a peer with a home of its own (--home)"),
            BackupError::Roster(_) => ("not_allowed", "revoke a device that is not used any more"),
            BackupError::NoSnapshot(_) | BackupError::Ambiguous(_) => {
                ("not_found", "`skep snapshots` shows what there is")
            }
            BackupError::NotInSnapshot(_) | BackupError::NoFile(_) => {
                ("not_found", "`skep ls-snapshot` shows what is in it")
            }
            BackupError::Lost(_) => (
                "lost",
                "bring storage peers back online and try again; `skep check` tells more",
            ),
            BackupError::Target { .. } => ("not_writable", "give another folder with --to"),
        };
        body(kind, message, hint)
    }
}

impl From<ScheduleError> for ErrorBody {
    fn from(error: ScheduleError) -> Self {
        let message = error.to_string();
        match error {
            ScheduleError::Request(error) => error.into(),
            ScheduleError::When(_) => body("usage", message, "see `skep schedule --help`"),
            ScheduleError::TooMany => body("full", message, "remove one with `skep schedule --remove N`"),
            ScheduleError::NoSuchSchedule(_) => {
                body("not_found", message, "`skep schedule` shows which there are")
            }
            ScheduleError::Home(_) => body("home", message, "check the disk of the home"),
        }
    }
}
