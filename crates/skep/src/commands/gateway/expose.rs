//! `--expose`: the running native peer of this home, as a bridge of the gateway sees it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Serialize;
use skep_gateway::{
    bridge::{Bridge, Exposed, Native, Provider, Share, Shares},
    journal::Journal,
    own::StartError,
};
use skep_node::api::types::ShareLine;
use skep_wire::record::ContentKind;
use skep_world::World;
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

use super::start_failed;
use crate::{
    client::Client,
    failure::Failure,
    globals::Globals,
    output::{Output, printable},
    runtime,
};

/// Pieces of a file that wait for whoever reads it.
const READ_AHEAD: usize = 4;
/// How long leaving the dialect's network may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Whether a role is also a bridge.
#[derive(clap::Args)]
pub(crate) struct Expose {
    /// Also provide the files that the native network shares with everyone
    ///
    /// They are read through the peer that runs (`skep up`) in --home.
    #[arg(long)]
    expose: bool,
}

impl Expose {
    /// The bridge, if there is to be one. `start` starts the dialect's peer for it, in the world it is given.
    pub(crate) async fn start<P, F>(
        &self,
        globals: &Globals,
        journal: &Journal,
        start: impl FnOnce(World) -> F,
    ) -> Result<Option<Bridge<P>>, Failure>
    where
        P: Provider,
        F: Future<Output = Result<P, StartError>>,
    {
        if !self.expose {
            return Ok(None);
        }
        let native = Running {
            home: globals.peer_home()?,
            handle: Handle::current(),
        };
        // Whether it runs is said at once.
        native.open_files().await?;
        let exposed = Exposed::new(Arc::new(native));
        let provider = start(exposed.world(runtime::world()))
            .await
            .map_err(start_failed)?;
        Ok(Some(Bridge::new(provider, exposed, journal.clone())))
    }
}

/// Does `work`; the bridge, if there is one, is kept up meanwhile.
pub(crate) async fn beside<P: Provider, T>(
    bridge: Option<Bridge<P>>,
    out: &Output,
    work: impl Future<Output = T>,
) -> T {
    let Some(mut bridge) = bridge else {
        return work.await;
    };
    let done = tokio::select! {
        biased;
        done = work => done,
        never = bridge.run(|name, share| say(out, name, share)) => match never {},
    };
    let _ = timeout(LEAVE_WITHIN, bridge.leave()).await;
    done
}

/// How a program on this machine reaches what listens at `local`.
pub(crate) fn reached(local: SocketAddr, advertise: Option<IpAddr>) -> SocketAddr {
    let ip = match local.ip() {
        ip if ip.is_unspecified() => advertise.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

/// A share that is provided now.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    share: &'a str,
    publisher: &'a str,
    bytes: u64,
}

fn say(out: &Output, name: &str, share: &Share) {
    let told = Told {
        name,
        share: &share.name,
        publisher: &share.publisher,
        bytes: share.bytes,
    };
    let text = format!("{}/{} is provided as {name}.", share.publisher, share.name);
    out.event("exposed", &told, printable(&text));
}

/// The peer that runs in a home.
struct Running {
    home: PathBuf,
    handle: Handle,
}

impl Running {
    async fn open_files(&self) -> Result<Vec<Share>, Failure> {
        let lines: Vec<ShareLine> = Client::peer(&self.home).get("/v1/shares").await?;
        let open = lines
            .into_iter()
            .filter(|line| line.open && line.kind == ContentKind::File);
        let share = |line: ShareLine| Share {
            name: line.name,
            id: line.id,
            publisher: line.publisher,
            bytes: line.bytes,
        };
        Ok(open.map(share).collect())
    }
}

impl Native for Running {
    fn shares(&self) -> Shares<'_> {
        Box::pin(async { self.open_files().await.map_err(other) })
    }

    fn read(&self, share: &Share, offset: u64) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, pieces) = mpsc::channel(READ_AHEAD);
        let (client, path) = (Client::peer(&self.home), format!("/v1/blobs/{}", share.id));
        // It ends with its reader.
        self.handle.spawn(async move {
            if let Err(error) = pass_on(client, &path, offset, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        pieces
    }
}

async fn pass_on(
    client: Client,
    path: &str,
    offset: u64,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let range = format!("bytes={offset}-");
    let mut bytes = client.bytes(path, Some(&range)).await.map_err(other)?;
    while let Some(frame) = bytes.frame().await {
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        if sender.send(Ok(piece)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn other(failure: Failure) -> io::Error {
    io::Error::other(failure.body.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_here() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let advertised = Some("10.0.0.1".parse().unwrap());
        assert_eq!(reached(at("0.0.0.0:9"), None), at("127.0.0.1:9"));
        assert_eq!(reached(at("0.0.0.0:9"), advertised), at("10.0.0.1:9"));
        assert_eq!(reached(at("10.0.0.2:9"), advertised), at("10.0.0.2:9"));
    }
}
