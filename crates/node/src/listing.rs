//! Asking the coordinator for lists, page by page. Only what is signed is believed.

use std::sync::Arc;

use skep_wire::{
    PeerName,
    message::{Find, ListPeers, Listed, PeerRow, Peers, Query, Shares},
    record::ShareRecord,
};

use crate::{core::Core, session::SessionError};

/// All peers of the network.
pub(crate) async fn peers(core: &Arc<Core>) -> Result<Vec<PeerRow>, SessionError> {
    let mut all = Vec::new();
    let mut after: Option<PeerName> = None;
    loop {
        let page: Peers = core.session.ask(&ListPeers { after }).await?;
        after = page.peers.last().map(|row| row.name.clone());
        all.extend(page.peers);
        if !page.more || after.is_none() {
            return Ok(all);
        }
    }
}

/// All shares that a query finds and whose signatures hold, page by page.
pub(crate) async fn find(core: &Arc<Core>, query: Query) -> Result<Vec<(ShareRecord, Listed)>, SessionError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page: Shares = core
            .session
            .ask(&Find {
                query: query.clone(),
                after,
            })
            .await?;
        let last = page.shares.last().and_then(|listed| {
            let record = listed.record.peek().ok()?;
            Some((listed.publisher.clone(), record.name))
        });
        let believed = page
            .shares
            .into_iter()
            .filter_map(|listed| Some((core.trust.open_listed(&listed)?, listed)));
        all.extend(believed);
        after = last;
        if !page.more || after.is_none() {
            return Ok(all);
        }
    }
}
