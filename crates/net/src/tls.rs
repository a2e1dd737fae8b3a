//! Connections over TCP and TLS 1.3 whose ends prove their keys (RFC 8446, RFC 7250).
//!
//! There are no certificates and no names: each side shows its raw Ed25519 public key and proves
//! it. The application protocol is [`skep_wire::message::ALPN`], on both sides, or there is no connection.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use skep_world::{Listener, Network, Stream};

/// The real network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tls;

#[async_trait]
impl Network for Tls {
    async fn dial(
        &self,
        _me: &Arc<SigningKey>,
        _to: &Endpoint,
        _expect: Option<PeerId>,
    ) -> io::Result<Stream> {
        todo!()
    }

    async fn listen(&self, _me: &Arc<SigningKey>, _at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        todo!()
    }
}
