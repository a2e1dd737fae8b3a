//! A peer of document 003 that seeds the native network's open shares. Each is read once to be
//! registered, for its hash, and again whenever the index asks for that.

use super::{
    client::Client,
    codec::{FileName, NAME_BYTES},
};
use crate::bridge::{Fit, Provider};

impl Provider for Client {
    const FIT: Fit = Fit {
        name_bytes: NAME_BYTES,
        file_bytes: u32::MAX as u64,
        allows: |name| FileName::parse(name).is_ok(),
    };

    async fn provide(&mut self, name: &str) -> Result<(), String> {
        let registered = self.register(name).await;
        registered.map(drop).map_err(|error| error.to_string())
    }

    async fn withdraw(&mut self, _: &str) {
        // There is no message for it: what is not there any more fails the index's next question.
    }

    async fn leave(self) {
        self.stop().await;
    }
}
