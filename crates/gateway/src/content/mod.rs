//! The dialect `content`: an index of content servers, taken in turn; PDUs of 101 bytes over UDP and TCP.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod codec;
pub mod index;
pub mod stream;
