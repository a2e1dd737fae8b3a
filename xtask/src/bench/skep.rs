//! Drives Skep as a person does: the release binary, as real processes, through its command line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    ground::Ground,
    material::Material,
    report::Cost,
    stage::{Side, Stage},
};
use crate::{Outcome, workspace};

/// Builds the release binary and says where it lies.
pub(super) fn build() -> Outcome<PathBuf> {
    workspace::run(&mut workspace::cargo(&["build", "--release", "--package=skep"]))?;
    Ok(workspace::target_dir().join("release/skep"))
}

/// What is moved, who holds it and where, and one receiver.
pub(super) struct Case<'a> {
    /// The release binary.
    pub(super) binary: &'a Path,
    /// What each holder may send, as `--up-rate` takes it.
    pub(super) up_rates: Vec<Option<&'static str>>,
    /// Where they run.
    pub(super) ground: Ground,
    /// How many of the holders must have sent something.
    pub(super) must_send: usize,
}

impl<'a> Case<'a> {
    /// So many holders without limits on the loopback interface, all of which send.
    pub(super) fn new(binary: &'a Path, holders: usize) -> Self {
        Self {
            binary,
            up_rates: vec![None; holders],
            ground: Ground::Loopback,
            must_send: holders,
        }
    }

    /// Builds a network on the stage, gives the material to the holders, and lets a fresh peer get it.
    pub(super) fn fetch(&self, stage: &mut Stage, material: &Material) -> Outcome<Cost> {
        stage.lay(&self.ground, self.up_rates.len())?;
        let mut network = Network::found(stage, self.binary)?;
        let content = self.publish(&mut network, material)?;
        network.join("receiver", Side::Receiver, None)?;
        let target = network.stage.target()?;
        let mut get = network.get("receiver", &content, &target)?;
        let cost = network.stage.fetch(&mut get)?;
        let got = network.got("receiver")?;
        if got.from.len() < self.must_send {
            return Err(format!("{} of {} holders sent something", got.from.len(), self.must_send).into());
        }
        Ok(Cost {
            wall_s: cost.wall_s - got.syncing_s,
            durable_s: Some(cost.wall_s),
            ..cost
        })
    }

    /// All holders publish the same file, which is in the system's memory, as the seeders of other tools do. Returns
    /// the content's id.
    fn publish(&self, network: &mut Network<'_>, material: &Material) -> Outcome<String> {
        for (number, up_rate) in (1..).zip(&self.up_rates) {
            network.join(&holder(number), Side::Sender, *up_rate)?;
        }
        let names = || (1..=self.up_rates.len()).map(holder);
        // All links first: one more changes the file, for who looks at its times.
        let files = names()
            .map(|name| material.link_into(&network.stage.folder(&format!("{name}-files"))?))
            .collect::<Outcome<Vec<_>>>()?;
        let mut content = String::new();
        for (name, file) in names().zip(files) {
            content = network.share(&name, &file)?;
        }
        Ok(content)
    }
}

/// A coordinator and its peers. The home of each is the folder of its name.
pub(super) struct Network<'a> {
    /// Where they run.
    pub(super) stage: &'a mut Stage,
    binary: &'a Path,
}

impl<'a> Network<'a> {
    /// Starts a coordinator.
    pub(super) fn found(stage: &'a mut Stage, binary: &'a Path) -> Outcome<Self> {
        Self::found_with(stage, binary, &[])
    }

    /// Starts a coordinator with more options.
    pub(super) fn found_with(stage: &'a mut Stage, binary: &'a Path, options: &[&str]) -> Outcome<Self> {
        let mut network = Self { stage, binary };
        let args = [&["coordinator", "--json"], options].concat();
        network.start(Side::Neither, "coordinator", &args)?;
        Ok(network)
    }

    /// Starts the peer `name` with a ticket of its own.
    pub(super) fn join(&mut self, name: &str, side: Side, up_rate: Option<&str>) -> Outcome {
        let rate_arg = up_rate.map(|rate| format!("--up-rate={rate}"));
        self.join_with(name, side, &Vec::from_iter(rate_arg.as_deref()))
    }

