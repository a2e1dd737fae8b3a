//! Text like that of programs: lines of indented words, many of them seen before, of which no two runs with the
//! same seed differ. It is compressed to a fifth or a sixth, as sources are.

use std::{fmt::Write, ops::Range};

use rand::{Rng, SeedableRng, rngs::SmallRng};

const LETTERS: &[u8] = b"etaoinshrdlcumwfgy";
const WORDS: usize = 3000;
/// So many words are used in one file.
const WORDS_PER_FILE: usize = 60;
/// So far back a line may be repeated.
const LOOK_BACK_LINES: usize = 40;
/// How many of a hundred lines are repeated ones.
const REPEATED_PERCENT: u32 = 40;
/// One of so many files is the copy of another.
const COPY_OF: u64 = 7;
const MEAN_BYTES: f64 = 15_000.0;

/// The words of all files.
pub(super) struct Sources {
    words: Vec<String>,
    seed: u64,
}

impl Sources {
    /// Others for another seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        let word = |_| {
            let letters = chance.random_range(2..12);
            let letter = |_| char::from(LETTERS[chance.random_range(0..LETTERS.len())]);
            (0..letters).map(letter).collect()
        };
        Self {
            words: (0..WORDS).map(word).collect(),
            seed,
        }
    }

    /// The file of that number.
    pub(super) fn file(&self, mut number: u64) -> String {
        while number % COPY_OF == COPY_OF - 1 {
            number /= 2;
        }
        let mut chance = SmallRng::seed_from_u64(self.seed << 32 | number);
        let words: Vec<&str> = (0..WORDS_PER_FILE)
            .map(|_| self.words[rather_low(WORDS, &mut chance)].as_str())
            .collect();
        let bytes = 200.0 - MEAN_BYTES * chance.random_range(f64::MIN_POSITIVE..1.0).ln();
        let mut text = String::new();
        let mut lines: Vec<Range<usize>> = Vec::new();
        while (text.len() as f64) < bytes {
            let begin = text.len();
            let back = chance.random_range(0..LOOK_BACK_LINES);
            if chance.random_range(0..100) < REPEATED_PERCENT && back < lines.len() {
                let line = lines[lines.len() - 1 - back].clone();
                text.extend_from_within(line);
            } else {
                write_line(&mut text, &words, &mut chance);
            }
            lines.push(begin..text.len());
        }
        text
    }
}

/// A number below `count`, more often a small one.
fn rather_low(count: usize, chance: &mut SmallRng) -> usize {
    (0..3).map(|_| chance.random_range(0..count)).min().unwrap_or(0)
}

fn write_line(text: &mut String, words: &[&str], chance: &mut SmallRng) {
    let indent = 4 * chance.random_range(1..=4);
    let mut word = || words[rather_low(words.len(), chance)];
    // Writing to a String cannot fail.
    let _ = match indent / 4 + word().len() % 4 {
        2 | 6 => writeln!(
            text,
            "{:indent$}let {} = {}.{}({}, {});",
            "",
            word(),
            word(),
            word(),
            word(),
            word()
        ),
        3 => writeln!(text, "{:indent$}if {}_{} == {} {{", "", word(), word(), word()),
        4 => {
            let said: Vec<&str> = (0..8).map(|_| word()).collect();
            writeln!(text, "{:indent$}/// {}.", "", said.join(" "))
        }
        _ => writeln!(text, "{:indent$}}}", ""),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_and_the_number_decide_the_text() {
        let [one, same, other] = [1, 1, 2].map(Sources::new);
        assert_eq!(one.file(3), same.file(3));
        assert_ne!(one.file(3), other.file(3));
        assert_ne!(one.file(3), one.file(4));
        assert_eq!(one.file(20), one.file(10), "a copy");
    }
}
