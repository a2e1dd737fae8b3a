//! Blocking jobs, run at once where they are asked for: one thread, one order.

use std::{future::Future, pin::Pin};

use crate::work::Job;

/// Runs jobs inline.
#[derive(Debug, Clone, Copy)]
pub struct Work;

impl crate::Work for Work {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { job() })
    }
}
