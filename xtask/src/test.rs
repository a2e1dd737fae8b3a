//! `cargo xtask test`: everything that CI runs, in order, each step with its name and time.
//!
//! A step that fails does not stop the ones after it: a person wants to hear of everything at once.

use std::time::{Duration, Instant};

use crate::{Outcome, chaos, fuzz, sim, tidy, workspace};

/// Run everything that CI runs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these steps; all of them if there are none
    #[arg(value_parser = STEPS.map(|step| step.name))]
    steps: Vec<String>,
}

struct Step {
    name: &'static str,
    run: fn() -> Outcome,
}

/// Cheap ones first. The end-to-end tests are among `tests`; `.config/nextest.toml` runs them one
/// at a time.
const STEPS: [Step; 11] = [
    Step {
        name: "tools",
        run: tools,
    },
    Step {
        name: "format",
        run: || cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        name: "tidy",
        run: || tidy::run(&tidy::Args {}),
    },
    Step {
        name: "lints",
        run: lints,
    },
    Step {
        name: "tests",
        run: tests,
    },
    Step {
        name: "doc-tests",
        run: || cargo(&["test", "--quiet", "--workspace", "--doc"]),
    },
    Step {
        name: "docs",
        run: docs,
    },
    Step {
        name: "simulation",
        run: || sim::run_seeds(300),
    },
    Step {
        name: "chaos",
        run: || chaos::run_ci(),
    },
    Step {
        name: "browser",
        run: browser,
    },
    Step {
        name: "fuzz",
        run: || fuzz::run_all(5),
    },
];

/// Programs that the build needs: (program, Debian package, what for).
/// A linker is not among them: without one this program would not run.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("git", "git", "to list the files that tidy reads"),
    ("c++", "g++", "to build the fuzzer"),
    ("strace", "strace", "to break what runs"),
];

/// Runs the steps and closes with a table of them.
pub(crate) fn run(args: &Args) -> Outcome {
    let chosen = |step: &&Step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name);
    let results: Vec<_> = STEPS.iter().filter(chosen).map(timed).collect();
    println!();
    for (step, seconds, outcome) in &results {
        let verdict = outcome
            .as_ref()
            .map_or_else(|e| format!("FAILED: {e}"), |()| "passed".into());
        println!("{:10} {:5} s  {verdict}", step.name, seconds.as_secs());
    }
    let failed = results.iter().filter(|(.., outcome)| outcome.is_err()).count();
    println!("\nsteps: {} passed, {failed} failed", results.len() - failed);
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} steps failed", results.len()).into()),
    }
}

fn timed(step: &Step) -> (&Step, Duration, Outcome) {
    println!("\n== {}", step.name);
    let start = Instant::now();
    let outcome = (step.run)();
    (step, start.elapsed(), outcome)
}

/// Installs what is missing where that is ours to do, and says what is missing where it is not.
fn tools() -> Outcome {
    let missing = PROGRAMS
        .iter()
        .filter(|(program, ..)| workspace::find_program(program).is_none());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(_, package, _)| *package).collect();
    let reasons: Vec<_> = missing
        .iter()
        .map(|(program, _, reason)| format!("{program} ({reason})"))
        .collect();
    workspace::install_packages(&packages).map_err(|e| {
        format!(
            "missing: {}; install {}: {e}",
            reasons.join(", "),
            packages.join(" ")
        )
        .into()
    })
}

fn lints() -> Outcome {
    cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

/// With nextest, or without it where it is not installed: it only saves time and isolates better.
fn tests() -> Outcome {
    if workspace::find_program("cargo-nextest").is_some() {
        return cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--show-progress=none",
        ]);
    }
    cargo(&[
        "test",
        "--workspace",
        "--exclude=skep",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
    ])?;
    cargo(&[
        "test",
        "--package=skep",
        "--no-fail-fast",
        "--",
        "--test-threads=1",
    ])
}

/// A hostile page in a real browser, where there is one or one can be had.
fn browser() -> Outcome {
    if workspace::find_program("chromium").is_none()
        && let Err(e) = workspace::install_packages(&["chromium"])
    {
        println!("left out: there is no Chromium, and it cannot be installed: {e}");
        return Ok(());
    }
    let test = "hostile::browser::no_page_in_a_browser_changes_or_reads_anything";
    // All of the workspace: the package alone would be built once more, with other features.
    cargo(&[
        "test",
        "--workspace",
        "--test=e2e",
        "--",
        "--ignored",
        "--exact",
        test,
    ])
}

fn docs() -> Outcome {
    let mut command = workspace::cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    workspace::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn cargo(args: &[&str]) -> Outcome {
    workspace::run(&mut workspace::cargo(args))
}
