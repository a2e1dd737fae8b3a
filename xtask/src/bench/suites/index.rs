//! How large and how fast is the index?

use crate::{Outcome, bench::interrupt, workspace};

/// The examples of the crates that measure the index; they print and judge by themselves.
pub(in crate::bench) fn run() -> Outcome<String> {
    let mut text = String::from("\n### The index\n\n");
    for (package, example) in [("skep-engine", "index_scale"), ("skep-coordinator", "lookups")] {
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
        text += &format!("```text\n{}\n```\n", printed.trim_end());
    }
    Ok(text)
}
