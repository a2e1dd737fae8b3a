//! What processes take, again and again: memory, descriptors, threads.

use std::{collections::BTreeMap, fs, time::Instant};

use super::colony::Colony;
use crate::Outcome;

/// Memory may grow so much from the second quarter of the time to the last, and be called flat.
const FLAT_MEMORY: f64 = 1.25;
/// Pages that an allocator keeps for itself; small processes grow by as much without a leak.
const FLAT_MEMORY_MIB: f64 = 16.0;
/// Connections and threads come and go with the work; so many more, or half as many again, are no leak.
const FLAT_COUNT: f64 = 1.5;
const FLAT_COUNT_MORE: f64 = 16.0;

/// One look at one process.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    rss_mib: f64,
    descriptors: f64,
    threads: f64,
}

/// All looks, by process.
#[derive(Default)]
pub(super) struct Gauge(BTreeMap<String, Vec<Sample>>);

/// How a figure went: its medians in the second and the last quarter of the time, and its highest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Course {
    early: f64,
    late: f64,
    most: f64,
}

impl Gauge {
    /// Looks at all processes that are to stay.
    pub(super) fn measure(&mut self, colony: &Colony) -> Outcome {
        for (name, id) in colony.steady() {
            let sample = look(id).ok_or_else(|| format!("{name} has ended by itself"))?;
            self.0.entry(name.to_owned()).or_default().push(sample);
        }
        Ok(())
    }

    /// One line for each process.
    pub(super) fn table(&self) -> String {
        let mut lines = vec![
            "| process | samples | MiB early | late | most | descriptors early | late | most | threads early | late |"
                .to_owned(),
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
        ];
        for (name, samples) in &self.0 {
            let [memory, files, threads] = courses(samples);
            lines.push(format!(
                "| {name} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {} |",
                samples.len(),
                memory.early,
                memory.late,
                memory.most,
                files.early,
                files.late,
                files.most,
                threads.early,
                threads.late,
            ));
        }
        lines.join("\n")
    }

    /// An error that names what grew.
    pub(super) fn judge(&self) -> Outcome {
        for (name, samples) in &self.0 {
            let [memory, files, threads] = courses(samples);
            let limits = [
                ("memory", memory, FLAT_MEMORY, FLAT_MEMORY_MIB),
                ("descriptors", files, FLAT_COUNT, FLAT_COUNT_MORE),
                ("threads", threads, FLAT_COUNT, FLAT_COUNT_MORE),
            ];
            for (what, course, factor, more) in limits {
                if !course.is_flat(factor, more) {
                    return Err(format!(
                        "the {what} of {name} grew from {} to {}",
                        course.early, course.late
                    )
                    .into());
                }
            }
        }
        Ok(())
    }
}

impl Course {
    fn is_flat(self, factor: f64, more: f64) -> bool {
        self.late <= (self.early * factor).max(self.early + more)
    }
}

/// Memory, descriptors, threads.
fn courses(samples: &[Sample]) -> [Course; 3] {
    [
        course(samples, |it| it.rss_mib),
        course(samples, |it| it.descriptors),
        course(samples, |it| it.threads),
    ]
}

fn course(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Course {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Course {
            early: 0.0,
            late: 0.0,
            most: 0.0,
        };
    };
    let whole = (last.at - first.at).as_secs_f64();
    let within = |from: f64, to: f64| {
        let part = samples.iter().filter(|it| {
            let at = (it.at - first.at).as_secs_f64();
            at >= whole * from && at <= whole * to
        });
        median(part.map(&figure).collect())
    };
    Course {
        early: within(0.25, 0.5),
        late: within(0.75, 1.0),
        most: samples.iter().map(&figure).fold(0.0, f64::max),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// None if there is no such process.
fn look(id: u32) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let number = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Sample {
        at: Instant::now(),
        rss_mib: number("VmRSS:")? / 1024.0,
        descriptors: fs::read_dir(format!("/proc/{id}/fd")).ok()?.count() as f64,
        threads: number("Threads:")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn samples(rss_mib: impl Fn(u32) -> f64) -> Vec<Sample> {
        let began = Instant::now();
        let sample = |second: u32| Sample {
            at: began + Duration::from_secs(second.into()),
            rss_mib: rss_mib(second),
            descriptors: 40.0,
            threads: 5.0,
        };
        (0..100).map(sample).collect()
    }

    #[test]
    fn what_grows_all_the_time_is_not_flat_and_what_levels_off_is() {
        let grows = Gauge(BTreeMap::from([(
            "a".to_owned(),
            samples(|s| 20.0 + f64::from(s)),
        )]));
        assert!(grows.judge().is_err());
        let levels = samples(|second| f64::from(second.min(20)) + 100.0);
        assert!(Gauge(BTreeMap::from([("a".to_owned(), levels)])).judge().is_ok());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let sample = look(std::process::id()).unwrap();
        assert!(sample.rss_mib > 0.0 && sample.descriptors > 0.0 && sample.threads > 0.0);
        assert!(look(u32::MAX).is_none());
    }
}
