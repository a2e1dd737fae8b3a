//! A fair start: memory that the host has really given to this machine.
//!
//! A virtual machine gives free memory back to its host, and a page that is used for the first time after that
//! costs several times as much. Which tool of a round would pay for it is chance, so it is paid before.

use std::{fs, hint::black_box};

use crate::Outcome;

/// What a download of the largest timed file takes as page cache, twice.
const WARM_BYTES: usize = 2 << 30;
/// It must not push files out of memory.
const AVAILABLE_SHARE: usize = 4;
const PAGE_BYTES: usize = 4096;

/// Uses much memory once and frees it.
pub(super) fn memory() -> Outcome {
    let bytes = WARM_BYTES.min(available_bytes()? / AVAILABLE_SHARE);
    let mut memory = vec![0u8; bytes];
    memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    black_box(memory);
    Ok(())
}

/// See proc(5).
fn available_bytes() -> Outcome<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<usize>().ok())
        .ok_or("/proc/meminfo tells no available memory")?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_available() {
        assert!(available_bytes().unwrap() > 1 << 20);
    }
}
