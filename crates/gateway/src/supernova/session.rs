//! A peer's connection to its tracker: opened again whenever it has ended, and told what has changed.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{interval, sleep},
};

use super::{
    codec::{FULL_LIST_BYTES, FileName, Host, MAX_FILES, Message, Name},
    link::Link,
};
use crate::{folder::Folder, journal::Journal};

/// How long the tracker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether the folder has changed, and whether the connection has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause before the tracker is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often another name is taken when the offered one is gone.
const MAX_OFFERS: usize = 8;

/// A question to the tracker, and who wants the answer.
pub(super) struct Question {
    pub(super) message: Message,
    pub(super) tell: oneshot::Sender<io::Result<Message>>,
}

/// What a session is made of.
pub(super) struct Session {
    pub(super) tracker: SocketAddr,
    pub(super) journal: Journal,
    pub(super) name: Option<Name>,
    /// Where this peer listens.
    pub(super) me: SocketAddr,
    pub(super) link: Option<Link>,
    /// What the tracker was told.
    pub(super) listed: Vec<FileName>,
}

impl Session {
    /// Connects, takes a name, and tells where this peer listens and what it shares.
    pub(super) async fn enter(&mut self, folder: &Folder) -> io::Result<Name> {
        self.link = None;
        let link = Link::open(self.tracker, self.journal.clone()).await?;
        self.link = Some(link);
        let name = self.introduce().await?;
        self.name = Some(name.clone());
        let (host, port) = (Host(self.me.ip()), self.me.port());
        self.expect_ok(&Message::Listening { host, port }).await?;
        self.tell_files(files(folder)?).await?;
        Ok(name)
    }

    /// HELLO, and IWANT until there is a WELCOME.
    async fn introduce(&mut self) -> io::Result<Name> {
        let mut answer = self.ask(&Message::Hello(self.name.clone())).await?;
        for attempt in 0..MAX_OFFERS {
            let wish = match answer {
                Message::Welcome(name) => return Ok(name),
                // A name that is new to the tracker may be taken; one that is in use may not.
                Message::Available(offer) if attempt == 0 => self.name.clone().unwrap_or(offer),
                Message::Available(offer) => offer,
                other => return Err(unexpected(&other)),
            };
            answer = self.ask(&Message::IWant(wish)).await?;
        }
        Err(unexpected(&answer))
    }

    async fn tell_files(&mut self, files: Vec<FileName>) -> io::Result<()> {
        self.listed.clone_from(&files);
        self.expect_ok(&Message::List(files)).await
    }

    async fn expect_ok(&mut self, message: &Message) -> io::Result<()> {
        match self.ask(message).await? {
            Message::Ok => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks; a connection that does not answer as it should is not used again.
    async fn ask(&mut self, message: &Message) -> io::Result<Message> {
        let mut link = self.link.take().ok_or(io::ErrorKind::NotConnected)?;
        link.send(message).await?;
        let answer = link.expect(ANSWER_WITHIN, FULL_LIST_BYTES).await?;
        self.link = Some(link);
        Ok(answer)
    }

    /// Answers questions, tells of changes of the folder, and comes back when the connection ended.
    pub(super) async fn run(mut self, folder: impl Fn() -> Folder, mut questions: mpsc::Receiver<Question>) {
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                question = questions.recv() => {
                    let Some(Question { message, tell }) = question else { return };
                    let answer = self.answer(&folder(), &message).await;
                    // Whoever asked may have gone.
                    let _ = tell.send(answer);
                }
                _ = looks.tick() => self.look(&folder()).await,
            }
        }
    }

    async fn answer(&mut self, folder: &Folder, message: &Message) -> io::Result<Message> {
        if self.has_ended() {
            self.enter(folder).await?;
        }
        self.ask(message).await
    }

    async fn look(&mut self, folder: &Folder) {
        let done = if self.has_ended() {
            self.enter(folder).await.map(drop)
        } else {
            match files(folder) {
                Ok(files) if files != self.listed => self.tell_files(files).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        };
        if let Err(error) = done {
            self.journal.note(format_args!("{}: {error}", self.tracker));
            sleep(PAUSE).await;
        }
    }

    fn has_ended(&self) -> bool {
        self.link.as_ref().is_none_or(Link::has_ended)
    }
}

/// What a folder shares: as many files as a message may list.
fn files(folder: &Folder) -> io::Result<Vec<FileName>> {
    let names = folder.names()?.into_iter();
    let files = names.filter_map(|name| FileName::parse(&name).ok());
    Ok(files.take(MAX_FILES).collect())
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the tracker says {message}"))
}
