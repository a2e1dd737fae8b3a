//! Measures lookups over the wire: one coordinator and many connected peers, over TLS on loopback.
//!
//! `cargo run --release -p skep-coordinator --example lookups -- [PEERS [SECONDS]]`
//!
//! Coordinator and peers share the machine and this process, so the figures are of both together.

#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use skep_coordinator::{Config, Coordinator, InviteOptions};
use skep_net::{Limits, Link, Tls};
use skep_wire::{
    BlobId, NetworkId, ShareName, Signed, SigningKey,
    message::{Attend, Done, Endpoint, Hello, Holders, Join, Joined, Lane, Lookup, Publish, Welcome},
    record::{Audience, Content, ContentKind, Grant, ShareRecord},
    ticket::Ticket,
};
use skep_world::World;
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

/// Shares that the first peers publish, one each.
const SHARES: usize = 200;
/// Peers that join at the same time.
const JOINING: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let peers: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    allow_sockets(2 * peers as u64 + 200)?;
    let folder = tempfile::tempdir()?;
    let world = World::real(Arc::new(Tls), 4);
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let mut config = Config::new(folder.path().join("home"), listen);
    config.max_peers = u32::try_from(peers)?;
    let coordinator = Coordinator::start(world.clone(), config).await?;

    let began = Instant::now();
    let links = connect(&world, &coordinator, peers).await?;
    println!(
        "{} peers joined in {:.1} s",
        links.len(),
        began.elapsed().as_secs_f64()
    );
    let elapsed = Duration::from_secs(seconds);
    let mut times = look_up(links, peers.min(SHARES), elapsed).await?;
    times.sort_unstable();
    report(&times, elapsed);
    coordinator.stop().await?;
    Ok(())
}

fn report(times: &[Duration], elapsed: Duration) {
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    println!(
        "{rate:.0} lookups/s, half within {:.1?}, 99 % within {:.1?}",
        at(50),
        at(99)
    );
}

/// Lets peers join and attend; the first of them publish.
async fn connect(world: &World, coordinator: &Coordinator, peers: usize) -> Result<Vec<Link>, Failed> {
    let options = InviteOptions {
        uses: u32::try_from(peers)?,
        ..InviteOptions::default()
    };
    let ticket = Arc::new(coordinator.invite(options).await?);
    let mut joining = JoinSet::new();
    let mut links = Vec::with_capacity(peers);
    for n in 0..peers {
        if joining.len() >= JOINING {
            links.push(joining.join_next().await.ok_or("nobody joins")???);
        }
        joining.spawn(connect_one(world.clone(), ticket.clone(), n));
    }
    while let Some(link) = joining.join_next().await {
        links.push(link??);
    }
    Ok(links)
}

async fn connect_one(world: World, ticket: Arc<Ticket>, n: usize) -> Result<Link, Failed> {
    let key = Arc::new(SigningKey::from_seed(world.entropy.bytes32()));
    let at = &ticket.coordinators[0];
    let newcomer = open(&world, &key, at, None).await?;
    let join = Join {
        secret: ticket.secret,
        name: None,
        role: None,
    };
    let Joined { grant, .. } = newcomer.ask(&join).await?;
    newcomer.close();
    let link = open(&world, &key, at, Some(grant)).await?;
    let attend = Attend {
        listen_port: 0,
        advertise: None,
        capacity_bytes: 0,
        used_bytes: 0,
        site: None,
        holdings: [0; 32],
    };
    let _: Welcome = link.ask(&attend).await?;
    if n < SHARES {
        let _: Done = link.ask(&share(&key, ticket.network, n)).await?;
    }
    Ok(link)
}

async fn open(
    world: &World,
    key: &Arc<SigningKey>,
    at: &Endpoint,
    grant: Option<Signed<Grant>>,
) -> Result<Link, Failed> {
    let hello = Hello {
        features: 0,
        agent: "lookups".to_owned(),
        lane: Lane::Control,
        grant,
        certificate: None,
        revocations: 0,
    };
    let stream = world.network.dial(key, at, None).await?;
    let (link, mut inbox) = Link::open(stream, hello, Limits::of(Lane::Control)).await?;
    // The coordinator may ask for triples; this peer has none to give.
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    Ok(link)
}

fn share(key: &SigningKey, network: NetworkId, n: usize) -> Publish {
    let record = ShareRecord {
        network,
        publisher: key.peer_id(),
        name: ShareName::parse(&format!("share {n}")).expect("digits make a name"),
        sequence: 1,
        content: Content {
            id: content(n),
            size: 1,
            kind: ContentKind::File,
        },
        bytes: 1,
        audience: Audience::Everyone,
        withdrawn: false,
    };
    Publish {
        record: Signed::new(&record, key),
        triples: Vec::new(),
    }
}

fn content(n: usize) -> BlobId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_le_bytes());
    BlobId(id)
}

/// Every peer asks again as soon as it is answered. Returns how long each answer took.
async fn look_up(links: Vec<Link>, shares: usize, elapsed: Duration) -> Result<Vec<Duration>, Failed> {
    let until = Instant::now() + elapsed;
    let mut asking = JoinSet::new();
    for (n, link) in links.into_iter().enumerate() {
        asking.spawn(async move {
            let mut times = Vec::new();
            let mut turn = n;
            while Instant::now() < until {
                let began = Instant::now();
                let content = content(turn % shares);
                let _: Holders = link.ask(&Lookup { content }).await?;
                times.push(began.elapsed());
                turn += 1;
            }
            Ok::<_, Failed>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = asking.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

/// Raises the limit of open files as far as needed.
fn allow_sockets(files: u64) -> Result<(), Failed> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let current = Some(files.min(limit.maximum.unwrap_or(files)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    }
    Ok(())
}
