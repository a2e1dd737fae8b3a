//! `skep search`: shares by words of their names.

use skep_node::api::types::ShareLine;

use super::ls;
use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime};

/// Find shares whose name or publisher has all of these words
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Words, in any order and case
    #[arg(required = true)]
    words: Vec<String>,
    /// Also show ids and paths
    #[arg(short, long)]
    long: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let words = args.words.join(" ");
    let path = format!("/v1/shares?words={}", encode(&words));
    let shares: Vec<ShareLine> = runtime::block_on(client.get(&path))?;
    if shares.is_empty() {
        out.note(format!("Nothing is shared that has {words:?} in its name."));
        return Ok(Exit::Done);
    }
    ls::show(&shares, args.long, out);
    Ok(Exit::Done)
}

/// Percent-encoding of everything that is not a letter or digit (RFC 3986).
fn encode(text: &str) -> String {
    let byte = |b: u8| {
        if b.is_ascii_alphanumeric() {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_survive_a_query() {
        assert_eq!(super::encode("a b&c=ü%"), "a%20b%26c%3D%C3%BC%25");
    }
}
