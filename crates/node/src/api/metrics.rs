//! Metrics in the text format of Prometheus, written by hand: a dozen numbers that are counted
//! anyway need no library.

use std::fmt::Write;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    Api,
    types::{BackupStatus, SnapshotState, Status},
};
use crate::{Node, fetch::STATES};

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let status = super::backups::whole_status(&api.node).await;
    ([(header::CONTENT_TYPE, kind)], text(&api.node, &status)).into_response()
}

fn text(node: &Node, status: &Status) -> String {
    let mut page = Page::default();
    let limits = node.limits();
    page.gauge(
        "connected",
        "Whether the coordinator is connected.",
        status.connected.into(),
    );
    page.gauge(
        "uptime_seconds",
        "Seconds since the peer was started.",
        status.uptime_seconds,
    );
    page.counter(
        "served_bytes_total",
        "Bytes that were served to other peers.",
        status.served,
    );
    page.counter(
        "received_bytes_total",
        "Bytes that came from other peers and verified.",
        status.received,
    );
    page.gauge("shares", "Shares that this peer publishes.", status.shares as u64);
    page.gauge(
        "holdings",
        "Contents that this peer holds.",
        status.holdings as u64,
    );
    page.gauge("links", "Connections to other peers.", status.links as u64);
    page.gauge(
        "up_limit_bytes",
        "Bytes per second to others; 0: no limit.",
        limits.up.unwrap_or(0),
    );
    page.gauge(
        "down_limit_bytes",
        "Bytes per second from others; 0: no limit.",
        limits.down.unwrap_or(0),
    );
    page.transfers(status);
    if let Some(backups) = &status.backups {
        page.backups(backups, node.core.unix_s());
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(format_args!("skep_{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(format_args!("skep_{name} {value}"));
    }

    /// Downloads by state. Every state is there, so that none is mistaken for missing.
    fn transfers(&mut self, status: &Status) {
        self.head("downloads", "Downloads by state.", "gauge");
        for state in STATES {
            let count = status
                .transfers
                .iter()
                .filter(|transfer| transfer.state == state)
                .count();
            self.line(format_args!("skep_downloads{{state=\"{state}\"}} {count}"));
        }
        let rates = status.transfers.iter().map(|transfer| transfer.progress.rate);
        self.gauge(
            "download_rate_bytes",
            "Bytes per second of all downloads, lately.",
            rates.sum(),
        );
    }

    /// What never was has no age, and its line is missing.
    fn backups(&mut self, backups: &BackupStatus, now_unix_s: u64) {
        let age = |at: u64| now_unix_s.saturating_sub(at);
        if let Some(made) = backups.last_good {
            let help = "Seconds since this device's newest snapshot that is not lost.";
            self.gauge("last_good_snapshot_age_seconds", help, age(made));
        }
        if let Some(drill) = backups.last_drill {
            let help = "Seconds since a snapshot was last restored for a drill.";
            self.gauge("last_drill_age_seconds", help, age(drill));
        }
        self.gauge(
            "repair_bytes",
            "Bytes of this owner's shards that are missing.",
            backups.repair_bytes,
        );
        self.head("snapshots", "Snapshots of this owner by state.", "gauge");
        for state in SnapshotState::ALL {
            let count = backups
                .snapshots
                .iter()
                .filter(|line| line.state == state)
                .count();
            self.line(format_args!(
                "skep_snapshots{{state=\"{}\"}} {count}",
                state.word()
            ));
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP skep_{name} {help}"));
        self.line(format_args!("# TYPE skep_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("strings take everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_are_told_with_their_ages_and_what_never_was_is_left_out() {
        let mut status = BackupStatus {
            owner: String::new(),
            devices: 1,
            repair_bytes: 7,
            last_good: Some(400),
            last_drill: None,
            snapshots: Vec::new(),
        };
        let told = |status: &BackupStatus| {
            let mut page = Page::default();
            page.backups(status, 1000);
            page.0
        };
        let text = told(&status);
        for line in [
            "skep_last_good_snapshot_age_seconds 600",
            "skep_repair_bytes 7",
            "skep_snapshots{state=\"whole\"} 0",
            "skep_snapshots{state=\"at risk\"} 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        assert!(!text.contains("last_drill"));
        status.last_drill = Some(999);
        assert!(told(&status).contains("skep_last_drill_age_seconds 1\n"));
    }
}
