//! A device of an owner, played by hand: it says to coordinator and holders what a device says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use skep_net::{AskError, Inbox, Limits, Link};
use skep_wire::{
    BlobId, OwnerId, PackId, PeerId, Signed, SigningKey,
    backup::{
        self, Condemnation, Head, PackList, PackRecord, Retired, Rights, Roster, Scheme, encode_pack_list,
    },
    message::{
        Attend, Done, Health, HealthIs, HeldShard, Hello, Holder, Join, Joined, KeepHead, KeepRoster, Lane,
        Locate, Located, Message, NewPack, OwnerStands, OwnerState, Plan, Planned, ProveShard, ReadPackList,
        ReadShard, Reason, ShardName, ShardProof, StoreShard, Welcome,
    },
    record::Grant,
    ticket::Ticket,
};
use skep_world::World;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::town::Town;

/// Bytes of each pack.
pub(crate) const PACK_BYTES: usize = 5_000_001;
const PATIENCE: Duration = Duration::from_secs(120);

/// The device, on a machine of its own.
pub(crate) struct Device {
    world: World,
    key: Arc<SigningKey>,
    ticket: Ticket,
    grant: Signed<Grant>,
    control: Option<(Link, Inbox)>,
    links: BTreeMap<PeerId, Link>,
    /// Answers those who come for what is offered.
    serving: JoinSet<()>,
}

impl Device {
    /// The first device of the owner joins, and says who it is.
    pub(crate) async fn join(town: &Town) -> Self {
        let mut device = Self::new(town, 1).await;
        device.tell_roster().await;
        device
    }

    /// The same device in another network, where holders have told about its owner.
    pub(crate) async fn join_known(town: &Town) -> Self {
        Self::new(town, 1).await
    }

    /// Somebody else of the same network.
    pub(crate) async fn stranger(town: &Town) -> Self {
        Self::new(town, 2).await
    }

    async fn new(town: &Town, n: u8) -> Self {
        let world = town.universe.machine([10, 0, 2, n].into()).boot();
        let key = Arc::new(SigningKey::from_seed([n; 32]));
        let ticket = town.ticket.clone();
        let (link, _inbox) = open(&world, &key, &ticket, None).await;
        let join = Join {
            secret: ticket.secret,
            name: None,
            role: None,
        };
        let Joined { grant, .. } = link.ask(&join).await.unwrap();
        link.close();
        let mut device = Self {
            world,
            key,
            ticket,
            grant,
            control: None,
            links: BTreeMap::new(),
            serving: JoinSet::new(),
        };
        device.attend().await;
        device
    }

    /// Connects to the coordinator.
    pub(crate) async fn attend(&mut self) {
        let (link, inbox) = open(&self.world, &self.key, &self.ticket, Some(self.grant.clone())).await;
        let attend = Attend {
            listen_port: 0,
            advertise: None,
            capacity_bytes: 0,
            used_bytes: 0,
            site: None,
            holdings: [0; 32],
        };
        let _: Welcome = link.ask(&attend).await.unwrap();
        self.control = Some((link, inbox));
    }

    /// Hangs up on everybody.
    pub(crate) fn leave_alone(&mut self) {
        self.control = None;
        self.links.clear();
        self.serving.abort_all();
    }

    /// Asks the coordinator.
    pub(crate) async fn ask<Q: Message, R: Message>(&self, request: &Q) -> Result<R, AskError> {
        let (link, _) = self.control.as_ref().expect("it attends");
        link.ask(request).await
    }

    fn roster(&self) -> Signed<Roster> {
        roster(1, &[self.id()], vec![])
    }

    pub(crate) fn id(&self) -> PeerId {
        self.key.peer_id()
    }

    /// Tells the coordinator who speaks for the owner from now on.
    pub(crate) async fn change_roster(&self, number: u64, devices: &[PeerId], retired: Vec<Retired>) {
        let roster = roster(number, devices, retired);
        let Done {} = self.ask(&KeepRoster { roster }).await.unwrap();
        // The coordinator passes it on.
        sleep(Duration::from_secs(1)).await;
    }

    async fn tell_roster(&mut self) {
        let roster = self.roster();
        let Done {} = self.ask(&KeepRoster { roster }).await.unwrap();
    }

