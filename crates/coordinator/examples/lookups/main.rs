//! Measures lookups over the wire: one coordinator and many connected peers, over TLS on loopback.
//!
//! `cargo run --release -p skep-coordinator --example lookups -- [PEERS [SECONDS [SLOW]]]`
//!
//! With SLOW, lookups are measured in turns: without and with so many slow connections of strangers.
//! Coordinator and peers share the machine and this process, so the figures are of both together.

#![allow(clippy::print_stdout)]

mod slow;

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

use self::slow::Slow;

type Failed = Box<dyn Error + Send + Sync>;

/// Shares that the first peers publish, one each.
const SHARES: usize = 200;
/// Peers that join at the same time.
const JOINING: usize = 64;

/// How often lookups are measured without and with slow connections.
const TURNS: usize = 5;
/// Seconds in which everything must be as before.
const RECOVERY_S: usize = 30;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|word| word == slow::WORD).is_some() {
        let at = arguments.next().ok_or("where?")?.parse()?;
        let count = arguments.next().ok_or("how many?")?.parse()?;
        allow_sockets(u64::try_from(count)? + 200)?;
        slow::run(at, count).await;
    }
    let peers: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let strangers: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    allow_sockets(2 * peers as u64 + strangers as u64 + 200)?;
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
    let honest = Honest {
        links,
        shares: peers.min(SHARES),
    };
    let elapsed = Duration::from_secs(seconds);
    let all = honest.look_up(elapsed).await?;
    all.print(elapsed);
    if strangers > 0 {
        honest
            .beside(coordinator.ready().listen, strangers, elapsed)
            .await?;
    }
    coordinator.stop().await?;
    Ok(())
}

/// How long lookups took, the shortest first.
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, percent: usize) -> Duration {
        let Self(times) = self;
        let place = times.get(times.len() * percent / 100);
        place.copied().unwrap_or_default()
    }

    fn print(&self, elapsed: Duration) {
        let rate = self.0.len() as f64 / elapsed.as_secs_f64();
        let (half, most) = (self.at(50), self.at(99));
        println!("{rate:.0} lookups/s, half within {half:.1?}, 99 % within {most:.1?}");
    }
}

/// The peers, connected.
struct Honest {
    links: Vec<Link>,
    shares: usize,
}

impl Honest {
    /// Without and with strangers, in turns; then how soon it is as without them.
    async fn beside(&self, at: SocketAddr, strangers: usize, elapsed: Duration) -> Result<(), Failed> {
        let mut ratios = Vec::new();
        for _ in 0..TURNS {
            let quiet = self.look_up(elapsed).await?;
            let flood = Slow::start(at, strangers)?;
            let busy = self.look_up(elapsed).await?;
            drop(flood);
            let after = self.recovery(quiet.at(99)).await?;
            ratios.push(busy.at(99).as_secs_f64() / quiet.at(99).as_secs_f64());
            print!("99 % within {:.1?}, beside {strangers} strangers ", quiet.at(99));
            println!("{:.1?}; as before within {after} s", busy.at(99));
        }
        ratios.sort_by(f64::total_cmp);
        println!("ratio in the middle: {:.2}", ratios[TURNS / 2]);
        Ok(())
    }

    /// Seconds until lookups are about as fast as they were.
    async fn recovery(&self, before: Duration) -> Result<usize, Failed> {
        for second in 1..=RECOVERY_S {
            let now = self.look_up(Duration::from_secs(1)).await?;
            if now.at(99) <= before.mul_f64(1.2) {
                return Ok(second);
            }
        }
        Err(format!("not as before after {RECOVERY_S} s").into())
    }

    /// Every peer asks again as soon as it is answered.
    async fn look_up(&self, elapsed: Duration) -> Result<Times, Failed> {
        let until = Instant::now() + elapsed;
        let mut asking = JoinSet::new();
        for (n, link) in self.links.iter().cloned().enumerate() {
            asking.spawn(ask(link, n, self.shares, until));
        }
        let mut all = Vec::new();
        while let Some(times) = asking.join_next().await {
            all.extend(times??);
        }
        all.sort_unstable();
        Ok(Times(all))
    }
}

/// Looks up one content after the other, and returns how long each answer took.
async fn ask(link: Link, first: usize, shares: usize, until: Instant) -> Result<Vec<Duration>, Failed> {
    let mut times = Vec::new();
    let mut turn = first;
    while Instant::now() < until {
        let began = Instant::now();
        let content = content(turn % shares);
        let _: Holders = link.ask(&Lookup { content }).await?;
        times.push(began.elapsed());
        turn += 1;
    }
    Ok(times)
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
