//! A few seeds, with every test run.

/// Runs a seed twice: it keeps all promises, and does the same again.
fn check(seed: u64) {
    if let Err(failure) = skep_sim::run_twice(seed) {
        panic!("seed {seed}: {}\n{}", failure.what, failure.story.join("\n"));
    }
}

#[test]
fn seeds_0_to_4() {
    (0..5).for_each(check);
}

#[test]
fn seeds_5_to_9() {
    (5..10).for_each(check);
}
