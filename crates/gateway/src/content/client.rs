//! A peer that runs: it asks the index by datagrams, serves each of its contents at a port of its
//! own, and gets those of others.
//!
//! The document's client has one thing to do after the other, so its role is a sequence and no
//! state machine; what is intricate, the stream of a download, is in [`stream`](super::stream).

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd, RawFd},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use skep_world::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    ask::{AskError, Asker},
    codec::{BadPdu, Name, Request},
    provider::{self, Provider},
    stream::{BadDownload, Download},
};
use crate::{
    folder::{Folder, Incoming},
    journal::{Journal, Over, Way},
    own::{self, StartError},
    tasks::Tasks,
};

/// How long a provider may take to accept a connection, and to send the next bytes.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// What a person decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT` of the index.
    pub server: String,
    /// This peer's name.
    pub name: String,
    /// The folder to share and to download into.
    pub dir: PathBuf,
    /// Write the content's name in front of a `D`.
    pub content_first: bool,
    /// Send an `A` behind each content.
    pub end_mark: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No name of a content.
    #[error("{0:?} is no valid content name: {1}")]
    Name(String, BadPdu),
    /// There is no such file to register.
    #[error("File {0} does not exist locally")]
    NotLocal(Name),
    /// It is registered.
    #[error("{0} is registered already")]
    Registered(Name),
    /// It is not registered.
    #[error("{0} is not registered")]
    NotRegistered(Name),
    /// The file to download is there.
    #[error("File {0} exists locally already")]
    Exists(Name),
    /// The index refuses, or is silent.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The provider does not take a connection.
    #[error("{at} takes no connection: {source}")]
    Unreachable {
        /// Where it should be.
        at: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// The download broke off.
    #[error("the download from {at} failed: {source}")]
    Broken {
        /// The provider.
        at: SocketAddrV4,
        /// What the system said.
        source: io::Error,
    },
    /// What came is no download.
    #[error(transparent)]
    Download(#[from] BadDownload),
    /// It cannot be kept, or not be served.
    #[error("{0} cannot be kept here: {1}")]
    Local(Name, io::Error),
}

/// A content that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its name.
    pub name: Name,
    /// Where it is served.
    pub at: SocketAddrV4,
    /// The number of its socket in this process, which the document shows.
    pub socket: RawFd,
}

/// A running peer.
pub struct Client {
    world: World,
    journal: Journal,
    folder: Folder,
    name: Name,
    content_first: bool,
    end_mark: bool,
    asker: Asker,
    /// In the order in which they were registered.
    local: Vec<Local>,
    serving: BTreeMap<Name, Tasks>,
    tasks: Tasks,
}