    /// Plans a pack and brings its shards to three holders.
    pub(crate) async fn back_up(&mut self, n: u8) -> Vec<PeerId> {
        let (bytes, record) = pack(self.key.peer_id(), n);
        let plan = Plan {
            owner: owner(),
            scheme: Scheme::copies(3),
            packs: vec![NewPack {
                pack: record.pack,
                size: record.size,
            }],
        };
        let planned = self.plan_with_addresses(&plan).await;
        let record = Signed::new(&record, &self.key);
        for (shard, peer) in (0..).zip(&planned.packs[0].holders) {
            let link = self.link(&planned.holders, peer, Some(bytes.clone())).await;
            let roster = self.roster();
            let Done {} = link.ask(&KeepRoster { roster }).await.unwrap();
            let record = record.clone();
            let Done {} = link.ask(&StoreShard { record, shard }).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        planned.packs[0].holders.clone()
    }

    /// The coordinator must have reached the holders before it tells where they are.
    async fn plan_with_addresses(&self, plan: &Plan) -> Planned {
        let planned = async {
            loop {
                if let Ok(planned) = self.ask::<_, Planned>(plan).await
                    && planned.holders.iter().all(|holder| holder.address.is_some())
                {
                    return planned;
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(PATIENCE, planned).await.expect("a plan")
    }

    /// Offers a head that needs a pack to the coordinator and to a holder. Why each refused it.
    pub(crate) async fn offer_head(
        &mut self,
        friend: &Self,
        number: u64,
        holder: &PeerId,
    ) -> [Option<Reason>; 2] {
        let (head, _) = self.head(1, number);
        let link = self.borrow_link(friend, 1, holder).await;
        let by_coordinator = reason(self.ask::<_, Done>(&KeepHead { head: head.clone() }).await);
        [
            by_coordinator,
            reason(link.ask::<_, Done>(&KeepHead { head }).await),
        ]
    }

    /// A head that needs a pack, and its list.
    pub(crate) fn head(&self, n: u8, number: u64) -> (Signed<Head>, Vec<u8>) {
        let list = encode_pack_list(vec![pack_id(n)]);
        let head = Head {
            owner: owner(),
            device: self.id(),
            number,
            previous: [0; 32],
            roster: 1,
            made_unix_s: 0,
            epoch: 1,
            salt: [0; 32],
            sealed: vec![1; 100],
            packs: PackList {
                id: BlobId(*blake3::hash(&list).as_bytes()),
                size: list.len() as u64,
            },
        };
        (Signed::new(&head, &self.key), list)
    }

    /// Tells holders and coordinator a head that needs a pack.
    pub(crate) async fn tell_head(&mut self, n: u8, holders: &[PeerId]) {
        let (head, list) = self.head(n, 1);
        for holder in holders {
            self.links.remove(holder);
            let link = self.link_to(n, holder, Some(Bytes::from(list.clone()))).await;
            let head = head.clone();
            let Done {} = link.ask(&KeepHead { head }).await.unwrap();
        }
        let Done {} = self.ask(&KeepHead { head }).await.unwrap();
    }

    /// The number of the device's newest head that the coordinator knows.
    pub(crate) async fn head_number(&self) -> u64 {
        let stands: OwnerStands = self.ask(&OwnerState { owner: owner() }).await.unwrap();
        stands.heads.first().map_or(0, |head| head.number)
    }

    async fn located(&self, n: u8) -> Result<Located, AskError> {
        let locate = Locate {
            owner: owner(),
            packs: vec![pack_id(n)],
        };
        self.ask(&locate).await
    }

    /// Who has a pack, as the coordinator knows, and is online.
    pub(crate) async fn locate(&self, n: u8) -> Vec<PeerId> {
        let located = self.located(n).await.unwrap();
        located.holders.iter().map(|holder| holder.peer).collect()
    }

    /// Waits until the coordinator has heard of a pack from all three holders.
    pub(crate) async fn until_known(&self, n: u8) {
        let known = async {
            while !self
                .located(n)
                .await
                .is_ok_and(|it| it.holders.iter().filter(|it| it.address.is_some()).count() == 3)
            {
                sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(PATIENCE, known).await.expect("the pack is known");
    }

    /// Waits until a holder of a pack can be dialled.
    pub(crate) async fn until_online(&self, n: u8, peer: &PeerId) {
        let online = async {
            while !self.located(n).await.is_ok_and(|it| {
                it.holders
                    .iter()
                    .any(|it| it.peer == *peer && it.address.is_some())
            }) {
                sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(PATIENCE, online).await.expect("the holder is back");
    }

    /// Reads a pack from a holder and verifies it.
    pub(crate) async fn read(&mut self, n: u8, peer: &PeerId) -> Result<BytesMut, AskError> {
        let link = self.link_to(n, peer, None).await;
        let mut outcome = Err(AskError::TimedOut);
        for shard in 0..3 {
            outcome = link
                .read(&read_shard(n, shard), PACK_BYTES, BytesMut::new(), None)
                .await;
            if outcome.is_ok() {
                break;
            }
        }
        let bytes = outcome?;
        assert_eq!(*blake3::hash(&bytes).as_bytes(), pack_id(n).0);
        Ok(bytes)
    }

    /// A stranger tries to read. Why it was refused.
    pub(crate) async fn read_as_stranger(&mut self, friend: &Self, n: u8, peer: &PeerId) -> Option<Reason> {
        let link = self.borrow_link(friend, n, peer).await;
        let mut reasons = Vec::new();
        for shard in 0..3 {
            let read = link
                .read(&read_shard(n, shard), PACK_BYTES, BytesMut::new(), None)
                .await;
            reasons.push(reason(read));
        }
        reasons.into_iter().reduce(|a, b| if a == b { a } else { None })?
    }

    /// A stranger tries to store a pack that it signed itself. Why it was refused.
    pub(crate) async fn store_as_stranger(&mut self, friend: &Self, peer: &PeerId) -> Option<Reason> {
        let link = self.borrow_link(friend, 1, peer).await;
        let (_, record) = pack(self.key.peer_id(), 9);
        let record = Signed::new(&record, &self.key);
        reason(link.ask::<_, Done>(&StoreShard { record, shard: 0 }).await)
    }

    pub(crate) fn condemnation(&self, n: u8) -> Signed<Condemnation> {
        let word = Condemnation {
            owner: owner(),
            device: self.key.peer_id(),
            number: 1,
            made_unix_s: 0,
            packs: vec![pack_id(n)],
        };
        Signed::new(&word, &self.key)
    }

    /// What whoever keeps a shard of a pack has to show for it.
    pub(crate) fn held(&self, n: u8, shard: u8) -> HeldShard {
        let record = Signed::new(&pack(self.key.peer_id(), n).1, &self.key);
        HeldShard { record, shard }
    }

    /// How many holders may be lost, as the coordinator sees it.
    pub(crate) async fn survives(&self, n: u8) -> u32 {
        let asked = Health {
            owner: owner(),
            packs: vec![pack_id(n)],
        };
        let health: HealthIs = self.ask(&asked).await.unwrap();
        health.survives
    }

    /// What a holder shows of a shard.
    pub(crate) async fn prove(&mut self, n: u8, peer: &PeerId, shard: u8) -> Result<ShardProof, AskError> {
        let link = self.link_to(n, peer, None).await;
        let shard = ShardName {
            pack: pack_id(n),
            shard,
        };
        let owner = owner();
        let question = ProveShard {
            owner,
            shard,
            leaf: 0,
        };
        link.ask(&question).await
    }

    async fn link_to(&mut self, n: u8, peer: &PeerId, offered: Option<Bytes>) -> Link {
        let known = self.located(n).await.unwrap().holders;
        self.link(&known, peer, offered).await
    }

    async fn borrow_link(&mut self, friend: &Self, n: u8, peer: &PeerId) -> Link {
        let known = friend.located(n).await.unwrap().holders;
        self.link(&known, peer, None).await
    }

    /// A connection to a holder, on which `offered` is given to whoever asks.
    async fn link(&mut self, known: &[Holder], peer: &PeerId, offered: Option<Bytes>) -> Link {
        if let Some(link) = self
            .links
            .get(peer)
            .filter(|link| !link.is_closed() && offered.is_none())
        {
            return link.clone();
        }
        let holder = known.iter().find(|holder| holder.peer == *peer);
        let address = holder.and_then(|holder| holder.address.clone());
        let address = match address {
            Some(address) => address,
            // It was reached before, and is only not listed any more.
            None => {
                return self
                    .links
                    .get(peer)
                    .expect("a holder that can be dialled")
                    .clone();
            }
        };
        let stream = self
            .world
            .network
            .dial(&self.key, &address, Some(*peer))
            .await
            .unwrap();
        let hello = hello(Lane::Bulk, Some(self.grant.clone()));
        let (link, inbox) = Link::open(stream, hello, Limits::of(Lane::Bulk)).await.unwrap();
        self.serving.spawn(serve(inbox, offered.unwrap_or_default()));
        self.links.insert(*peer, link.clone());
        link
    }
}

pub(crate) async fn open(
    world: &World,
    key: &Arc<SigningKey>,
    ticket: &Ticket,
    grant: Option<Signed<Grant>>,
) -> (Link, Inbox) {
    let to = &ticket.coordinators[0];
    let stream = world.network.dial(key, to, None).await.unwrap();
    Link::open(stream, hello(Lane::Control, grant), Limits::of(Lane::Control))
        .await
        .unwrap()
}

fn hello(lane: Lane, grant: Option<Signed<Grant>>) -> Hello {
    Hello {
        features: 0,
        agent: "device".to_owned(),
        lane,
        grant,
        certificate: None,
        revocations: 0,
    }
}

/// Gives what is offered to whoever asks.
async fn serve(mut inbox: Inbox, offered: Bytes) {
    while let Some(incoming) = inbox.recv().await {
        let bytes = match incoming.kind {
            ReadShard::KIND => {
                let request: ReadShard = incoming.decode().unwrap();
                let first = usize::try_from(request.first).unwrap();
                let count = usize::try_from(request.bytes).unwrap();
                offered.slice(first..offered.len().min(first + count))
            }
            ReadPackList::KIND => offered.clone(),
            _ => {
                incoming.responder.unsupported().await;
                continue;
            }
        };

        let _ = incoming.responder.bulk(bytes).await;
    }
}

fn reason<T>(outcome: Result<T, AskError>) -> Option<Reason> {
    match outcome {
        Err(AskError::Refused { reason, .. }) => Some(reason),
        _ => None,
    }
}

fn roster(number: u64, devices: &[PeerId], retired: Vec<Retired>) -> Signed<Roster> {
    let device = |peer: &PeerId| backup::Device {
        peer: *peer,
        sealing: [0; 32],
        rights: Rights::ALL,
        keys: vec![],
    };
    let roster = Roster {
        owner: owner(),
        number,
        epoch: 1,
        devices: devices.iter().map(device).collect(),
        retired,
    };
    Signed::new(&roster, &owner_key())
}

fn owner_key() -> SigningKey {
    SigningKey::from_seed([99; 32])
}

pub(crate) fn owner() -> OwnerId {
    OwnerId(owner_key().public())
}

fn bytes(n: u8) -> Bytes {
    (0..=250)
        .cycle()
        .map(|byte: u8| byte.wrapping_mul(n))
        .take(PACK_BYTES)
        .collect()
}

fn pack_id(n: u8) -> PackId {
    PackId(*blake3::hash(&bytes(n)).as_bytes())
}

fn pack(device: PeerId, n: u8) -> (Bytes, PackRecord) {
    let (bytes, pack) = (bytes(n), pack_id(n));
    let record = PackRecord {
        owner: owner(),
        device,
        pack,
        size: bytes.len() as u64,
        epoch: 1,
        scheme: Scheme::copies(3).unwrap(),
        shards: vec![BlobId(pack.0); 3],
    };
    (bytes, record)
}

fn read_shard(n: u8, shard: u8) -> ReadShard {
    ReadShard {
        owner: owner(),
        shard: ShardName {
            pack: pack_id(n),
            shard,
        },
        first: 0,
        bytes: PACK_BYTES as u64,
        permit: None,
    }
}
