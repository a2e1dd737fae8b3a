//! Drives Skep as a person does: the release binary, as real processes, through its command line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    material::Material,
    report::Cost,
    stage::{Side, Stage, wait_ready},
};
use crate::{Outcome, workspace};

/// Builds the release binary and says where it lies.
pub(super) fn build() -> Outcome<PathBuf> {
    workspace::run(&mut workspace::cargo(&["build", "--release", "--package=skep"]))?;
    Ok(workspace::target_dir().join("release/skep"))
}

/// A file, so many holders of it, and one receiver.
pub(super) struct Case<'a> {
    /// The release binary.
    pub(super) binary: &'a Path,
    /// How many peers hold the file.
    pub(super) holders: usize,
    /// What each holder may send, as `--up-rate` takes it.
    pub(super) up_rate: Option<&'a str>,
}

impl Case<'_> {
    /// Builds a network on the stage, spreads the file over the holders, and lets a fresh peer get it.
    pub(super) fn fetch(&self, stage: &mut Stage, material: &Material) -> Outcome<Cost> {
        let mut network = Network::found(stage, self.binary)?;
        let content = self.spread(&mut network, material)?;
        network.join("receiver", Side::Receiver, None)?;
        let target = network.stage.target()?;
        let mut get = network.skep("receiver", &["get", &content, "--json", "-o"]);
        let cost = network.stage.fetch(get.arg(target))?;
        let done = event(&network.stage.printed("receiver")?, "done").ok_or("get printed no `done` event")?;
        self.expect_used(&done)?;
        split_cost(cost, &done)
    }

    /// The first holder publishes, the others get it. Returns the content's id.
    fn spread(&self, network: &mut Network<'_>, material: &Material) -> Outcome<String> {
        for number in 1..=self.holders {
            network.join(&holder(number), Side::Sender, self.up_rate)?;
        }
        let mut share = network.skep(&holder(1), &["share", "--json"]);
        let printed = network.stage.run("share", share.arg(material.path()))?;
        let content = text(
            &event(&printed, "done").ok_or("share printed no `done` event")?,
            "id",
        )?;
        for number in 2..=self.holders {
            let folder = network.stage.folder(&format!("{}-files", holder(number)))?;
            let mut get = network.skep(&holder(number), &["get", &content, "-o"]);
            network.stage.run("spread", get.arg(folder.join("payload")))?;
        }
        Ok(content)
    }

    /// A figure for five holders is one only if all five sent something.
    fn expect_used(&self, done: &Value) -> Outcome {
        let sent = |bytes: &&Value| bytes.as_u64().is_some_and(|bytes| bytes > 0);
        let used = done["from"]
            .as_object()
            .map_or(0, |from| from.values().filter(sent).count());
        if used != self.holders {
            return Err(format!("{used} of {} holders sent something", self.holders).into());
        }
        Ok(())
    }
}

/// A coordinator and its peers. The home of each is the folder of its name.
struct Network<'a> {
    stage: &'a mut Stage,
    binary: &'a Path,
}

impl<'a> Network<'a> {
    fn found(stage: &'a mut Stage, binary: &'a Path) -> Outcome<Self> {
        let mut network = Self { stage, binary };
        network.start(
            Side::Neither,
            "coordinator",
            &["coordinator", "--json", "--listen=127.0.0.1:0"],
        )?;
        Ok(network)
    }

    /// Starts the peer `name` with a ticket of its own.
    fn join(&mut self, name: &str, side: Side, up_rate: Option<&str>) -> Outcome {
        let ticket = self
            .stage
            .run("invite", &mut self.skep("coordinator", &["invite"]))?;
        let file = self.stage.path(format!("{name}.ticket"));
        fs::write(&file, ticket)?;
        let (name_arg, ticket_arg) = (format!("--name={name}"), format!("--join=@{}", file.display()));
        let rate_arg = up_rate.map(|rate| format!("--up-rate={rate}"));
        let mut args = vec!["up", "--json", "--listen=127.0.0.1:0", &name_arg, &ticket_arg];
        args.extend(rate_arg.as_deref());
        self.start(side, name, &args)
    }

    fn start(&mut self, side: Side, name: &str, args: &[&str]) -> Outcome {
        // The receiver's own log belongs to its `get`.
        let log = format!("{name}-up");
        let mut process = self.skep(name, args);
        self.stage.start(side, &log, &mut process)?;
        wait_ready(name, || Ok(event(&self.stage.printed(&log)?, "ready").map(drop)))
    }

    fn skep(&self, name: &str, args: &[&str]) -> Command {
        let mut skep = Command::new(self.binary);
        skep.arg("--home").arg(self.stage.path(name)).args(args);
        skep
    }
}

fn holder(number: usize) -> String {
    format!("holder-{number}")
}

/// The last event of that kind among lines of JSON; lines that are cut short are none yet.
fn event(printed: &str, kind: &str) -> Option<Value> {
    let mut events = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.rfind(|event| event["event"] == kind)
}

fn text(event: &Value, field: &str) -> Outcome<String> {
    let value = event[field]
        .as_str()
        .ok_or_else(|| format!("the event has no text `{field}`"))?;
    Ok(value.to_owned())
}

/// The whole command, from its start to its end, counts as durable; verified is earlier by what the
/// command says itself.
fn split_cost(cost: Cost, done: &Value) -> Outcome<Cost> {
    let number = |field: &str| {
        done[field]
            .as_f64()
            .ok_or_else(|| format!("the event has no number `{field}`"))
    };
    let syncing_s = number("seconds")? - number("verified_seconds")?;
    Ok(Cost {
        wall_s: cost.wall_s - syncing_s,
        durable_s: Some(cost.wall_s),
        ..cost
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_whole_event_counts() {
        let printed =
            "{\"event\":\"progress\",\"bytes\":1}\n{\"event\":\"done\",\"id\":\"a\"}\n{\"event\":\"do";
        assert_eq!(event(printed, "done").unwrap()["id"], "a");
        assert!(event(printed, "ready").is_none());
    }

    #[test]
    fn verified_is_before_durable() {
        let cost = Cost {
            wall_s: 2.0,
            ..Cost::default()
        };
        let split = split_cost(cost, &json!({"verified_seconds": 1.0, "seconds": 1.5})).unwrap();
        assert_eq!((split.wall_s, split.durable_s), (1.5, Some(2.0)));
        assert!(split_cost(cost, &json!({"seconds": 1.5})).is_err());
    }
}
