//! The task that writes.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{error::CloseReason, outgoing::Batch, shared::Shared};

/// How long a closing link may take to write what it still has to say.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Writes what is queued until the link closes, then shuts the stream down.
pub(super) async fn run<W: AsyncWrite + Unpin>(shared: Arc<Shared>, mut stream: W) {
    let last_words_said = async {
        shared.closing().await;
        sleep(LAST_WORDS).await;
    };
    let end = tokio::select! {
        biased;
        end = write(&shared, &mut stream) => end,
        () = last_words_said => Ok(()),
    };
    if let Err(reason) = end {
        shared.close(reason);
    }
    // An error here changes nothing: the link is closed.
    let _ = timeout(LAST_WORDS, stream.shutdown()).await;
}

async fn write<W: AsyncWrite + Unpin>(shared: &Shared, stream: &mut W) -> Result<(), CloseReason> {
    let mut batch = Batch::default();
    while shared.outgoing.next(&mut batch).await {
        timeout(shared.limits.frame_timeout, write_batch(stream, &batch))
            .await
            .map_err(|_| CloseReason::Silent)?
            .map_err(|e| CloseReason::Io(Arc::new(e)))?;
        shared.outgoing.written(&mut batch);
        if shared.outgoing.is_idle() {
            timeout(shared.limits.frame_timeout, stream.flush())
                .await
                .map_err(|_| CloseReason::Silent)?
                .map_err(|e| CloseReason::Io(Arc::new(e)))?;
        }
    }
    Ok(())
}

async fn write_batch<W: AsyncWrite + Unpin>(stream: &mut W, batch: &Batch) -> io::Result<()> {
    stream.write_all(&batch.messages).await?;
    if let Some(segment) = &batch.segment {
        stream.write_all(&segment.header).await?;
        stream.write_all(&segment.bytes).await?;
    }
    Ok(())
}
