//! `skep coordinator`: the index service, in the foreground.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use serde::Serialize;
use skep_coordinator::{Config, Coordinator, api::Server};
use skep_wire::message::Endpoint;

use crate::{exit::Exit, failure::Failure, globals::Globals, logging, output::Output, parse, runtime};

/// Run the coordinator: it knows who has what, and never holds or reads contents
///
/// The first start creates the network. Ask for tickets with `skep invite` on the same machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address and port to listen on
    #[arg(long, default_value = "0.0.0.0:7700")]
    listen: SocketAddr,
    /// Host and port to put into tickets, if it is not an address of this machine; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = parse::endpoint)]
    advertise: Vec<Endpoint>,
    /// The most peers the network takes
    #[arg(long, value_name = "N")]
    max_peers: Option<u32>,
    /// How often peers say that they are still there
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse::duration)]
    heartbeat: Duration,
    /// A peer that is away for so long has failed: what it kept for others is rebuilt on others
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse::duration)]
    repair_after: Duration,
    /// The most bytes per second that rebuilds read, all together, or none
    #[arg(long, default_value = "128MiB", value_name = "RATE", value_parser = parse::rate_or_none)]
    repair_rate: u64,
}

/// The `ready` event.
#[derive(Serialize)]
struct Ready {
    listen: String,
    name: &'static str,
    id: String,
    network: String,
    api: Option<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    logging::start(globals);
    let home = globals.coordinator_home()?;
    runtime::block_on(async {
        let stop = runtime::stop_on_signal()?;
        let mut config = Config::new(home.clone(), args.listen);
        config.advertise = if args.advertise.is_empty() {
            addresses(args.listen)
        } else {
            args.advertise
        };
        config.heartbeat = args.heartbeat;
        config.failed_after = args.repair_after;
        config.repair_bytes_per_s = Some(args.repair_rate).filter(|rate| *rate > 0);
        if let Some(max_peers) = args.max_peers {
            config.max_peers = max_peers;
        }
        let coordinator = Coordinator::start(runtime::world(), config)
            .await
            .map_err(failed)?;
        let server = Server::start(&home, coordinator.handle()).map_err(|e| {
            Failure::new(
                "home",
                format!("the local API cannot be opened: {e}"),
                "check the home",
            )
        })?;
        say_ready(&coordinator, out);
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = coordinator.stopping() => {}
        }
        server.stop().await;
        coordinator
            .stop()
            .await
            .map_err(|e| Failure::new("stopped", e, "see the log above"))?;
        Ok(Exit::Done)
    })
}

/// Where others reach what listens on `listen`: a wildcard is the address that the default route
/// uses, and loopback for peers of the same machine. Nothing is sent to find it.
fn addresses(listen: SocketAddr) -> Vec<Endpoint> {
    let outward = || {
        let (from, to) = if listen.is_ipv4() {
            ("0.0.0.0:0", "192.0.2.1:9")
        } else {
            ("[::]:0", "[2001:db8::1]:9")
        };
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let loopback = if listen.is_ipv4() {
        IpAddr::from([127, 0, 0, 1])
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    let mut all = if listen.ip().is_unspecified() {
        Vec::from_iter(outward().into_iter().chain([loopback]))
    } else {
        vec![listen.ip()]
    };
    all.dedup();
    all.into_iter()
        .map(|ip| Endpoint {
            host: ip.to_string(),
            port: listen.port(),
        })
        .collect()
}

fn say_ready(coordinator: &Coordinator, out: &Output) {
    let ready = coordinator.ready();
    let event = Ready {
        listen: ready.listen.to_string(),
        name: "coordinator",
        id: ready.id.to_string(),
        network: ready.network.to_string(),
        api: None,
    };
    let text = format!(
        "The coordinator listens on {}. Network {}.",
        ready.listen,
        ready.network.short()
    );
    out.event("ready", &event, text);
    out.note("Ask for a ticket for each machine with `skep invite`. Stop with Ctrl-C.");
}

fn failed(error: skep_coordinator::StartError) -> Failure {
    use skep_coordinator::StartError as E;
    let (kind, hint) = match &error {
        E::InUse { .. } => (
            "in_use",
            "a coordinator runs already; or give this one a --home of its own",
        ),
        E::Listen { .. } => ("listen", "give another address with --listen"),
        _ => ("home", "check the home's disk and permissions"),
    };
    Failure::new(kind, error, hint)
}
