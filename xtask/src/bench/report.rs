//! Figures, their medians, the tables of them, which are Markdown on the terminal too, and what was promised.

use std::fmt::{self, Display, Formatter, Write};

/// What one download cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// From the receiver's start until all bytes are there, verified where the tool verifies.
    pub(super) wall_s: f64,
    /// Until they are durable.
    pub(super) durable_s: Option<f64>,
    /// CPU seconds of all that hold the file.
    pub(super) sender_cpu_s: f64,
    /// CPU seconds of whoever gets it.
    pub(super) receiver_cpu_s: f64,
    /// The largest resident set of any process.
    pub(super) peak_rss_kib: u64,
}

/// Each figure's median by itself; none of nothing.
pub(super) fn median(costs: &[Cost]) -> Option<Cost> {
    let of = |figure: fn(&Cost) -> Option<f64>| middle(costs.iter().filter_map(figure).collect());
    let mut sizes: Vec<u64> = costs.iter().map(|cost| cost.peak_rss_kib).collect();
    sizes.sort_unstable();
    Some(Cost {
        wall_s: of(|cost| Some(cost.wall_s))?,
        durable_s: of(|cost| cost.durable_s),
        sender_cpu_s: of(|cost| Some(cost.sender_cpu_s))?,
        receiver_cpu_s: of(|cost| Some(cost.receiver_cpu_s))?,
        peak_rss_kib: *sizes.get(sizes.len() / 2)?,
    })
}

/// The median; none of nothing.
pub(super) fn middle(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get(figures.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// One line of the table.
pub(super) struct Row {
    /// The tool.
    pub(super) name: String,
    /// From how many at once.
    pub(super) holders: usize,
    /// Medians, or why there are none.
    pub(super) result: Result<Cost, String>,
}

/// What the tool `name` took from so many holders, if it ran.
pub(super) fn find<'a>(rows: &'a [Row], name: &str, holders: usize) -> Option<&'a Cost> {
    let row = rows
        .iter()
        .find(|row| row.name == name && row.holders == holders)?;
    row.result.as_ref().ok()
}

/// The table of `rows` for `mib` MiB; ratios are to `baseline`'s row, where there is one.
pub(super) fn table(rows: &[Row], mib: f64, baseline: &str) -> String {
    let of_baseline = rows
        .iter()
        .find(|row| row.name == baseline)
        .and_then(|row| row.result.as_ref().ok());
    let head = [
        "tool",
        "holders",
        "wall s",
        "ratio",
        "MiB/s",
        "durable s",
        "ratio",
        "sender CPU s/GiB",
        "receiver CPU s/GiB",
        "RSS MiB",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    lines.extend(rows.iter().map(|row| cells(row, mib, of_baseline)));
    render(&lines)
}

fn cells(row: &Row, mib: f64, baseline: Option<&Cost>) -> Vec<String> {
    let mut cells = vec![row.name.clone(), row.holders.to_string()];
    match &row.result {
        Err(reason) => cells.push(reason.clone()),
        Ok(cost) => cells.extend(figures(cost, mib, baseline)),
    }
    cells
}

fn figures(cost: &Cost, mib: f64, baseline: Option<&Cost>) -> [String; 8] {
    let ratio = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
        _ => "-".into(),
    };
    let per_gib = |seconds: f64| format!("{:.2}", seconds * 1024.0 / mib);
    [
        format!("{:.2}", cost.wall_s),
        ratio(Some(cost.wall_s), baseline.map(|cost| cost.wall_s)),
        format!("{:.0}", mib / cost.wall_s),
        cost.durable_s
            .map_or("-".into(), |seconds| format!("{seconds:.2}")),
        ratio(cost.durable_s, baseline.and_then(|cost| cost.durable_s)),
        per_gib(cost.sender_cpu_s),
        per_gib(cost.receiver_cpu_s),
        (cost.peak_rss_kib / 1024).to_string(),
    ]
}

/// The first line is the head; the first column is text, the others are numbers.
pub(crate) fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |line: &Vec<String>, column: usize| line.get(column).cloned().unwrap_or_default();
    // A reason instead of figures stands in the last cell of a shorter line, and does not widen its column.
    let counts = |line: &&Vec<String>, column| line.len() == columns || column + 1 < line.len();
    let width = |column| {
        let counting = lines.iter().filter(|line| counts(line, column));
        counting.map(|line| cell(line, column).len()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let content = cell(line, column);
            // Writing to a String cannot fail.
            let _ = match column {
                0 => write!(text, "| {content:width$} "),
                _ => write!(text, "| {content:>width$} "),
            };
        }
        text.push_str("|\n");
        if number == 0 {
            let rule = |(column, width): (usize, &usize)| match column {
                0 => format!("|{}", "-".repeat(width + 2)),
                _ => format!("|{}:", "-".repeat(width + 1)),
            };
            text.extend(widths.iter().enumerate().map(rule));
            text.push_str("|\n");
        }
    }
    text
}

/// How a promise bounds what is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// More breaks it.
    AtMost(f64),
    /// Less breaks it.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtMost(limit) => measured <= limit,
            Self::AtLeast(limit) => measured >= limit,
        }
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
        }
    }
}

/// One promise and the figure that was measured.
pub(super) fn verdict(what: &str, measured: f64, bound: Bound) -> String {
    let word = if bound.holds(measured) { "kept" } else { "NOT KEPT" };
    format!("- {what}: {measured:.2}, promised {bound}: {word}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(wall_s: f64, durable_s: Option<f64>) -> Cost {
        Cost {
            wall_s,
            durable_s,
            sender_cpu_s: 1.0,
            receiver_cpu_s: 2.0,
            peak_rss_kib: 2048,
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let median = median(&[
            cost(1.0, None),
            cost(9.0, None),
            cost(2.0, Some(5.0)),
            cost(4.0, None),
        ])
        .unwrap();
        assert_eq!((median.wall_s, median.durable_s), (3.0, Some(5.0)));
        assert!(super::median(&[]).is_none());
    }

    #[test]
    fn a_bound_is_kept_where_it_is_met() {
        assert!(verdict("x", 1.0, Bound::AtMost(1.0)).ends_with("kept\n"));
        assert!(verdict("x", 1.1, Bound::AtMost(1.0)).ends_with("NOT KEPT\n"));
        assert!(verdict("x", 0.7, Bound::AtLeast(0.8)).ends_with("NOT KEPT\n"));
    }

    #[test]
    fn the_table_compares_with_the_baseline() {
        let row = |name: &str, result| Row {
            name: name.into(),
            holders: 1,
            result,
        };
        let rows = [
            row("curl", Ok(cost(2.0, Some(4.0)))),
            row("skep", Ok(cost(3.0, Some(4.0)))),
            row("x", Err("not installed".into())),
        ];
        let table = table(&rows, 512.0, "curl");
        let lines: Vec<&str> = table.lines().collect();
        let words = |line: &str| {
            line.split('|')
                .map(|cell| cell.trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(lines[3])[1..11],
            [
                "skep", "1", "3.00", "1.50", "171", "4.00", "1.00", "2.00", "4.00", "2"
            ]
        );
        assert!(lines[4].contains("not installed"), "{table}");
        assert!(
            lines[..4].iter().all(|line| line.len() == lines[0].len()),
            "{table}"
        );
    }
}
