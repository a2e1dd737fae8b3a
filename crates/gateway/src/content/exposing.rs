//! A peer of document 004 whose contents are the native network's open shares.

use super::{
    client::Client,
    codec::{NAME_BYTES, Name},
};
use crate::bridge::{Fit, Provider};

impl Provider for Client {
    const FIT: Fit = Fit {
        name_bytes: NAME_BYTES,
        file_bytes: u64::MAX,
        // Spaces around a name are padding here.
        allows: |name| Name::parse(name).is_ok_and(|parsed| parsed.as_str() == name),
    };

    async fn provide(&mut self, name: &str) -> Result<(), String> {
        let name = Name::parse(name).map_err(|bad| bad.to_string())?;
        let registered = self.register(&name).await;
        registered.map(drop).map_err(|error| error.to_string())
    }

    async fn withdraw(&mut self, name: &str) {
        if let Ok(name) = Name::parse(name) {
            // An index that is silent finds the port closed.
            let _ = self.deregister(&name).await;
        }
    }

    async fn leave(self) {
        let _ = self.quit().await;
    }
}
