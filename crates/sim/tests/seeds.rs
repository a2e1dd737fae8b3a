//! A few seeds, with every test run, and those that once found something.

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

/// A power cut after the first backup took the owner's words, roster and heads: the name of their folder was not synced.
#[test]
fn seed_5_the_power_goes_after_the_first_backup() {
    check(5);
}

/// One shard of six was rotten and could be left out, but every attempt to do without it read it again.
#[test]
fn seed_162_a_rotten_shard_is_not_needed() {
    check(162);
}

/// The same, later and with more peers.
#[test]
fn seed_199_a_rotten_shard_is_not_needed() {
    check(199);
}

/// What was shared twice had a torn manifest after a power cut: the second time replaced the first, which was durable.
#[test]
fn seed_767_what_is_shared_again_stays_whole() {
    check(767);
}

/// The disk was full when a shared file was read again after a power cut, and so the share was dropped for ever.
#[test]
fn seed_3641_what_cannot_be_read_now_is_offered_later() {
    check(3641);
}
