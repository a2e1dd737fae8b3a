//! Connections over TCP and TLS 1.3 whose ends prove their keys (RFC 8446, RFC 7250).
//!
//! There are no certificates and no names: each side shows its raw Ed25519 public key and proves
//! it. The application protocol is [`skep_wire::message::ALPN`], on both sides, or there is no connection.

mod buffer;
mod identity;
mod listener;
mod session;
mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use rustls::ClientConfig;
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use skep_world::{Listener, Network, Stream};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

use self::{listener::TlsListener, session::Session};

/// The longest time that dialling takes in total.
const DIAL: Duration = Duration::from_secs(9);
/// The longest time for one address, while there are others to try.
const DIAL_ONE: Duration = Duration::from_secs(3);

/// The real network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tls;

#[async_trait]
impl Network for Tls {
    async fn dial(&self, me: &Arc<SigningKey>, to: &Endpoint, expect: Option<PeerId>) -> io::Result<Stream> {
        let deadline = Instant::now() + DIAL;
        let config = identity::client_config(me, expect).map_err(io::Error::other)?;
        let lookup = lookup_host((to.host.as_str(), to.port));
        let addresses: Vec<SocketAddr> = timeout_at(deadline, lookup).await??.collect();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for (index, &address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let deadline = if is_last {
                deadline
            } else {
                deadline.min(Instant::now() + DIAL_ONE)
            };
            let dialled = timeout_at(deadline, dial_one(address, config.clone())).await;
            match dialled.map_err(io::Error::from).flatten() {
                Ok(stream) => return Ok(stream),
                // That somebody else answers says more than that nobody does elsewhere.
                Err(_) if failure.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn listen(&self, me: &Arc<SigningKey>, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let config = identity::server_config(me).map_err(io::Error::other)?;
        Ok(Box::new(TlsListener::start(at, config)?))
    }
}

async fn dial_one(address: SocketAddr, config: ClientConfig) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    let session = Session::client(config).map_err(io::Error::other)?;
    stream::open(tcp, session).await
}

#[cfg(test)]
mod tests;
