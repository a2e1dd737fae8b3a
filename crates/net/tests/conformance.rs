//! The contract of the network, over real sockets.

use std::{net::Ipv4Addr, sync::Arc};

use skep_net::Tls;
use skep_world::conformance::network::Ground;

fn ground() -> Ground {
    Ground {
        listening: Arc::new(Tls),
        address: Ipv4Addr::LOCALHOST.into(),
        dialling: Arc::new(Tls),
    }
}

skep_world::network_conformance!(
    #[tokio::test]
    ground
);
