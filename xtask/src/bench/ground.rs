//! Where the processes of a case run: on the loopback interface, or in network namespaces with links between
//! them. Linux only, and namespaces are for root; they are gone when dropped.
//!
//! It slows links down (`tc tbf`, [`delay`]), and knows nothing of what runs on them.

use std::{
    collections::BTreeMap,
    env,
    net::Ipv4Addr,
    path::Path,
    process::{self, Command, Stdio},
    time::Duration,
};

use super::{
    delay,
    process::Process,
    stage::{command, wait_ready},
};
use crate::{Outcome, workspace};

/// Programs without which there are no namespaces with links.
const NEEDS: [&str; 3] = ["ip", "tc", "ethtool"];

/// What fits into a datagram that fits into a packet of 1500 bytes.
const WRAPPED_MTU: u32 = 1450;

/// What a case runs on.
#[derive(Debug, Clone)]
pub(super) enum Ground {
    /// The loopback interface.
    Loopback,
    /// A namespace for each, on one switch; the link of each holder sends so many Mbit/s.
    Switch { holder_mbit: u32 },
    /// Holder and receiver at the ends of a path that delays and loses packets.
    Path(Rough),
}

/// A path that is not like a cable.
#[derive(Debug, Clone)]
pub(super) struct Rough {
    /// Of each packet, in each direction.
    pub(super) delay: Duration,
    /// How many of a thousand packets are lost, in each direction.
    pub(super) lost_per_mille: u32,
    /// What each end sends at most, in Mbit/s.
    pub(super) mbit: u32,
    /// How TCP reacts to loss, as `net.ipv4.tcp_congestion_control` names it.
    pub(super) congestion_control: String,
}

/// A machine, as far as a process can see.
#[derive(Debug, Clone)]
pub(super) struct Host {
    namespace: Option<String>,
    /// Where others find it.
    pub(super) address: Ipv4Addr,
}

/// The namespaces of one case.
#[derive(Default)]
pub(super) struct Lan {
    hosts: BTreeMap<String, Host>,
    namespaces: Vec<String>,
    /// In a namespace, so it must end before the namespaces go.
    forwarder: Option<Process>,
}

/// Why there can be no namespaces here.
pub(super) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".into());
    }
    let missing = NEEDS
        .into_iter()
        .find(|name| workspace::find_program(name).is_none());
    missing.map(|name| format!("not installed: {name}"))
}

impl Ground {
    /// Lays the links for so many holders; none where all run on the loopback interface.
    pub(super) fn lay(&self, holders: usize, folder: &Path) -> Outcome<Option<Lan>> {
        match self {
            Self::Loopback => Ok(None),
            Self::Switch { holder_mbit } => Lan::switch(holders, *holder_mbit).map(Some),
            Self::Path(rough) => Lan::path(rough, folder).map(Some),
        }
    }
}

impl Host {
    /// The loopback interface.
    pub(super) fn loopback() -> Self {
        Self {
            namespace: None,
            address: Ipv4Addr::LOCALHOST,
        }
    }

    /// `program` with `args`, to run on this host.
    pub(super) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let Some(namespace) = &self.namespace else {
            return command(program, args);
        };
        let mut inside = command("ip", ["netns", "exec", namespace]);
        inside.arg(program).args(args);
        inside
    }
}

impl Lan {
    /// The host of that name.
    pub(super) fn host(&self, name: &str) -> Outcome<Host> {
        let host = self.hosts.get(name).cloned();
        host.ok_or_else(|| format!("there is no host {name}").into())
    }

    /// Coordinator, receiver and holders on a bridge in a namespace of its own.
    fn switch(holders: usize, holder_mbit: u32) -> Outcome<Self> {
        let mut lan = Self::default();
        let bridge = lan.namespace("switch")?;
        ip(&format!("-n {bridge} link add bridge type bridge"))?;
        ip(&format!("-n {bridge} link set bridge up"))?;
        let names = ["coordinator".into(), "receiver".into()]
            .into_iter()
            .chain((1..=holders).map(|number| format!("holder-{number}")));
        for (name, number) in names.zip(1u8..) {
            let address = Ipv4Addr::new(10, 77, 0, number);
            let space = lan.namespace(&name)?;
            connect((&space, "lan"), (&bridge, &format!("port{number}")))?;
            ip(&format!("-n {bridge} link set port{number} master bridge"))?;
            ip(&format!("-n {space} address add {address}/24 dev lan"))?;
            if name.starts_with("holder") {
                limit(&space, "lan", holder_mbit)?;
            }
            lan.add_host(&name, space, address);
        }
        Ok(lan)
    }

