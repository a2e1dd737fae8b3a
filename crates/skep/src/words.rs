//! The 24 words of an owner, as a person gives them: typed where nobody sees them, or from a file. Never as an argument,
//! which every user of the machine could read.

use std::io::{self, IsTerminal};

use console::Term;
use skep_node::api::types::PhraseBody;

use crate::failure::Failure;

/// The words, from `file` (`-`: standard input), or else typed on the terminal.
pub(crate) fn read(file: Option<&str>) -> Result<PhraseBody, Failure> {
    let read = match file {
        Some("-") => io::read_to_string(io::stdin()),
        Some(file) => std::fs::read_to_string(file),
        None => typed()?,
    };
    let unreadable = |e| Failure::usage(format!("the words cannot be read: {e}"), "check --phrase-file");
    let phrase = read.map_err(unreadable)?;
    Ok(PhraseBody { phrase })
}

/// Asks for them without showing what is typed.
fn typed() -> Result<io::Result<String>, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(
            "the 24 words are needed",
            "give them with --phrase-file FILE, or - for standard input",
        ));
    }
    let terminal = Term::stderr();
    let asked = terminal.write_str("The 24 words of the recovery phrase (not shown): ");
    Ok(asked.and_then(|()| terminal.read_secure_line()))
}
