//! `-v` of commands that ask a running peer: its control messages, while the command lasts.

use crate::{client::Client, failure::Failure, globals::Globals, output, output::Output};

/// Does `work`, and meanwhile prints every control message of the peer on stderr if that is wanted.
pub(crate) async fn with_messages<T>(
    globals: &Globals,
    out: &Output,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    if !globals.verbose {
        return work.await;
    }
    let client = Client::peer(&globals.peer_home()?);
    let show = |line: &str| out.note(output::printable(line));
    tokio::select! {
        biased;
        // Polled first, so that it is there before the work begins; its end is not the work's.
        Err(failure) = client.watch(show) => Err(failure),
        result = work => result,
    }
}
