//! Connections whose other end has proven its key.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use tokio::io::{AsyncRead, AsyncWrite};

/// An authenticated, encrypted (or simulated) byte stream.
pub struct Stream {
    /// The key that the other end has proven to hold.
    pub peer: PeerId,
    /// The other end's address.
    pub remote: SocketAddr,
    /// From there to here.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// From here to there. Flushed explicitly; shut down cleanly.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Makes and takes connections.
#[async_trait]
pub trait Network: Send + Sync {
    /// Connects to `to` as `me`. With `expect`, a different key there is an error of kind
    /// `PermissionDenied`, and nothing is sent to it. MUST give up within 10 seconds.
    async fn dial(&self, me: &Arc<SigningKey>, to: &Endpoint, expect: Option<PeerId>) -> io::Result<Stream>;

    /// Listens on `at` (port 0: any) as `me`.
    async fn listen(&self, me: &Arc<SigningKey>, at: SocketAddr) -> io::Result<Box<dyn Listener>>;
}

/// Takes connections. Dropping it stops listening.
#[async_trait]
pub trait Listener: Send + Sync {
    /// The address, with the real port.
    fn local(&self) -> SocketAddr;

    /// The next connection whose handshake is done. Handshakes run side by side, bounded in number
    /// and time; failed ones are not returned. An error means that the listener is gone for good.
    async fn accept(&self) -> io::Result<Stream>;
}
