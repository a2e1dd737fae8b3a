//! Which points are tried, and in what order: all is known before anything breaks.

use super::{
    Args,
    fault::{Fault, Wanted},
    scenario::{ALL, Scenario},
};
use crate::Outcome;

/// What once broke a promise: tried before anything is drawn.
const KEPT: &[(&str, &str)] = &[("get/holder", "kill:renameat:2")];
/// Whose kills can be asked for by number, as the table of scenarios calls them.
pub(super) const STRUCK: [&str; 3] = ["owner", "holder", "coordinator"];

/// What is to be tried; a fault that is not said is drawn.
#[derive(Clone)]
pub(super) struct Point {
    /// One after the other, until something happens: not everybody is needed for everything each time.
    scenarios: Vec<&'static Scenario>,
    pub(super) fault: Option<Fault>,
    pub(super) wanted: Wanted,
    pub(super) seed: u64,
}

impl Point {
    /// What is played when it is tried for the so-manieth time.
    pub(super) fn scenario(&self, attempt: usize) -> &'static Scenario {
        self.scenarios[attempt % self.scenarios.len()]
    }
}

/// All points: the kept ones, so many kills of each, so many errors, and then whatever the seed says.
pub(super) fn points(args: &Args, scenarios: &[&'static Scenario]) -> Outcome<Vec<Point>> {
    let mut rows = Vec::new();
    for number in 0..args.kills_each as usize {
        let of_each = STRUCK.map(|struck| of(struck, scenarios, number));
        let kills = of_each.into_iter().filter(|of_it| !of_it.is_empty());
        rows.extend(kills.map(|of_it| (of_it, Wanted::Kill)));
    }
    let errors = args.errors as usize;
    let spread = (0..errors).map(|number| scenarios[number * scenarios.len() / errors]);
    rows.extend(spread.map(|scenario| (vec![scenario], Wanted::Error)));
    let first = usize::try_from(args.seed).unwrap_or(0);
    let in_turn = (0..args.points as usize).map(|number| first.wrapping_add(number) % scenarios.len());
    rows.extend(in_turn.map(|number| (vec![scenarios[number]], Wanted::Any)));
    let drawn = (0..).zip(rows).map(|(number, (scenarios, wanted))| Point {
        scenarios,
        fault: args.fault.clone(),
        wanted,
        seed: args.seed << 32 | number,
    });
    Ok(kept(args, scenarios)?.into_iter().chain(drawn).collect())
}

/// The scenarios that strike one of this kind, from the so-manieth on.
fn of(struck: &str, scenarios: &[&'static Scenario], number: usize) -> Vec<&'static Scenario> {
    let of_it = scenarios.iter().filter(|scenario| scenario.strikes() == struck);
    let mut of_it: Vec<_> = of_it.copied().collect();
    if !of_it.is_empty() {
        let first = number % of_it.len();
        of_it.rotate_left(first);
    }
    of_it
}

/// Those that the table has, and whose name holds one of what `only` separates by commas.
pub(super) fn chosen(only: Option<&str>) -> Outcome<Vec<&'static Scenario>> {
    let wanted = |scenario: &&Scenario| {
        let title = scenario.title();
        only.is_none_or(|parts| parts.split(',').any(|part| title.contains(part)))
    };
    let scenarios: Vec<_> = ALL.iter().filter(wanted).collect();
    match scenarios.is_empty() {
        false => Ok(scenarios),
        true => {
            let all: Vec<_> = ALL.iter().map(Scenario::title).collect();
            Err(format!("no such scenario; there are {}", all.join(", ")).into())
        }
    }
}

/// Those of the kept ones that are among the chosen.
fn kept(args: &Args, scenarios: &[&'static Scenario]) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    for scenario in scenarios {
        let title = scenario.title();
        let of_it = KEPT
            .iter()
            .filter(|(kept, _)| *kept == title && args.fault.is_none());
        for (_, fault) in of_it {
            points.push(Point {
                scenarios: vec![scenario],
                fault: Some(fault.parse()?),
                wanted: Wanted::Any,
                seed: 0,
            });
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_killed_as_often_as_was_asked_for_in_different_deeds() {
        let scenarios = chosen(None).unwrap();
        let args = Args {
            kills_each: 7,
            errors: 5,
            ..Args::of_points(3)
        };
        let points = points(&args, &scenarios).unwrap();
        for struck in STRUCK {
            let kills = points
                .iter()
                .filter(|point| point.wanted == Wanted::Kill && point.scenario(0).strikes() == struck);
            let mut deeds: Vec<_> = kills.map(|point| point.scenario(0).title()).collect();
            assert_eq!(deeds.len(), 7, "{struck}");
            deeds.sort();
            deeds.dedup();
            assert_eq!(deeds.len(), 7, "{struck}");
        }
        let count = |wanted| points.iter().filter(|point| point.wanted == wanted).count();
        assert_eq!((count(Wanted::Error), count(Wanted::Any)), (5, 3 + KEPT.len()));
    }

    #[test]
    fn who_is_not_struck_is_not_asked_for() {
        let scenarios = chosen(Some("check/owner")).unwrap();
        let args = Args {
            kills_each: 2,
            ..Args::of_points(0)
        };
        let points = points(&args, &scenarios).unwrap();
        assert_eq!(points.len(), 2);
        assert!(chosen(Some("nobody")).is_err());
    }
}