impl Client {
    /// Starts a peer.
    ///
    /// # Errors
    /// [`StartError`], or that the name is none.
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let name = Name::parse(&config.name).map_err(|bad| StartError::Name {
            name: config.name.clone(),
            why: bad.to_string(),
        })?;
        let index = own::server(&config.server).await?;
        let folder = Folder::open(&*world.disk, &config.dir).map_err(|source| StartError::Folder {
            folder: config.dir.display().to_string(),
            source,
        })?;
        let asker = Asker::open(index, journal.clone())
            .await
            .map_err(|source| StartError::Listen {
                at: index.into(),
                source,
            })?;
        Ok(Self {
            world,
            journal,
            folder,
            name,
            content_first: config.content_first,
            end_mark: config.end_mark,
            asker,
            local: Vec::new(),
            serving: BTreeMap::new(),
            tasks: Tasks::default(),
        })
    }

    /// The peer's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where its datagrams come from.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.asker.local()
    }

    /// `R`: serves a file of the folder, and registers it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn register(&mut self, name: &Name) -> Result<Local, CommandError> {
        if self.serving.contains_key(name) {
            return Err(CommandError::Registered(name.clone()));
        }
        if self.folder.file(name.as_str()).is_err() {
            return Err(CommandError::NotLocal(name.clone()));
        }
        let unserved = |e| CommandError::Local(name.clone(), e);
        let listener = TcpListener::bind((*self.asker.local().ip(), 0))
            .await
            .map_err(unserved)?;
        let local = listener.local_addr().map_err(unserved)?;
        let at = own::v4(local).map_err(|e| unserved(io::Error::other(e)))?;
        let local = Local {
            name: name.clone(),
            at,
            socket: listener.as_raw_fd(),
        };
        // The index may try the port before it answers.
        let serving = self.serve(name, listener);
        let request = Request::Register {
            peer: self.name.clone(),
            content: name.clone(),
            port: at.port(),
        };
        if let Err(error) = self.asker.done(&request).await {
            serving.stop().cancel();
            return Err(error.into());
        }
        self.serving.insert(name.clone(), serving);
        self.local.push(local.clone());
        Ok(local)
    }

    /// `T`: takes a registered content back.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn deregister(&mut self, name: &Name) -> Result<(), CommandError> {
        if !self.serving.contains_key(name) {
            return Err(CommandError::NotRegistered(name.clone()));
        }
        let request = Request::Deregister {
            peer: self.name.clone(),
            content: name.clone(),
        };
        let answer = self.asker.done(&request).await;
        // An index that does not list it any more is content, too.
        if matches!(answer, Ok(()) | Err(AskError::Refused(_))) {
            self.local.retain(|local| local.name != *name);
            if let Some(serving) = self.serving.remove(name) {
                serving.stop().cancel();
            }
        }
        Ok(answer?)
    }

    /// `L`: what is registered.
    #[must_use]
    pub fn local(&self) -> &[Local] {
        &self.local
    }

    /// `O`: what the index lists.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn list(&self) -> Result<Vec<String>, CommandError> {
        Ok(self.asker.list().await?)
    }

    /// The first half of `D`: who provides a content that is not here?
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn search(&self, name: &Name) -> Result<SocketAddrV4, CommandError> {
        if !matches!(self.folder.has(name.as_str()), Ok(false)) {
            return Err(CommandError::Exists(name.clone()));
        }
        let request = Request::Search {
            peer: self.name.clone(),
            content: name.clone(),
        };
        Ok(self.asker.provider(&request).await?)
    }

    /// The second half of `D`: downloads a content; it is in the folder when this returns.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn download(&self, name: &Name, at: SocketAddrV4) -> Result<u64, CommandError> {
        let local = |e| CommandError::Local(name.clone(), e);
        let incoming = self.folder.begin(name.as_str()).map_err(local)?;
        let stream = timeout(WITHIN, TcpStream::connect(at)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|source| CommandError::Unreachable { at, source })?;
        let bytes = self.receive(name, at, stream, &incoming).await?;
        self.world
            .work
            .call(|| incoming.complete())
            .await
            .map_err(local)?;
        Ok(bytes)
    }

    /// `Q`: deregisters everything, and stops serving.
    pub async fn quit(mut self) -> Result<(), CommandError> {
        let mut outcome = Ok(());
        for local in std::mem::take(&mut self.local) {
            let done = self.deregister(&local.name).await;
            outcome = outcome.and(done);
        }
        self.stop().await;
        outcome
    }

    /// Stops serving, without a word to the index.
    pub async fn stop(self) {
        self.tasks.end().await;
    }

    fn serve(&self, name: &Name, listener: TcpListener) -> Tasks {
        let tasks = self.tasks.some();
        let provider = Arc::new(Provider {
            journal: self.journal.clone(),
            folder: self.folder.clone(),
            work: self.world.work.clone(),
            content: name.clone(),
            end_mark: self.end_mark,
        });
        provider::serve(provider, listener, &tasks);
        tasks
    }

    async fn receive(
        &self,
        name: &Name,
        at: SocketAddrV4,
        mut stream: TcpStream,
        incoming: &Incoming,
    ) -> Result<u64, CommandError> {
        let broken = |source| CommandError::Broken { at, source };
        let request = Request::Download {
            peer: Some(self.name.clone()),
            content: name.clone(),
        };
        let pdu = if self.content_first {
            Request::encode_content_first(&self.name, name)
        } else {
            request.encode()
        };
        stream.write_all(&pdu).await.map_err(broken)?;
        self.journal.message(Way::Sent, Over::Tcp, at.into(), &request);
        let (mut download, mut offset) = (Download::default(), 0);
        let (mut read, mut content) = (vec![0; READ_BYTES], Vec::new());
        loop {
            let bytes = timeout(WITHIN, stream.read(&mut read)).await;
            let bytes = bytes
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(broken)?;
            let is_over = bytes == 0;
            content.clear();
            if is_over {
                std::mem::take(&mut download).end(&mut content)?;
            } else {
                download.push(read.get(..bytes).unwrap_or_default(), &mut content)?;
            }
            let written = incoming.file().write_at(offset, &content);
            written.map_err(|e| CommandError::Local(name.clone(), e))?;
            offset += content.len() as u64;
            if is_over || download.is_finished() {
                break;
            }
        }
        let text = format!("C {name}: {offset} bytes");
        self.journal
            .message(Way::Received, Over::Tcp, SocketAddr::V4(at), text);
        Ok(offset)
    }
}

/// A content's name, as a person types it.
///
/// # Errors
/// [`CommandError::Name`].
pub fn name(text: &str) -> Result<Name, CommandError> {
    Name::parse(text).map_err(|bad| CommandError::Name(text.to_owned(), bad))
}
