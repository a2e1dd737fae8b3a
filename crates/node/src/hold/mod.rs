//! What this peer keeps of other people's backups: shards, and what their owners say.
//!
//! It believes signatures: a roster by its owner, everything else by a device that the roster lists. It
//! stores what such a device brings and the record names, shows it to devices that may read and to those
//! with a permit, and deletes by the owner's word alone, after a grace. It sees no plaintext.

mod announce;
mod deleting;
mod leaving;
mod lists;
mod proving;
mod reading;
mod rebuilding;
mod reviewing;
mod scrubbing;
mod storing;
mod words;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_engine::deletion::Docket;
use skep_net::{Incoming, Link, Responder};
use skep_store::{
    papers::{OwnerPapers, Papers},
    shards::{KeepError, Limits, Shards},
};
use skep_wire::{
    OwnerId, PackId, PeerId, Signed,
    backup::{self, Head, PackRecord, Permit, Rights, Roster, decode_pack_list},
    message::{
        Condemn, Done, GetHead, HeadIs, KeepHead, KeepRoster, ListRecords, Message, OwnerState, Pardon,
        ProveShard, ReadPackList, ReadShard, Reason, Rebuild, Review, StoreShard, Unneeded,
    },
};
use skep_world::World;
use tokio::sync::{Notify, Semaphore};

pub use self::leaving::EvictError;
pub(crate) use self::{
    announce::reconcile,
    deleting::run,
    leaving::{drain, evict, kept},
    scrubbing::scrub,
};
use crate::{config::Config, core::Core, home::Home, home::name};

/// Shards that arrive at a time; with [`storing::PIECE`] the memory for them.
const ARRIVING: usize = 6;
/// Rebuilds at a time: each has a pack in memory.
const REBUILDING: usize = 2;
/// The most bytes of a shard that is taken.
const MAX_SHARD_BYTES: u64 = 32 << 20;
/// The most owners whose papers are kept.
const MAX_OWNERS: usize = 4096;

/// What is kept, and who it is kept for.
pub(crate) struct Hold {
    pub(crate) shards: Arc<Shards>,
    papers: Arc<Papers>,
    owners: Mutex<BTreeMap<OwnerId, Known>>,
    /// One at a time writes papers: what is newest wins.
    writing: tokio::sync::Mutex<()>,
    arriving: Semaphore,
    rebuilding: Semaphore,
    /// Of whom nothing more is taken; none: of nobody.
    refused: Mutex<Vec<Option<OwnerId>>>,
    /// Something is kept that the coordinator could not be told.
    untold: Notify,
}

/// What is known of one owner.
struct Known {
    roster: Roster,
    signed: Signed<Roster>,
    heads: BTreeMap<PeerId, (Head, Signed<Head>)>,
    docket: Docket,
}

/// Why a request is denied.
pub(crate) struct Denied {
    reason: Reason,
    text: String,
}

impl Denied {
    fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reason, text }
    }

    fn not_found(text: &str) -> Self {
        Self::new(Reason::NotFound, text)
    }

    fn bad(text: &str) -> Self {
        Self::new(Reason::BadRequest, text)
    }
}

impl From<backup::NotAllowed> for Denied {
    fn from(error: backup::NotAllowed) -> Self {
        Self::new(Reason::NotAllowed, error.to_string())
    }
}

impl From<io::Error> for Denied {
    fn from(error: io::Error) -> Self {
        tracing::warn!("what is kept for others failed: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull => Self::new(Reason::NoRoom, "the disk is full"),
            io::ErrorKind::NotFound => Self::not_found("that is not here"),
            io::ErrorKind::InvalidData => Self::new(Reason::Changed, "what is here is damaged"),
            _ => Self::new(Reason::Internal, "the disk failed"),
        }
    }
}

impl From<KeepError> for Denied {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::NoRoom(_) | KeepError::Quota { .. } => Self::new(Reason::NoRoom, error.to_string()),
            KeepError::Arriving => Self::new(Reason::Busy, error.to_string()),
            KeepError::Wrong => Self::new(Reason::NotVerified, error.to_string()),
            KeepError::Io(error) => error.into(),
        }
    }
}

