//! Addresses: where a role listens, how others reach it, and where its server is.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
};

use tokio::net::{TcpListener, UdpSocket, lookup_host};

/// Why a role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address to listen on cannot be had.
    #[error("{at} cannot be listened on: {source}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server's name says nothing, or has no IPv4 address.
    #[error("{server} is not the address of a server")]
    Server {
        /// What was given.
        server: String,
    },
    /// The server does not let this role in.
    #[error("{server} does not answer as a server should: {source}")]
    Silent {
        /// The server.
        server: String,
        /// What happened.
        source: io::Error,
    },
    /// This protocol writes addresses in a field for IPv4.
    #[error("{at} is no IPv4 address, and the messages have room for nothing else")]
    NotV4 {
        /// The address.
        at: SocketAddr,
    },
    /// The name of the peer.
    #[error("{name:?} is no name for a peer: {why}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file in a home.
    #[error("{file} cannot be read: {why}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder that is to be shared.
    #[error("the folder {folder} cannot be used: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The home.
    #[error(transparent)]
    Home(#[from] crate::keep::HomeError),
}

/// Listens on `at`.
///
/// # Errors
/// [`StartError::Listen`].
pub(crate) async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { at, source };
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// The IPv4 address that `HOST:PORT` stands for.
///
/// # Errors
/// [`StartError::Server`].
pub(crate) async fn server(text: &str) -> Result<SocketAddrV4, StartError> {
    let addresses = lookup_host(text).await.into_iter().flatten();
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    addresses
        .into_iter()
        .find_map(v4)
        .ok_or_else(|| StartError::Server {
            server: text.to_owned(),
        })
}

/// The address of this machine from which `there` is reached. Nothing is sent.
pub(crate) async fn toward(there: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match there {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(there).await?;
    Ok(socket.local_addr()?.ip())
}

/// What others are told of a role that listens at `local`: `advertise`, or the address itself, or, on
/// a wildcard, the one from which its server is reached.
///
/// # Errors
/// [`StartError::NotV4`].
pub(crate) async fn advertised(
    local: SocketAddr,
    advertise: Option<IpAddr>,
    server: SocketAddrV4,
) -> Result<SocketAddrV4, StartError> {
    let ip = match advertise {
        Some(ip) => ip,
        None if local.ip().is_unspecified() => toward(server.into()).await.unwrap_or(local.ip()),
        None => local.ip(),
    };
    v4(SocketAddr::new(ip, local.port()))
}

/// An IPv4 address.
///
/// # Errors
/// [`StartError::NotV4`].
pub(crate) fn v4(at: SocketAddr) -> Result<SocketAddrV4, StartError> {
    match at {
        SocketAddr::V4(at) => Ok(at),
        SocketAddr::V6(_) => Err(StartError::NotV4 { at }),
    }
}
