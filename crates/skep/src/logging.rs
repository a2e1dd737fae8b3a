//! What a running coordinator or peer says on stderr while it works.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::globals::Globals;

/// Events of this target are the control messages, with direction and peer.
const MESSAGES: &str = "skep::messages";

/// Starts the log: warnings alone, or (`-v`) every control message too. `SKEP_LOG` overrides both.
pub(crate) fn start(globals: &Globals) {
    let default = match (globals.quiet, globals.verbose) {
        (true, _) => "error".to_owned(),
        (_, true) => format!("info,{MESSAGES}=debug"),
        _ => "warn".to_owned(),
    };
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_target(false))
        .init();
}
