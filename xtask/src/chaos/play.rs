//! One round: something is done, something breaks, everything opens again, and every promise is held.

use serde_json::Value;

use super::{
    fault::{Blow, Counts, Fault},
    program::within,
    promises::Tree,
    scenario::{Deed, Scenario, Scene},
    tracer::Plan,
};
use crate::Outcome;

/// How a round went that broke no promise.
#[derive(Default)]
pub(super) struct Played {
    /// Whether the fault happened at all.
    pub(super) has_struck: bool,
    /// Whether the process that was struck had to be started again by hand.
    pub(super) was_restarted: bool,
    /// What was counted, where there was no fault.
    pub(super) counts: Counts,
}

/// Plays a scenario with a fault, or without one to count calls. An error is a broken promise.
pub(super) fn play(scene: &mut Scene, scenario: &Scenario, fault: Option<&Fault>) -> Outcome<Played> {
    scene.begin(scenario);
    let deed = &scenario.deed;
    (deed.prepare)(scene).map_err(|e| format!("before anything broke: {e}"))?;
    let mut played = Played::default();
    let answer = strike(scene, deed, fault, &mut played)?;
    expect_no_half_copy(scene, deed)?;
    scene.town.revive()?;
    let done = match answer {
        Ok(done) => done,
        Err(first) => repeat(scene, deed, fault, &mut played)
            .map_err(|e| format!("cannot be repeated: {e} (it failed with: {first})"))?,
    };
    settle(scene, deed, &done)?;
    scene.promises.check(&scene.town)?;
    scene.town.expect_calm()?;
    let guest = scene.guest();
    scene.town.remove(&guest);
    Ok(played)
}

/// Does it, while the one that is struck is watched. Returns what the deed answered.
fn strike(
    scene: &mut Scene,
    deed: &Deed,
    fault: Option<&Fault>,
    played: &mut Played,
) -> Outcome<Outcome<Value>> {
    let name = scene.struck.clone();
    let plan = Plan::new(fault, scene.town.path(format!("{}.trace", scene.round)));
    let kills = fault.is_some_and(|fault| fault.blow == Blow::Kill);
    let (answer, trace) = if deed.starts {
        let answer = (deed.act)(scene, Some(&plan));
        played.has_struck = kills && scene.town.program(&name)?.has_ended();
        scene.town.kill(&name)?;
        (answer, plan.trace()?)
    } else {
        let tracer = plan.attach(scene.town.program(&name)?.id())?;
        let answer = (deed.act)(scene, None);
        let trace = tracer.stop()?;
        let program = scene.town.program(&name)?;
        // Who does not answer any more is about to end.
        if kills && answer.is_err() {
            within("the end of who was killed", || {
                Ok(program.has_ended().then_some(()))
            })?;
        }
        played.has_struck = kills && program.has_ended();
        (answer, trace)
    };
    played.has_struck |= trace.has_failed();
    played.counts = trace.counts();
    Ok(answer)
}

/// Does it again, when all is well again. Who was told that its disk is broken may need a new start.
fn repeat(scene: &mut Scene, deed: &Deed, fault: Option<&Fault>, played: &mut Played) -> Outcome<Value> {
    let again = (deed.act)(scene, None);
    if again.is_ok() || fault.is_none_or(|fault| fault.blow == Blow::Kill) {
        return again;
    }
    let name = scene.struck.clone();
    scene.town.kill(&name)?;
    scene.town.revive()?;
    played.was_restarted = true;
    (deed.act)(scene, None)
}

/// Whatever has its final name has its final bytes.
fn expect_no_half_copy(scene: &Scene, deed: &Deed) -> Outcome {
    let Some(copy) = deed.copy else {
        return Ok(());
    };
    let (copy, original) = copy(scene)?;
    let same = original.expect_no_other(&Tree::read(&copy)?);
    same.map_err(|e| format!("UNVERIFIED: {e}").into())
}

fn settle(scene: &mut Scene, deed: &Deed, done: &Value) -> Outcome {
    if let Some(copy) = deed.copy {
        let copy = copy(scene)?;
        scene.promises.copies.push(copy);
    }
    (deed.settle)(scene, done)
}
