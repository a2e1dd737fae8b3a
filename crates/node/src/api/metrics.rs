//! Metrics in the text format of Prometheus, written by hand: a dozen numbers that are counted
//! anyway need no library.

use std::fmt::Write;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Api, types::Status};
use crate::{Node, fetch::STATES};

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text(&api.node)).into_response()
}

fn text(node: &Node) -> String {
    let status = node.status();
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
    page.transfers(&status);
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

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP skep_{name} {help}"));
        self.line(format_args!("# TYPE skep_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("strings take everything");
    }
}
