//! A peer of document 002 whose shared folder is the native network's open shares.

use super::{client::Client, codec::FileName};
use crate::bridge::{Fit, Provider};

impl Provider for Client {
    const FIT: Fit = Fit {
        name_bytes: skep_wire::path::MAX_COMPONENT_BYTES,
        file_bytes: u64::MAX,
        allows: |name| FileName::parse(name).is_ok(),
    };

    async fn provide(&mut self, _: &str) -> Result<(), String> {
        // The folder is watched: what is in it is listed.
        Ok(())
    }

    async fn withdraw(&mut self, _: &str) {}

    async fn leave(self) {
        self.stop().await;
    }
}