    /// The same with other options.
    pub(super) fn join_with(&mut self, name: &str, side: Side, options: &[&str]) -> Outcome {
        let mut invite = self.skep("coordinator", &["invite"])?;
        let ticket = self.stage.run("invite", &mut invite)?;
        let file = self.stage.path(format!("{name}.ticket"));
        fs::write(&file, ticket)?;
        let (name_arg, ticket_arg) = (format!("--name={name}"), format!("--join=@{}", file.display()));
        let args = [&["up", "--json", &name_arg, &ticket_arg], options].concat();
        self.start(side, name, &args)
    }

    /// Starts a peer again that was killed.
    pub(super) fn resume(&mut self, name: &str, side: Side) -> Outcome {
        self.start(side, name, &["up", "--json"])
    }

    /// Kills a peer, as a power cut would.
    pub(super) fn kill(&mut self, name: &str) {
        self.stage.kill(&format!("{name}-up"));
    }

    /// The largest resident set of a peer so far.
    pub(super) fn peak_rss_kib(&self, name: &str) -> Outcome<u64> {
        self.stage.peak_rss_kib_of(&format!("{name}-up"))
    }

    /// The peer `name` publishes what lies at `path`. Returns the content's id.
    pub(super) fn share(&mut self, name: &str, path: &Path) -> Outcome<String> {
        let mut share = self.skep(name, &["share", "--json"])?;
        let printed = self.stage.run("share", share.arg(path))?;
        let done = event(&printed, "done").ok_or("share printed no `done` event")?;
        text(&done, "id")
    }

    /// The command by which the peer `name` gets a content.
    pub(super) fn get(&self, name: &str, content: &str, target: &Path) -> Outcome<Command> {
        let mut get = self.skep(name, &["get", content, "--json"])?;
        get.arg("-o").arg(target);
        Ok(get)
    }

    /// What the `get` said whose log is `log`.
    pub(super) fn got(&self, log: &str) -> Outcome<Got> {
        Got::parse(&self.done(log)?)
    }

    /// The `done` event of the command whose log is `log`.
    pub(super) fn done(&self, log: &str) -> Outcome<Value> {
        let done = event(&self.stage.printed(log)?, "done");
        done.ok_or_else(|| format!("{log} printed no `done` event").into())
    }

    /// The program as the peer or coordinator `name` calls it.
    pub(super) fn skep(&self, name: &str, args: &[&str]) -> Outcome<Command> {
        let mut skep = self.stage.host(name)?.command(self.binary, &[]);
        skep.arg("--home").arg(self.stage.path(name)).args(args);
        Ok(skep)
    }

    fn start(&mut self, side: Side, name: &str, args: &[&str]) -> Outcome {
        // The receiver's own log belongs to its `get`.
        let log = format!("{name}-up");
        let mut process = self.skep(name, args)?;
        process.arg(format!("--listen={}:0", self.stage.host(name)?.address));
        self.stage.start(side, &log, &mut process)?;
        self.stage
            .wait_printed(&log, |printed| event(printed, "ready").map(drop))
    }
}

/// What `skep get` says of itself at its end.
pub(super) struct Got {
    /// The part of its time in which all bytes were verified, but not durable yet.
    pub(super) syncing_s: f64,
    /// Bytes by the names of those that sent some.
    pub(super) from: BTreeMap<String, u64>,
}

impl Got {
    fn parse(done: &Value) -> Outcome<Self> {
        let number = |field: &str| {
            done[field]
                .as_f64()
                .ok_or_else(|| format!("the event has no number `{field}`"))
        };
        let sent = |(name, bytes): (&String, &Value)| {
            let bytes = bytes.as_u64().filter(|bytes| *bytes > 0)?;
            Some((name.clone(), bytes))
        };
        Ok(Self {
            syncing_s: number("seconds")? - number("verified_seconds")?,
            from: done["from"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(sent)
                .collect(),
        })
    }
}

/// How the peer is called that holds the file as that number.
pub(super) fn holder(number: usize) -> String {
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
    fn who_sent_nothing_is_not_named() {
        let done = json!({"verified_seconds": 1.0, "seconds": 1.5, "from": {"a": 7, "b": 0}});
        let got = Got::parse(&done).unwrap();
        assert_eq!(got.syncing_s, 0.5);
        assert_eq!(got.from, BTreeMap::from([("a".into(), 7)]));
        assert!(Got::parse(&json!({"seconds": 1.5})).is_err());
    }
}
