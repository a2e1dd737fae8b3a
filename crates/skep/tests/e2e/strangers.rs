//! Those who speak the protocol and are not let in: no grant, a grant of another network, a grant
//! but no place in a share's audience.

use std::{fs, sync::Arc};

use bytes::BytesMut;
use skep_net::{AskError, CloseReason, Limits, Link, OpenError, Tls};
use skep_wire::{
    BlobId, PeerName, Signed, SigningKey, Ticket,
    message::{Endpoint, Find, Hello, Join, Joined, Lane, Query, Read, Reason, Shares},
    record::Grant,
};
use skep_world::Network as _;

use crate::support::{Network, Peer, text, write_random};

/// A program of somebody's own.
pub(crate) struct Stranger {
    pub(crate) key: Arc<SigningKey>,
    grant: Option<Signed<Grant>>,
}

/// Why it got nothing; none: no reason was given.
type Refused = Option<Reason>;

impl Stranger {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            key: Arc::new(SigningKey::from_seed([seed; 32])),
            grant: None,
        }
    }

    /// One that has joined by the rules.
    pub(crate) async fn member(seed: u8, ticket: &str) -> Self {
        let mut stranger = Self::new(seed);
        let ticket: Ticket = ticket.parse().unwrap();
        let at = ticket.coordinators[0].to_string();
        let request = Join {
            secret: ticket.secret,
            name: Some(PeerName::parse("mallory").unwrap()),
            role: None,
        };
        let joined: Joined = stranger.ask(&at, &request).await.unwrap();
        stranger.grant = Some(joined.grant);
        stranger
    }

    async fn link(&self, at: &str, lane: Lane) -> Result<Link, Refused> {
        let at: Endpoint = at.parse().unwrap();
        let stream = Tls.dial(&self.key, &at, None).await.unwrap();
        match Link::open(stream, self.hello(lane), Limits::of(lane)).await {
            Ok((link, _inbox)) => Ok(link),
            Err(OpenError::Refused { reason, .. }) => Err(Some(reason)),
            Err(_) => Err(None),
        }
    }

    /// The first words of its side.
    pub(crate) fn hello(&self, lane: Lane) -> Hello {
        Hello {
            features: 0,
            agent: "mallory".to_owned(),
            lane,
            grant: self.grant.clone(),
            certificate: None,
            revocations: 0,
        }
    }

    /// Asks a coordinator.
    async fn ask<Q, R>(&self, at: &str, request: &Q) -> Result<R, Refused>
    where
        Q: skep_wire::message::Message,
        R: skep_wire::message::Message,
    {
        let link = self.link(at, Lane::Control).await?;
        link.ask(request).await.map_err(reason)
    }

    /// Reads the first bytes of a content from a peer.
    async fn read(&self, at: &str, content: BlobId) -> Result<BytesMut, Refused> {
        let link = self.link(at, Lane::Bulk).await?;
        let request = Read {
            content,
            chunk: 0,
            first_unit: 0,
            units: 1,
            proof: false,
        };
        let answer = link.read(&request, 1 << 14, BytesMut::new(), None).await;
        answer.map_err(reason)
    }
}

fn reason(error: AskError) -> Refused {
    match error {
        AskError::Refused { reason, .. } | AskError::Closed(CloseReason::Refused { reason, .. }) => {
            Some(reason)
        }
        _ => None,
    }
}

fn listen(peer: &Peer) -> &str {
    peer.ready["listen"].as_str().unwrap()
}

fn find_all() -> Find {
    Find {
        query: Query::All,
        after: None,
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test);
}

/// A peer that shares 16 KiB, their id, and the bytes.
fn sharer(network: &Network, options: &[&str]) -> (Peer, BlobId, Vec<u8>) {
    let peer = network.peer("ann");
    let path = peer.files.join("x");
    let bytes = write_random(&path, 1 << 14, 1);
    let shared = peer.ask(&[&["share", text(&path)], options].concat());
    let id = shared["id"].as_str().unwrap().parse().unwrap();
    (peer, id, bytes)
}

