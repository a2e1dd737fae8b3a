//! What a running coordinator or peer says on stderr, and whom its control messages are shown to.

use std::{fmt::Write, io::IsTerminal};

use tokio::sync::broadcast;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, filter, fmt, layer::Context, prelude::*};

use crate::globals::Globals;

/// Events of this target are the control messages, with direction and peer.
const MESSAGES: &str = "skep::messages";
/// Messages that wait for a slow reader; it is told how many it has missed.
const WAITING: usize = 1024;

/// Starts the log: warnings alone, or (`-v`) every control message too. `SKEP_LOG` overrides both.
/// Control messages also go to the result, if anybody listens there.
pub(crate) fn start(globals: &Globals) -> broadcast::Sender<String> {
    let default = match (globals.quiet, globals.verbose) {
        (true, _) => "error".to_owned(),
        (_, true) => format!("info,{MESSAGES}=debug"),
        _ => "warn".to_owned(),
    };
    let shown = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let is_watched = std::io::stderr().is_terminal();
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_watched)
        .with_target(false);
    let messages = broadcast::Sender::new(WAITING);
    let listeners = messages.clone();
    // Asked for each message: nobody pays for what nobody reads.
    let wanted = filter::dynamic_filter_fn(move |event, _| {
        event.target() == MESSAGES && listeners.receiver_count() > 0
    });
    let tap = Tap(messages.clone()).with_filter(wanted);
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .with(tap)
        .init();
    messages
}

/// Sends each event as a line of text.
struct Tap(broadcast::Sender<String>);

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        // Nobody listens any more: that is fine.
        let _ = self.0.send(line.0);
    }
}

/// The fields of an event, one after the other; the text last.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, _: &Field, value: &str) {
        let _ = write!(self.0, "{value} ");
    }

    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{value:?} ");
    }
}
