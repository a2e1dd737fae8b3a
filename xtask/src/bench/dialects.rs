//! The dialects of the gateway: how fast files move, and what a million bad messages cost.
//!
//! The measurements are examples and tests of the gateway; they print and judge by themselves.

use super::interrupt;
use crate::{Outcome, workspace};

/// Examples of the gateway.
const EXAMPLES: [&str; 1] = ["dialect_speed"];
/// Messages for each dialect and role.
const MESSAGES: &str = "1000000";

/// Runs them all.
pub(super) fn dialects() -> Outcome<String> {
    let mut text = String::from("\n### Dialects\n\n");
    for example in EXAMPLES {
        interrupt::check()?;
        let args = [
            "run",
            "--release",
            "--quiet",
            "--package",
            "skep-gateway",
            "--example",
            example,
        ];
        text += &fenced(&workspace::output(&mut workspace::cargo(&args))?);
    }
    interrupt::check()?;
    let hammer = [
        "test",
        "--release",
        "--quiet",
        "--package",
        "skep-gateway",
        "--test",
        "hammer",
    ];
    let alone = ["--", "--nocapture", "--test-threads=1"];
    let mut command = workspace::cargo(&hammer);
    let printed = workspace::output(command.args(alone).env("SKEP_HAMMER", MESSAGES))?;
    let figures = printed.lines().filter(|line| line.contains(" messages, "));
    Ok(text + &fenced(&figures.collect::<Vec<_>>().join("\n")))
}

fn fenced(printed: &str) -> String {
    format!("```text\n{}\n```\n", printed.trim_end())
}