impl Hold {
    /// Looks at what is kept in the home.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn open(
        world: &World,
        config: &Config,
        home: Home,
        capacity_bytes: u64,
    ) -> io::Result<(Home, Self)> {
        let (on_worker, config) = (world.clone(), config.clone());
        let open = move || Self::look(&on_worker, &config, &home, capacity_bytes).map(|hold| (home, hold));
        world.work.call(open).await
    }

    fn look(world: &World, config: &Config, home: &Home, capacity_bytes: u64) -> io::Result<Self> {
        home.dir.make_dirs(&name("shards"))?;
        home.dir.sync(None)?;
        let dir = home.dir.dir(&name("shards"))?;
        // A crash may have come between the making of an owner's folder and its being synced.
        dir.sync(None)?;
        let quota = config.owner_quota_bytes.unwrap_or(capacity_bytes / 4);
        let limits = Limits {
            capacity_bytes,
            quota_bytes: quota.min(capacity_bytes),
            min_free_bytes: config.min_free_bytes,
        };
        let (disk, path) = (world.disk.clone(), home.path.clone());
        let shards = Shards::open(dir.clone(), Box::new(move || disk.free_bytes(&path)), limits)?;
        let papers = Arc::new(Papers::new(dir));
        let mut owners = BTreeMap::new();
        for loaded in papers.load()? {
            let owner = loaded.owner;
            if let Some(known) = Known::load(&papers, loaded)? {
                owners.insert(owner, known);
            }
        }
        Ok(Self {
            shards,
            papers,
            owners: Mutex::new(owners),
            writing: tokio::sync::Mutex::default(),
            arriving: Semaphore::new(ARRIVING),
            rebuilding: Semaphore::new(REBUILDING),
            refused: Mutex::default(),
            untold: Notify::new(),
        })
    }

    /// What an owner's papers say, if its roster is known here.
    fn with<T>(&self, owner: &OwnerId, look: impl FnOnce(&Known) -> T) -> Result<T, Denied> {
        let owners = self.owners();
        let known = owners.get(owner);
        let known = known.ok_or_else(|| Denied::not_found("tell the owner's roster first"))?;
        Ok(look(known))
    }

    /// Denies what the owner does not allow to a device.
    fn check(&self, owner: &OwnerId, peer: &PeerId, right: Rights) -> Result<(), Denied> {
        if self.with(owner, |known| known.roster.allows(peer, right))? {
            return Ok(());
        }
        let text = "the owner does not allow this to your device";
        Err(Denied::new(Reason::NotAllowed, text))
    }

    /// Whether a peer may read shards of a pack: a device by the roster, others by a permit of the coordinator.
    fn may_read(
        &self,
        core: &Core,
        reader: &PeerId,
        what: (OwnerId, PackId),
        permit: Option<&Signed<Permit>>,
    ) -> bool {
        let (owner, pack) = what;
        let permitted = || {
            let permit = permit?.open(&core.session.coordinator()?.0).ok()?;
            let fits = permit.network == core.trust.network() && permit.owner == owner && permit.pack == pack;
            Some(fits && permit.reader == *reader && permit.expires_unix_s >= core.unix_s())
        };
        self.check(&owner, reader, Rights::READ).is_ok() || permitted() == Some(true)
    }

    /// The record, if it counts: of a pack that is kept already, or (`new`) of one that is to be.
    fn open_record(&self, signed: &Signed<PackRecord>, is_new: bool) -> Result<PackRecord, Denied> {
        let claimed = signed
            .peek()
            .map_err(|_| Denied::bad("the record cannot be read"))?;
        let opened = self.with(&claimed.owner, |known| match is_new {
            true => backup::open(signed, &known.roster),
            false => backup::open_kept(signed, &known.roster),
        })?;
        let record = opened?;
        if record.shard_bytes() > MAX_SHARD_BYTES {
            return Err(Denied::bad("the shard is too large"));
        }
        Ok(record)
    }

    fn owners(&self) -> MutexGuard<'_, BTreeMap<OwnerId, Known>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What was kept, as far as it still counts.
    fn load(papers: &Papers, loaded: OwnerPapers) -> io::Result<Option<Self>> {
        let owner = loaded.owner;
        let Some(signed) = loaded.roster else {
            return Ok(None);
        };
        let Ok(roster) = signed.open(&owner.0) else {
            return Ok(None);
        };
        let docket = loaded.docket.and_then(|bytes| Docket::decode(&bytes));
        let mut known = Self {
            roster,
            signed,
            heads: BTreeMap::new(),
            docket: docket.unwrap_or_default(),
        };
        for signed in loaded.heads {
            let Ok(head) = backup::open_kept(&signed, &known.roster) else {
                continue;
            };
            let list = papers.list(&owner, &head.packs.id)?;
            known.note_head(head, signed, list.as_deref());
        }
        known.docket.roster(&known.roster);
        Ok(Some(known))
    }

    fn note_head(&mut self, head: Head, signed: Signed<Head>, list: Option<&[u8]>) {
        match list.and_then(decode_pack_list) {
            Some(packs) => self.docket.listed(head.device, head.number, &packs),
            None => self.docket.head(head.device, head.number),
        }
        self.heads.insert(head.device, (head, signed));
    }
}

