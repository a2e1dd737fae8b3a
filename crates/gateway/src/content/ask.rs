//! Asking the index: a datagram, and what comes back; once more if nothing does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

use super::codec::{Answer, PDU_BYTES, Request, pdu};
use crate::{
    journal::{Journal, Over, Way},
    own,
};

/// How long an answer may take before the request is sent again, and in the end given up.
const PATIENCE: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(4),
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The index says no, and why.
    #[error("{0}")]
    Refused(String),
    /// It says nothing.
    #[error("the index does not answer")]
    Silent,
    /// It cannot be asked.
    #[error("the index cannot be asked: {0}")]
    Io(#[from] io::Error),
}

/// A socket that hears the index and nobody else.
pub(super) struct Asker {
    socket: UdpSocket,
    index: SocketAddrV4,
    local: SocketAddrV4,
    journal: Journal,
}

impl Asker {
    /// Opens it. Contents are served at the address from which the index is asked.
    pub(super) async fn open(index: SocketAddrV4, journal: Journal) -> io::Result<Self> {
        let ip = own::toward(index.into()).await?;
        let socket = UdpSocket::bind((ip, 0)).await?;
        socket.connect(index).await?;
        let local = own::v4(socket.local_addr()?).map_err(io::Error::other)?;
        Ok(Self {
            socket,
            index,
            local,
            journal,
        })
    }

    /// Where the requests come from.
    pub(super) fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// Asks for something to be done.
    pub(super) async fn done(&self, request: &Request) -> Result<(), AskError> {
        let done = |answer| matches!(answer, Answer::Done(_)).then_some(());
        self.ask(request, || done).await
    }

    /// Asks where a content is.
    pub(super) async fn provider(&self, request: &Request) -> Result<SocketAddrV4, AskError> {
        let at = |answer| match answer {
            Answer::Provider { host, port } => Some((host, port)),
            _ => None,
        };
        let (host, port) = self.ask(request, || at).await?;
        // The document's own index says `0` for its own host.
        let is_index = host == Ipv4Addr::UNSPECIFIED;
        let host = if is_index { *self.index.ip() } else { host };
        Ok(SocketAddrV4::new(host, port))
    }

    /// Asks for all names: first comes their number, then each of them.
    pub(super) async fn list(&self) -> Result<Vec<String>, AskError> {
        self.ask(&Request::List, collector).await
    }

    /// Sends a request until a reader has made something of the answers; each time a new one.
    async fn ask<T, R: FnMut(Answer) -> Option<T>>(
        &self,
        request: &Request,
        reader: impl Fn() -> R,
    ) -> Result<T, AskError> {
        // What is left of an earlier question answers nothing.
        while self.socket.try_recv(&mut [0; PDU_BYTES]).is_ok() {}
        for patience in PATIENCE {
            self.socket.send(&request.encode()).await?;
            self.journal
                .message(Way::Sent, Over::Udp, self.index.into(), request);
            if let Ok(answered) = timeout(patience, self.hear(reader())).await {
                return answered;
            }
        }
        Err(AskError::Silent)
    }

    async fn hear<T>(&self, mut read: impl FnMut(Answer) -> Option<T>) -> Result<T, AskError> {
        let mut buffer = [0; 2 * PDU_BYTES];
        loop {
            let bytes = match self.socket.recv(&mut buffer).await {
                Ok(bytes) => bytes,
                // Nobody listens there now; perhaps the index is being started again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let from = SocketAddr::V4(self.index);
            match Answer::decode(&pdu(buffer.get(..bytes).unwrap_or_default())) {
                Ok(answer) => {
                    self.journal.message(Way::Received, Over::Udp, from, &answer);
                    match answer {
                        Answer::Error(why) => return Err(AskError::Refused(why)),
                        answer => {
                            if let Some(read) = read(answer) {
                                return Ok(read);
                            }
                        }
                    }
                }
                Err(bad) => self.journal.note(format_args!("from {from}: {bad}")),
            }
        }
    }
}

/// Collects names until there are as many as were announced.
fn collector() -> impl FnMut(Answer) -> Option<Vec<String>> {
    let (mut announced, mut names) = (None, Vec::new());
    move |answer| {
        let Answer::Listed(text) = answer else {
            return None;
        };
        match announced {
            None => announced = Some(text.parse::<usize>().ok()?),
            Some(_) => names.push(text),
        }
        (announced == Some(names.len())).then(|| std::mem::take(&mut names))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_world::real;

    use super::*;

    /// An index that answers each datagram with these, and one that asks it.
    async fn asker(answers: Vec<Vec<Answer>>) -> (Asker, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let index = own::v4(socket.local_addr().unwrap()).unwrap();
        let run = tokio::spawn(async move {
            for answers in answers {
                let (_, from) = socket.recv_from(&mut [0; 200]).await.unwrap();
                for answer in answers {
                    socket.send_to(&answer.encode(), from).await.unwrap();
                }
            }
        });
        let journal = Journal::new(Arc::new(real::Clock::start()), None);
        (Asker::open(index, journal).await.unwrap(), run)
    }

    fn listed(texts: &[&str]) -> Vec<Answer> {
        texts.iter().map(|text| Answer::Listed((*text).into())).collect()
    }

    #[tokio::test]
    async fn names_come_after_their_number() {
        let (asker, run) = asker(vec![listed(&["2", "lorem", "shrek"]), listed(&["0"])]).await;
        assert_eq!(asker.list().await.unwrap(), ["lorem", "shrek"]);
        assert!(asker.list().await.unwrap().is_empty());
        run.await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_is_asked_for_again() {
        let refusal = vec![Answer::Error("no".into())];
        let (asker, run) = asker(vec![vec![], refusal]).await;
        let refused = asker.done(&Request::List).await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(why) if why == "no"));
        run.await.unwrap();
    }

    #[tokio::test]
    async fn the_host_0_is_that_of_the_index() {
        let host = Ipv4Addr::UNSPECIFIED;
        let (asker, run) = asker(vec![vec![Answer::Provider { host, port: 7 }]]).await;
        let at = asker.provider(&Request::List).await.unwrap();
        assert_eq!(at, "127.0.0.1:7".parse().unwrap());
        run.await.unwrap();
    }
}
