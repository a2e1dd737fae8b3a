//! Packs are lost as often as the closed formula says, within a factor of two; and sites that are named are worth
//! naming.

use skep_sim::durability::{Outcome, Setting, compare};

fn check(outcome: &Outcome) {
    let ratio = outcome.ratio();
    assert!(
        outcome.expected > 40.0 && (0.5..2.0).contains(&ratio),
        "{outcome}"
    );
}

#[test]
fn independent_losses_are_as_many_as_the_formula_says() {
    for (scheme, packs) in [("2x", 100), ("3x", 500), ("4+2", 60)] {
        let setting = Setting::fast(scheme.parse().unwrap(), packs, 60);
        check(&compare(setting));
    }
}

#[test]
fn a_lost_site_costs_less_where_sites_are_named() {
    let setting = Setting {
        lifetime_days: 60.0,
        ..Setting::fast("2x".parse().unwrap(), 600, 60)
    };
    let (named, unnamed) = (
        compare(setting.with_sites(true)),
        compare(setting.with_sites(false)),
    );
    check(&named);
    check(&unnamed);
    assert!(named.lost < unnamed.lost, "{named}\n{unnamed}");
}
