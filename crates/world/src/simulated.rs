//! A world of its own: simulated disks, clocks, randomness and connections, all from a seed.