    /// Two ends, and between them a forwarder in user space: the ends see one link, whose packets the kernel
    /// wraps into datagrams (VXLAN, RFC 7348) and sends to the forwarder.
    fn path(rough: &Rough, folder: &Path) -> Outcome<Self> {
        let mut lan = Self::default();
        let middle = lan.namespace("middle")?;
        let mut relays = Vec::new();
        for (number, names) in [(1u8, &["holder-1", "coordinator"][..]), (2, &["receiver"])] {
            let space = lan.namespace(&format!("end{number}"))?;
            let (outer, relay) = (Ipv4Addr::new(10, 78, number, 2), Ipv4Addr::new(10, 78, number, 1));
            connect((&space, "wire"), (&middle, &format!("wire{number}")))?;
            ip(&format!("-n {space} address add {outer}/24 dev wire"))?;
            ip(&format!("-n {middle} address add {relay}/24 dev wire{number}"))?;
            limit(&space, "wire", rough.mbit)?;
            let address = Ipv4Addr::new(10, 79, 0, number);
            tunnel(&space, outer, relay, address)?;
            let setting = format!("net.ipv4.tcp_congestion_control={}", rough.congestion_control);
            run(&format!("ip netns exec {space} sysctl -q -w {setting}"))?;
            for name in names {
                lan.add_host(name, space.clone(), address);
            }
            relays.push((relay, outer));
        }
        lan.forwarder = Some(start_forwarder(&middle, rough, &relays, folder)?);
        Ok(lan)
    }

    fn namespace(&mut self, name: &str) -> Outcome<String> {
        let name = format!("skep-bench-{}-{name}", process::id());
        ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    fn add_host(&mut self, name: &str, namespace: String, address: Ipv4Addr) {
        let host = Host {
            namespace: Some(namespace),
            address,
        };
        self.hosts.insert(name.to_owned(), host);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        drop(self.forwarder.take());
        for namespace in &self.namespaces {
            // Nothing more can be done about one that stays.
            let _ = ip(&format!("netns delete {namespace}"));
        }
    }
}

/// A cable between two namespaces; both ends are up.
fn connect((space, name): (&str, &str), (peer_space, peer_name): (&str, &str)) -> Outcome {
    ip(&format!(
        "link add {name} netns {space} type veth peer name {peer_name} netns {peer_space}"
    ))?;
    ip(&format!("-n {space} link set {name} up"))?;
    ip(&format!("-n {peer_space} link set {peer_name} up"))
}

/// What leaves by `device` is limited; the queue before it is as long as 50 ms take.
fn limit(space: &str, device: &str, mbit: u32) -> Outcome {
    run(&format!(
        "tc -n {space} qdisc add dev {device} root tbf rate {mbit}mbit burst 256kb latency 50ms"
    ))
}

/// Checksums are made before a packet is wrapped: whoever unwraps it far away has to see them.
fn tunnel(space: &str, outer: Ipv4Addr, relay: Ipv4Addr, address: Ipv4Addr) -> Outcome {
    let port = delay::PORT;
    ip(&format!(
        "-n {space} link add path type vxlan id 1 local {outer} remote {relay} dstport {port}"
    ))?;
    run(&format!("ip netns exec {space} ethtool -K path tx off"))?;
    ip(&format!("-n {space} address add {address}/24 dev path"))?;
    ip(&format!("-n {space} link set path mtu {WRAPPED_MTU} up"))
}

/// Ourselves, once more, in the namespace between the two ends.
fn start_forwarder(
    space: &str,
    rough: &Rough,
    relays: &[(Ipv4Addr, Ipv4Addr)],
    folder: &Path,
) -> Outcome<Process> {
    let log = folder.join("forwarder.log");
    let mut forwarder = command("ip", ["netns", "exec", space]);
    forwarder
        .arg(env::current_exe()?)
        .arg("delay")
        .arg(format!("--millis={}", rough.delay.as_millis()))
        .arg(format!("--lost-per-mille={}", rough.lost_per_mille))
        .args(relays.iter().map(|(relay, end)| format!("{relay}-{end}")))
        .stdout(std::fs::File::create(&log)?)
        .stdin(Stdio::null());
    let process = Process::start(&mut forwarder)?;
    let ready = || {
        Ok(std::fs::read_to_string(&log)?
            .contains(delay::READY)
            .then_some(()))
    };
    wait_ready("the forwarder", ready)?;
    Ok(process)
}

fn ip(words: &str) -> Outcome {
    run(&format!("ip {words}"))
}

/// The words of `line`, none of which holds a blank; what it prints is shown only if it fails.
fn run(line: &str) -> Outcome {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or("an empty command")?;
    let output = command(program, words).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{line}` failed: {}", said.trim()).into())
}
