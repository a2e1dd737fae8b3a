//! A peer that runs: it shares a folder, serves the files in it, and gets those of others.
//!
//! The document's peer has one thing to do after the other, and a thread that serves; so its role
//! is two sequences and no state machine. The connection to the tracker is in `session`.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_world::{Dir, File, World, disk::Replace};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

use super::{
    book::{self, Settings},
    codec::{FileName, MESSAGE_BYTES, Message, Name},
    link::Link,
    session::{Question, Session},
};
use crate::{
    folder::Folder,
    guests::{self, Guests},
    journal::Journal,
    own::{self, StartError},
    tasks::Tasks,
};

/// The most connections that are served at once.
const MAX_GUESTS: usize = 64;
/// How long another peer may take to answer or to ask.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that are read or written at once.
const PIECE_BYTES: usize = 256 << 10;

/// What a person decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `config.json` is.
    pub home: PathBuf,
    /// `HOST:PORT` of the tracker.
    pub server: String,
    /// This peer's name; none: what the tracker offers.
    pub name: Option<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address to tell others; none: the one from which the tracker is reached.
    pub advertise: Option<IpAddr>,
    /// The shared folder.
    pub dir: PathBuf,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No name of a peer or file.
    #[error("{0:?} is no name here")]
    Name(String),
    /// The tracker cannot be asked.
    #[error("the tracker does not answer: {0}")]
    Tracker(io::Error),
    /// The tracker or a peer refuses.
    #[error("{0}")]
    Refused(String),
    /// It answers something else.
    #[error("an answer that does not belong here: {0}")]
    Unexpected(String),
    /// The peer does not take a connection, or breaks it off.
    #[error("{peer} at {at}: {source}")]
    Peer {
        /// Who.
        peer: Name,
        /// Where.
        at: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file to get is there.
    #[error("{0} is in the folder already")]
    Exists(FileName),
    /// It cannot be kept.
    #[error("{0} cannot be kept here: {1}")]
    Local(String, io::Error),
}

/// A peer in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: Name,
    /// Where it listens; none: it has gone meanwhile.
    pub at: Option<SocketAddr>,
    /// How many files it shares.
    pub files: usize,
}

/// A running peer.
pub struct Client {
    inner: Arc<Inner>,
    home: Arc<dyn Dir>,
    settings: Settings,
    name: Name,
    local: SocketAddr,
    questions: mpsc::Sender<Question>,
    tasks: Tasks,
}

struct Inner {
    world: World,
    journal: Journal,
    /// It may be changed at any time.
    folder: Mutex<Folder>,
}

impl Client {
    /// Starts a peer, and enters the network.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let name = wished_name(config.name.as_deref())?;
        let tracker = own::server(&config.server).await?;
        let (listener, local) = own::listen(config.listen).await?;
        let me = own::advertised(local, config.advertise, tracker).await?;
        let folder = opened(&world, &config.dir)?;
        let home = world
            .disk
            .make_dir(&config.home)
            .map_err(|source| StartError::Folder {
                folder: config.home.display().to_string(),
                source,
            })?;
        let mut session = Session {
            tracker: tracker.into(),
            journal: journal.clone(),
            name,
            me: me.into(),
            link: None,
            listed: Vec::new(),
        };
        let name = session
            .enter(&folder)
            .await
            .map_err(|source| StartError::Silent {
                server: config.server.clone(),
                source,
            })?;
        let (questions, asked) = mpsc::channel(16);
        let client = Self {
            settings: settings(&config, &name),
            inner: Arc::new(Inner {
                world,
                journal,
                folder: Mutex::new(folder),
            }),
            home,
            name,
            local,
            questions,
            tasks: Tasks::default(),
        };
        client.run(session, asked, listener);
        client.save_settings().await?;
        Ok(client)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The files of all peers that are there.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn list(&self) -> Result<Vec<(Name, FileName)>, CommandError> {
        match self.ask(Message::SendList).await? {
            Message::FullList(files) => Ok(files),
            other => Err(unexpected(&other)),
        }
    }