#[test]
fn without_a_grant_there_is_nothing() {
    let network = Network::start();
    let (peer, id, bytes) = sharer(&network, &[]);
    run(async {
        let member = Stranger::member(1, &network.invite(&[])).await;
        assert!(
            member.read(listen(&peer), id).await.unwrap() == bytes,
            "what a member gets"
        );

        let stranger = Stranger::new(2);
        assert_eq!(
            stranger.read(listen(&peer), id).await,
            Err(Some(Reason::NotAllowed))
        );
        let found: Result<Shares, _> = stranger.ask(&network.listen, &find_all()).await;
        assert_eq!(found.map(drop), Err(Some(Reason::NotAllowed)));

        let thief = Stranger {
            grant: member.grant.clone(),
            ..stranger
        };
        assert_eq!(thief.read(listen(&peer), id).await, Err(Some(Reason::NotAllowed)));
    });
}

#[test]
fn two_networks_on_one_machine_cannot_reach_each_other() {
    let [ours, theirs] = [Network::start(), Network::start()];
    let (our_peer, id, bytes) = sharer(&ours, &[]);
    let (their_peer, their_id, _) = sharer(&theirs, &[]);
    assert_eq!(id, their_id, "the same bytes");
    run(async {
        let member = Stranger::member(1, &ours.invite(&[])).await;
        assert!(member.read(listen(&our_peer), id).await.unwrap() == bytes);
        assert_eq!(
            member.read(listen(&their_peer), id).await,
            Err(Some(Reason::NotAllowed))
        );
        let found: Result<Shares, _> = member.ask(&theirs.listen, &find_all()).await;
        assert_eq!(found.map(drop), Err(Some(Reason::NotAllowed)));
    });
    let other = theirs.peer("other");
    write_random(&other.files.join("y"), 1000, 2);
    let link = other.ask(&["share", text(&other.files.join("y"))])["link"].clone();
    let link = link.as_str().unwrap();
    assert!(our_peer.listed("y").is_none() && our_peer.sees("other").is_none());
    our_peer
        .run(&["get", "y", "-o", text(&our_peer.files)])
        .refused(1, "not_found");
    our_peer
        .run(&["get", link, "-o", text(&our_peer.files)])
        .refused(1, "other_network");
    assert!(!our_peer.files.join("y").exists());
}

#[test]
fn a_member_reads_only_what_is_for_it() {
    let network = Network::start();
    let bob = network.peer("bob");
    let (ann, id, bytes) = sharer(&network, &["--to", "bob"]);
    bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    run(async {
        let member = Stranger::member(1, &network.invite(&[])).await;
        for holder in [&ann, &bob] {
            assert_eq!(member.read(listen(holder), id).await, Err(Some(Reason::NotFound)));
        }
        let unknown = BlobId([9; 32]);
        assert_eq!(
            member.read(listen(&ann), unknown).await,
            Err(Some(Reason::NotFound)),
            "the same answer as for what is not there at all"
        );
    });
}

#[test]
fn a_revoked_member_reads_nothing_any_more() {
    let network = Network::start();
    let (ann, id, bytes) = sharer(&network, &[]);
    run(async {
        let member = Stranger::member(1, &network.invite(&[])).await;
        assert!(member.read(listen(&ann), id).await.unwrap() == bytes);
        network.admin(&["peers", "revoke", "mallory"]).done();
        let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
        while member.read(listen(&ann), id).await != Err(Some(Reason::Revoked)) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "peers hear of a revocation"
            );
        }
    });
}

#[test]
fn a_peer_moves_to_another_network_with_its_key_and_its_shares() {
    let [ours, theirs] = [Network::start(), Network::start()];
    let (ann, _, bytes) = sharer(&ours, &[]);
    let before = ann.ready.clone();
    ann.ask(&["down"]);
    let ticket = theirs.invite(&[]);
    let ann = ours.joining("ann", &ticket, &[]).joined();
    assert_eq!(ann.ready["network"], theirs.id.as_str());
    assert_eq!(ann.ready["id"], before["id"]);
    let bob = theirs.peer("bob");
    bob.wait_for_holders("x", 1);
    bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
}
