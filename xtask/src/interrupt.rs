//! Ctrl-C: the first one lets what runs clean up after itself, the second one ends it at once.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::Outcome;

/// What a shell reports for a program that SIGINT ended.
const INTERRUPTED_STATUS: i32 = 130;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on SIGINT and SIGTERM are seen by [`check`].
pub(crate) fn listen() -> Outcome {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and only sets it.
        flag::register_conditional_shutdown(signal, INTERRUPTED_STATUS, Arc::clone(&REQUESTED))?;
        flag::register(signal, Arc::clone(&REQUESTED))?;
    }
    Ok(())
}

/// An error once somebody wants us to stop. Everything that waits or loops asks.
pub(crate) fn check() -> Outcome {
    match REQUESTED.load(Ordering::Relaxed) {
        true => Err("interrupted".into()),
        false => Ok(()),
    }
}