    /// The peers that share something, and where they are.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn peers(&self) -> Result<Vec<Other>, CommandError> {
        let mut others: Vec<Other> = Vec::new();
        for (name, _) in self.list().await? {
            match others.last_mut() {
                Some(last) if last.name == name => last.files += 1,
                _ => others.push(Other {
                    name,
                    at: None,
                    files: 1,
                }),
            }
        }
        for other in &mut others {
            other.at = self.whereabouts(&other.name).await.ok();
        }
        Ok(others)
    }

    /// Gets a file of a peer; it is in the folder when this returns its size.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn get(&self, peer: &str, file: &str) -> Result<u64, CommandError> {
        let peer = Name::parse(peer).map_err(|_| CommandError::Name(peer.to_owned()))?;
        let file = FileName::parse(file).map_err(|_| CommandError::Name(file.to_owned()))?;
        if !matches!(self.inner.folder().has(file.as_str()), Ok(false)) {
            return Err(CommandError::Exists(file));
        }
        let at = self.whereabouts(&peer).await?;
        let broken = |source| CommandError::Peer {
            peer: peer.clone(),
            at,
            source,
        };
        let link = Link::open(at, self.inner.journal.clone()).await;
        let mut link = link.map_err(broken)?;
        link.send(&Message::Give(file.clone())).await.map_err(broken)?;
        let size = match link.expect(ANSWER_WITHIN, MESSAGE_BYTES).await.map_err(broken)? {
            Message::Take(size) => size,
            Message::Error(why) => return Err(CommandError::Refused(why)),
            other => return Err(unexpected(&other)),
        };
        self.receive(&mut link, &file, size, broken).await?;
        // It is here, whether the other side hears of it or not.
        let _ = link.send(&Message::Thanks).await;
        Ok(size)
    }

    /// Shares another folder from now on.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn share(&mut self, dir: &Path) -> Result<(), StartError> {
        let folder = opened(&self.inner.world, dir)?;
        *self.inner.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
        self.settings.shared_dir = dir.display().to_string();
        self.save_settings().await
    }

    /// Leaves the network.
    pub async fn stop(self) {
        self.tasks.end().await;
    }

    fn run(&self, session: Session, asked: mpsc::Receiver<Question>, listener: TcpListener) {
        let inner = self.inner.clone();
        self.tasks
            .spawn(async move { session.run(|| inner.folder(), asked).await });
        let (inner, guests) = (self.inner.clone(), Guests::new(MAX_GUESTS));
        guests::receive(listener, &self.tasks, move |stream, from| {
            let (inner, guest) = (inner.clone(), guests.enter());
            async move {
                if let Some(Err(error)) = guest.during(inner.serve(stream, from)).await {
                    inner.journal.note(format_args!("{from}: {error}"));
                }
            }
        });
    }

    async fn ask(&self, message: Message) -> Result<Message, CommandError> {
        let gone = || CommandError::Tracker(io::ErrorKind::NotConnected.into());
        let (tell, told) = oneshot::channel();
        let question = Question { message, tell };
        self.questions.send(question).await.map_err(|_| gone())?;
        let answer = told.await.map_err(|_| gone())?;
        match answer.map_err(CommandError::Tracker)? {
            Message::Error(why) => Err(CommandError::Refused(why)),
            answer => Ok(answer),
        }
    }

    async fn whereabouts(&self, peer: &Name) -> Result<SocketAddr, CommandError> {
        match self.ask(Message::Where(peer.clone())).await? {
            Message::At { host, port } => Ok(SocketAddr::new(host.0, port)),
            other => Err(unexpected(&other)),
        }
    }

    async fn receive(
        &self,
        link: &mut Link,
        file: &FileName,
        size: u64,
        broken: impl Fn(io::Error) -> CommandError,
    ) -> Result<(), CommandError> {
        let local = |e| CommandError::Local(file.to_string(), e);
        let incoming = self.inner.folder().begin(file.as_str()).map_err(local)?;
        let (mut offset, mut piece) = (0, vec![0; PIECE_BYTES]);
        while offset < size {
            let wanted = usize::try_from(size - offset)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let piece = piece.get_mut(..wanted).unwrap_or_default();
            let read = link.read_bytes(piece).await.map_err(&broken)?;
            if read == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            let bytes = piece.get(..read).unwrap_or_default();
            incoming.file().write_at(offset, bytes).map_err(local)?;
            offset += read as u64;
        }
        let work = &self.inner.world.work;
        work.call(|| incoming.complete()).await.map_err(local)
    }

    async fn save_settings(&self) -> Result<(), StartError> {
        let (home, text) = (self.home.clone(), book::write_settings(&self.settings));
        let path = book::config_path();
        let write = move || home.write_whole(&path, &text, Replace::Allow);
        self.inner
            .world
            .work
            .call(write)
            .await
            .map_err(|source| StartError::Folder {
                folder: self.home.host_path().display().to_string(),
                source,
            })
    }
}

