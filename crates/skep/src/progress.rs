//! How far it is: a bar on a terminal, a line now and then elsewhere, events for scripts.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use skep_node::api::types::{PeerShare, Progress};

use crate::output::{self, Output};

/// Nothing is shown of work that is done sooner.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Shows one piece of work.
pub(crate) struct Shown {
    out: Output,
    what: String,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
    peers: bool,
}

impl Shown {
    /// Work on `what`, from now on.
    pub(crate) fn new(out: &Output, what: &str) -> Self {
        let now = Instant::now();
        Self {
            out: out.clone(),
            what: output::printable(what),
            started: now,
            last_line: now,
            bar: None,
            peers: false,
        }
    }

    /// Shows, if wanted, also how each holder does, now and then.
    pub(crate) fn with_peers(mut self, peers: bool) -> Self {
        self.peers = peers;
        self
    }

    /// Shows how far it is.
    pub(crate) fn tell(&mut self, progress: &Progress) {
        if self.out.json {
            return self.out.event("progress", progress, "");
        }
        if self.started.elapsed() < PATIENCE {
            return;
        }
        let is_time = self.last_line.elapsed() >= EVERY;
        if is_time {
            self.last_line = Instant::now();
        }
        if self.out.is_watched() {
            self.draw(progress);
        } else if is_time {
            self.out.note(self.line(progress));
        }
        if is_time && self.peers {
            let list = || progress.peers.iter().for_each(|peer| self.out.note(share(peer)));
            self.bar.as_ref().map_or_else(list, |bar| bar.suspend(list));
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let what = &self.what;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            let template = "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {msg}";
            let style = ProgressStyle::with_template(template).expect("the template is right");
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what.clone());
            bar
        });
        bar.set_length(progress.total.max(progress.bytes));
        bar.set_position(progress.bytes);
        bar.set_message(details(progress));
    }

    fn line(&self, progress: &Progress) -> String {
        let done = output::bytes(progress.bytes);
        let total = output::bytes(progress.total);
        format!("{}: {done} of {total}, {}", self.what, details(progress))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What one holder gives.
pub(crate) fn share(peer: &PeerShare) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = output::rate(peer.rate as f64);
    let latency = match peer.latency_ms {
        Some(ms) => format!("{ms:.1} ms away"),
        None => "distance unknown".to_owned(),
    };
    format!(
        "  {}: {} ({:.0} %), {rate}, {latency}",
        output::printable(&peer.name),
        output::bytes(peer.bytes),
        peer.share * 100.0
    )
}

/// Rate, time left, and the number of peers.
fn details(progress: &Progress) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mut text = format!("{} {}", progress.state, output::rate(progress.rate as f64));
    let left = progress.total.saturating_sub(progress.bytes);
    if let Some(seconds) = left.checked_div(progress.rate) {
        text += &format!(
            ", {} left",
            indicatif::HumanDuration(Duration::from_secs(seconds))
        );
    }
    match progress.holders {
        0 => {}
        1 => text += ", 1 peer",
        n => text += &format!(", {n} peers"),
    }
    text
}
