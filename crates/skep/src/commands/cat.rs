//! `skep cat`: a file to standard output, in order, while it comes.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use skep_node::api::types::ErrorBody;

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, parse, runtime};

/// Write a file to standard output while it comes, verified; nothing of it is kept
///
/// Of a range only what is needed for it is fetched. What is on this machine already is read there.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// NAME, PEER/NAME, an id or a link; for a file in a folder with /SUB/PATH behind it; or SNAPSHOT:PATH
    what: String,
    /// Only these bytes, counted from 0, the last included: 0-99, 1MiB-, or -500 for the last 500
    #[arg(long, value_name = "A-B", value_parser = parse::range, allow_hyphen_values = true)]
    range: Option<String>,
}

/// Why writing ended early.
enum Ended {
    Closed,
    Failed(io::Error),
}

pub(crate) fn run(args: Args, globals: &Globals, _out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let path = match of_snapshot(&args.what) {
        Some((snapshot, path)) => format!("/v1/snapshots/{snapshot}/{}", encoded(path)),
        None => format!("/v1/blobs/{}", encoded(&args.what)),
    };
    let mut ended = None;
    let mut written = 0;
    let write = |bytes: &[u8]| match io::stdout().write_all(bytes) {
        Ok(()) => {
            written += bytes.len() as u64;
            true
        }
        Err(error) => {
            ended = Some(match error.kind() {
                io::ErrorKind::BrokenPipe => Ended::Closed,
                _ => Ended::Failed(error),
            });
            false
        }
    };
    let read = runtime::interruptible(client.read(&path, args.range.as_deref(), write));
    match ended {
        // Whoever reads has enough.
        Some(Ended::Closed) => return Ok(Exit::Done),
        Some(Ended::Failed(error)) => {
            let message = format!("standard output cannot be written: {error}");
            return Err(Failure::new("not_writable", message, "check where it goes"));
        }
        None => {}
    }
    read.map_err(|failure| broken_off(failure, written))?;
    io::stdout()
        .flush()
        .or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        })
        .map_err(|e| {
            Failure::new(
                "not_writable",
                format!("standard output cannot be written: {e}"),
                "",
            )
        })?;
    Ok(Exit::Done)
}

/// `SNAPSHOT:PATH`
fn of_snapshot(what: &str) -> Option<(&str, &str)> {
    let (snapshot, path) = what.split_once(':')?;
    let is_id = snapshot.len() >= 4 && snapshot.bytes().all(|byte| byte.is_ascii_hexdigit());
    (snapshot == "latest" || is_id).then(|| (snapshot, path.trim_start_matches('/')))
}

/// What has been written cannot be taken back: it is said how much that was.
fn broken_off(failure: Failure, written: u64) -> Failure {
    if written == 0 || failure.exit == Exit::Interrupted {
        return failure;
    }
    let body = ErrorBody {
        kind: "no_holders".to_owned(),
        message: format!("it broke off after {written} bytes, which are right"),
        hint: format!("the peer's log says why; --range {written}- goes on there"),
    };
    body.into()
}

/// For a URL: letters, digits and what has no meaning there stay.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_told_from_names() {
        assert_eq!(of_snapshot("latest:/home/a"), Some(("latest", "home/a")));
        assert_eq!(of_snapshot("0a1b2c3d:home/a"), Some(("0a1b2c3d", "home/a")));
        for name in ["notes: today", "abc:x", "skep-link-1:abc", "photos/a:b"] {
            assert_eq!(of_snapshot(name), None, "{name}");
        }
    }

    #[test]
    fn names_survive_the_way() {
        assert_eq!(encoded("ann/my photos/a.jpg"), "ann/my%20photos/a.jpg");
        assert_eq!(encoded("50%?#ü"), "50%25%3F%23%C3%BC");
    }
}