impl Inner {
    fn folder(&self) -> Folder {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request after the other. A connection that says nothing is the tracker, which
    /// looks whether we are there.
    async fn serve(&self, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let mut link = Link::new(stream, from, self.journal.clone());
        loop {
            let message = match link.expect(ANSWER_WITHIN, MESSAGE_BYTES).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let why = Message::Error(error.to_string());
                    link.send(&why).await?;
                    continue;
                }
                message => message?,
            };
            match message {
                Message::Give(file) => self.give(&mut link, &file).await?,
                Message::Thanks => {}
                _ => {
                    link.send(&Message::Error("a peer takes GIVE and THANKS".into()))
                        .await?
                }
            }
        }
    }

    async fn give(&self, link: &mut Link, name: &FileName) -> io::Result<()> {
        let Ok((file, size)) = self.folder().file(name.as_str()) else {
            return link
                .send(&Message::Error(format!("there is no file {name}")))
                .await;
        };
        link.send(&Message::Take(size)).await?;
        let mut offset = 0;
        while offset < size {
            let bytes = usize::try_from(size - offset)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let file = file.clone();
            let piece = self
                .world
                .work
                .call(move || read_piece(&*file, offset, bytes))
                .await?;
            link.send_bytes(&piece).await?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

/// A file that has become shorter meanwhile ends the connection: its size was promised.
fn read_piece(file: &dyn File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; bytes];
    file.read_exact_at(offset, &mut piece)?;
    Ok(piece)
}

fn wished_name(text: Option<&str>) -> Result<Option<Name>, StartError> {
    let parse = |text: &str| {
        Name::parse(text).map_err(|bad| StartError::Name {
            name: text.to_owned(),
            why: bad.to_string(),
        })
    };
    text.map(parse).transpose()
}

fn opened(world: &World, dir: &Path) -> Result<Folder, StartError> {
    Folder::open(&*world.disk, dir).map_err(|source| StartError::Folder {
        folder: dir.display().to_string(),
        source,
    })
}

fn settings(config: &Config, name: &Name) -> Settings {
    let (host, port) = config.server.rsplit_once(':').unwrap_or((&config.server, ""));
    Settings {
        listening_ip: config.listen.ip().to_string(),
        listening_port: config.listen.port(),
        shared_dir: config.dir.display().to_string(),
        tracker_ip: host.to_owned(),
        tracker_port: port.parse().unwrap_or_default(),
        user: name.as_str().to_owned(),
    }
}

fn unexpected(message: &Message) -> CommandError {
    CommandError::Unexpected(message.to_string())
}

/// What a peer in this home has decided before, if it was here.
///
/// # Errors
/// [`StartError::Damaged`].
pub fn former_settings(world: &World, home: &Path) -> Result<Option<Settings>, StartError> {
    let damaged = |why: String| StartError::Damaged {
        file: home.join(book::CONFIG).display().to_string(),
        why,
    };
    let Ok(dir) = world.disk.dir(home) else {
        return Ok(None);
    };
    let text = dir.read_whole(&book::config_path(), book::MAX_BYTES);
    let text = text.map_err(|e| damaged(e.to_string()))?;
    let settings = text.map(|text| book::read_settings(&text)).transpose();
    settings.map_err(|bad| damaged(bad.to_string()))
}