/// Answers what a peer asks about backups; says that it is unsupported if it is about something else.
pub(crate) async fn answer(core: Arc<Core>, link: Link, incoming: Incoming) {
    let reader = link.peer();
    match incoming.kind {
        ReadShard::KIND => match incoming.decode() {
            Ok(request) => reading::read_shard(&core, reader, request, incoming.responder).await,
            Err(_) => malformed(incoming.responder).await,
        },
        ReadPackList::KIND => match incoming.decode() {
            Ok(request) => reading::read_pack_list(&core, request, incoming.responder).await,
            Err(_) => malformed(incoming.responder).await,
        },
        StoreShard::KIND => with(incoming, |request| storing::store(&core, &link, request)).await,
        KeepHead::KIND => {
            with(incoming, |request: KeepHead| {
                words::keep_head(&core, Some(&link), request.head)
            })
            .await;
        }
        GetHead::KIND => with(incoming, async |request: GetHead| get_head(&core, &request)).await,
        OwnerState::KIND => {
            with(incoming, async |request: OwnerState| {
                Ok(words::state(&core, &request.owner))
            })
            .await
        }
        ListRecords::KIND => with(incoming, |request| reading::list_records(&core, reader, request)).await,
        ProveShard::KIND => {
            with(incoming, async |request: ProveShard| {
                core.hold.check(&request.owner, &reader, Rights::READ)?;
                proving::prove(&core, request).await
            })
            .await;
        }
        Unneeded::KIND => with(incoming, |request: Unneeded| words::relieve(&core, request.word)).await,
        Review::KIND => {
            with(incoming, async |request: Review| {
                core.hold.check(&request.owner, &reader, Rights::READ)?;
                reviewing::review(&core, request.owner).await
            })
            .await;
        }
        _ => say(core, incoming).await,
    }
}

/// Obeys what the coordinator orders about backups.
pub(crate) async fn obey(core: Arc<Core>, incoming: Incoming) {
    match incoming.kind {
        Rebuild::KIND => {
            with(incoming, async |order: Rebuild| {
                let rebuilder = core.clone();
                core.spawn(async move { rebuilding::rebuild(rebuilder, order).await });
                Ok(Done {})
            })
            .await;
        }
        ProveShard::KIND => with(incoming, |request| proving::prove(&core, request)).await,
        _ => say(core, incoming).await,
    }
}

/// Takes the words of owners, whoever brings them.
async fn say(core: Arc<Core>, incoming: Incoming) {
    match incoming.kind {
        KeepRoster::KIND => {
            with(incoming, |request: KeepRoster| {
                words::keep_roster(&core, request.roster)
            })
            .await;
        }
        Condemn::KIND => with(incoming, |request: Condemn| words::condemn(&core, request.word)).await,
        Pardon::KIND => with(incoming, |request: Pardon| words::pardon(&core, request.word)).await,
        _ => incoming.responder.unsupported().await,
    }
}

fn get_head(core: &Core, request: &GetHead) -> Result<HeadIs, Denied> {
    let head = core.hold.with(&request.owner, |known| {
        let head = known.heads.get(&request.device);
        head.map(|(_, head)| head.clone())
    })?;
    let head = head.ok_or_else(|| Denied::not_found("no head of that device is here"))?;
    Ok(HeadIs { head })
}

/// Reads the request, and sends what is answered.
async fn with<Q: Message, R: Message>(incoming: Incoming, answer: impl AsyncFnOnce(Q) -> Result<R, Denied>) {
    let Ok(request) = incoming.decode::<Q>() else {
        return malformed(incoming.responder).await;
    };
    match answer(request).await {
        Ok(reply) => incoming.responder.reply(&reply).await,
        Err(denied) => refuse(incoming.responder, &denied).await,
    }
}

async fn refuse(responder: Responder, denied: &Denied) {
    responder.refuse(denied.reason, &denied.text).await;
}

async fn malformed(responder: Responder) {
    refuse(responder, &Denied::bad("the request cannot be read")).await;
}
