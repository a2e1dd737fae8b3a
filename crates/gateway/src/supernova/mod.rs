//! The dialect `supernova`: a tracker of peers with shared folders; text over TCP.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod codec;
pub mod tracker;
