//! `skep schedule`: backups that the running peer makes by itself.

use std::path::PathBuf;

use skep_node::api::types::{BackupRequest, ScheduleLine, ScheduleRemoval, ScheduleRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals, globals::Globals, output, output::Output, runtime,
};

/// Back up again and again, while the peer runs; without arguments, list what is scheduled
///
/// WHEN is `hourly`, `daily 02:00`, `weekly sunday 02:00`, `every 30 minutes` or `every 6 hours`, by the clock of this
/// machine. What was missed while the machine was off is made up for once, and what failed is tried again after ten
/// minutes. The last result is shown here and by `skep status`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// When, in quotes: "daily 02:00"
    #[arg(requires = "paths")]
    when: Option<String>,
    /// Files and folders
    paths: Vec<PathBuf>,
    /// Copies like 3x, data and parity like 4+2, or auto: as before, or what suits the number of storage peers
    #[arg(long, value_name = "SCHEME", default_value = "auto")]
    redundancy: String,
    /// Leave out what matches, as a line of .gitignore would; may be repeated
    #[arg(long, value_name = "GLOB", requires = "when")]
    exclude: Vec<String>,
    /// Remove the schedule of this number; what it has backed up stays
    #[arg(long, value_name = "N", conflicts_with = "when")]
    remove: Option<u64>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    if let Some(number) = args.remove {
        let request = ScheduleRemoval { number };
        let done: serde_json::Value = runtime::block_on(client.post("/v1/schedules/remove", &request))?;
        out.event("done", &done, format!("Schedule {number} is removed."));
        return Ok(Exit::Done);
    }
    let Some(when) = args.when else {
        let lines: Vec<ScheduleLine> = runtime::block_on(client.get("/v1/schedules"))?;
        show(&lines, out);
        return Ok(Exit::Done);
    };
    let paths = args.paths.iter().map(|path| globals::absolute(path));
    let request = ScheduleRequest {
        when,
        request: BackupRequest {
            paths: paths.collect::<Result<_, _>>()?,
            redundancy: args.redundancy,
            exclude: args.exclude,
        },
    };
    let line: ScheduleLine = runtime::block_on(client.post("/v1/schedules", &request))?;
    let text = format!(
        "Schedule {}: {}. Next: {}, while the peer runs.",
        line.number,
        line.when,
        output::date(line.next)
    );
    out.event("done", &line, text);
    Ok(Exit::Done)
}

/// As a table.
pub(super) fn show(lines: &[ScheduleLine], out: &Output) {
    let head = ["schedule", "when", "next", "last", "result", "paths"];
    out.rows(lines, &head, |line| {
        let paths = line.request.paths.iter().map(|path| path.display().to_string());
        vec![
            line.number.to_string(),
            line.when.clone(),
            next(line),
            output::date_or_never(line.last.as_ref().map(|last| last.at)),
            result(line),
            paths.collect::<Vec<_>>().join(" "),
        ]
    });
}

fn next(line: &ScheduleLine) -> String {
    match (line.running, line.waiting) {
        (true, _) => "running now".to_owned(),
        (false, true) => "as soon as it can".to_owned(),
        (false, false) => output::date(line.next),
    }
}

fn result(line: &ScheduleLine) -> String {
    let Some(last) = &line.last else {
        return String::new();
    };
    if let Some(error) = &last.error {
        return format!("failed: {error}");
    }
    let snapshot = last.snapshot.as_deref().unwrap_or_default();
    let left_out = match last.skipped {
        0 => String::new(),
        count => format!(", {count} left out"),
    };
    let (short, _) = snapshot.split_at_checked(8).unwrap_or((snapshot, ""));
    format!(
        "{short}: {} files, {}{left_out}",
        last.files,
        output::bytes(last.bytes)
    )
}
