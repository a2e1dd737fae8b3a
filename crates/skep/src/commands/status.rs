//! `skep status`: how this machine's peer stands.

use skep_node::api::types::{BackupStatus, SnapshotState, SnapshotStatus, Status};

use super::schedule;
use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// How many of the newest snapshots are shown; older ones only if they are not whole.
const SHOWN_SNAPSHOTS: usize = 10;

/// Show how the running peer stands: its connection, what it shares and downloads, its backups
///
/// A snapshot is whole, degraded (something is missing, and is being rebuilt), at risk (it does not survive the loss of
/// another holder) or lost. SURVIVES is how many holders may vanish, whether or not they can be reached just now.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let status: Status = runtime::block_on(client.get("/v1/status"))?;
    out.event("status", &status, text(&status));
    if let Some(backups) = status.backups.as_ref().filter(|_| !out.json) {
        show_backups(backups, out);
    }
    if !status.schedules.is_empty() && !out.json {
        schedule::show(&status.schedules, out);
    }
    Ok(Exit::Done)
}

fn text(status: &Status) -> String {
    let connection = if status.connected {
        "connected"
    } else {
        "not connected, trying again"
    };
    let reachable = match (status.reachable, &status.address) {
        (Some(true), Some(address)) => format!("yes, at {address}"),
        (Some(true), None) => "yes".to_owned(),
        (Some(false), _) => "no: it serves by dialling out when the coordinator asks it to".to_owned(),
        (None, _) => "not known yet".to_owned(),
    };
    let mut lines = vec![
        format!(
            "peer         {} ({}), {:?}",
            status.name,
            status.id.get(..8).unwrap_or_default(),
            status.role
        ),
        format!("network      {}", status.network.get(..8).unwrap_or_default()),
        format!("coordinator  {} ({connection})", status.coordinator),
        format!("listens on   {}", status.listen),
        format!("reachable    {reachable}"),
        format!(
            "offers       {}, {} in use",
            output::bytes(status.capacity),
            output::bytes(status.used)
        ),
        format!(
            "shares       {} of its own, {} contents held",
            status.shares, status.holdings
        ),
        format!("served       {} since it started", output::bytes(status.served)),
    ];
    for transfer in &status.transfers {
        let progress = &transfer.progress;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = progress.rate as f64;
        lines.push(format!(
            "transfer     {}: {}, {} of {} at {}, {} peers",
            output::printable(&transfer.name),
            transfer.state,
            output::bytes(progress.bytes),
            output::bytes(progress.total),
            output::rate(rate),
            progress.holders
        ));
    }
    lines.join("\n")
}

fn show_backups(backups: &BackupStatus, out: &Output) {
    let count = |state| {
        backups
            .snapshots
            .iter()
            .filter(|line| line.state == state)
            .count()
    };
    let counts: Vec<String> = SnapshotState::ALL
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.word()))
        .collect();
    let counts = match counts.is_empty() {
        true => "none yet".to_owned(),
        false => counts.join(", "),
    };
    out.line(format!("snapshots    {counts}"));
    out.line(format!(
        "last good    {}",
        output::date_or_never(backups.last_good)
    ));
    out.line(format!(
        "last drill   {}",
        output::date_or_never(backups.last_drill)
    ));
    out.line(format!("to repair    {}", output::bytes(backups.repair_bytes)));
    let hidden = backups.snapshots.len().saturating_sub(SHOWN_SNAPSHOTS);
    let is_shown =
        |(at, line): &(usize, &SnapshotStatus)| *at >= hidden || line.state != SnapshotState::Whole;
    let shown = backups.snapshots.iter().enumerate().filter(is_shown);
    let rows: Vec<&SnapshotStatus> = shown.map(|(_, line)| line).collect();
    let head = [
        "snapshot",
        "made",
        "host",
        "state",
        "survives",
        "reachable",
        "to repair",
        "last audit",
        "last drill",
    ];
    if !rows.is_empty() {
        out.rows(&rows, &head, |line| cells(line));
    }
}

fn cells(line: &SnapshotStatus) -> Vec<String> {
    let told = |text: String| match line.state {
        SnapshotState::Unknown => "?".to_owned(),
        _ => text,
    };
    let now = if line.restorable { "" } else { ", too few" };
    vec![
        line.id.get(..8).unwrap_or_default().to_owned(),
        output::date(line.made),
        line.host.clone(),
        line.state.word().to_owned(),
        told(line.survives.to_string()),
        told(format!("{} of {}{now}", line.reachable, line.holders)),
        told(output::bytes(line.repair_bytes)),
        output::date_or_never(line.last_audit),
        output::date_or_never(line.last_drill),
    ]
}
