//! Questions that examples of the crates answer by themselves: how large and fast is the index, what do the
//! parts of a download cost alone, and how fast are the dialects?

use crate::{Outcome, interrupt, workspace};

/// The index; it judges by itself.
pub(in crate::bench) fn index() -> Outcome<String> {
    let printed = printed("skep-engine", "index_scale")? + &printed("skep-coordinator", "lookups")?;
    Ok(format!("\n### The index\n\n{printed}"))
}

/// What a download of 1 GiB cannot do without.
pub(in crate::bench) fn parts() -> Outcome<String> {
    let printed = printed("skep-net", "parts")?;
    Ok(format!(
        "\n### The parts of a download, each alone on one thread\n\n{printed}"
    ))
}

/// A dialect of the gateway; it judges by itself.
pub(in crate::bench) fn p2pbrs() -> Outcome<String> {
    let printed = printed("skep-gateway", "p2pbrs_rates")?;
    Ok(format!("\n### p2pbrs\n\n{printed}"))
}

fn printed(package: &str, example: &str) -> Outcome<String> {
    interrupt::check()?;
    let args = [
        "run",
        "--release",
        "--quiet",
        "--package",
        package,
        "--example",
        example,
    ];
    let printed = workspace::output(&mut workspace::cargo(&args))?;
    Ok(format!("```text\n{}\n```\n", printed.trim_end()))
}
