//! Backups and prunes of several devices, interleaved step by step with each other, with deletions and with crashes:
//! what an acknowledged snapshot needs is never deleted.
//!
//! The real parts are the trees and packs, which are sealed, marked, swept and packed anew, and the docket of the
//! holder, which deletes. The model is what lies between them. `skep_engine::deletion` plays the same rules 10,000 times,
//! without bytes.

mod model;

use self::model::{Model, Tally};

/// How many histories are played, and how many steps each has.
const HISTORIES: u64 = 300;
const STEPS: usize = 250;

#[test]
fn a_prune_deletes_nothing_that_a_backup_needs() {
    let mut tally = Tally::default();
    for seed in 0..HISTORIES {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step();
        }
        model.check();
        tally.add(&model.tally);
    }
    // The model is worth something only if all of this happens.
    let often = |count: usize| count as u64 > HISTORIES;
    assert!(often(tally.backed_up) && often(tally.pruned), "{tally:?}");
    assert!(often(tally.deleted) && tally.rescued > 50, "{tally:?}");
    assert!(tally.repeated > 0 && tally.taken_over > 0, "{tally:?}");
}
