//! What a person can tell a peer to do.

use crate::console::BadCommand;

/// The menu: how each command is written.
pub const MENU: &str = "backup FILE [CHUNK_SIZE] | restore FILE | list | deregister | quit";

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Section 2.2.
    Backup {
        /// A path, or a name in the peer's folder.
        file: String,
        /// Bytes of a chunk, if it matters.
        chunk_size: Option<u64>,
    },
    /// Section 2.4.
    Restore {
        /// The name of the file.
        file: String,
    },
    /// What this peer has backed up, and what it holds for others.
    List,
    /// Section 2.1.
    Deregister,
    /// The peer ends. It stays registered.
    Quit,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// [`BadCommand`] says what is wrong with it.
    pub fn parse(words: &[String]) -> Result<Self, BadCommand> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let verb = words.first().copied().unwrap_or_default().to_ascii_lowercase();
        let rest = words.get(1..).unwrap_or_default();
        let wrong = |usage| Err(BadCommand::Usage { usage });
        match (verb.as_str(), rest) {
            ("backup", [file]) => Ok(Self::Backup {
                file: (*file).to_owned(),
                chunk_size: None,
            }),
            ("backup", [file, chunk_size]) => match chunk_size.parse() {
                Ok(bytes) => Ok(Self::Backup {
                    file: (*file).to_owned(),
                    chunk_size: Some(bytes),
                }),
                Err(_) => wrong("backup FILE [CHUNK_SIZE]"),
            },
            ("restore", [file]) => Ok(Self::Restore {
                file: (*file).to_owned(),
            }),
            ("list", []) => Ok(Self::List),
            ("deregister" | "de-register", []) => Ok(Self::Deregister),
            ("quit" | "exit", []) => Ok(Self::Quit),
            ("backup", _) => wrong("backup FILE [CHUNK_SIZE]"),
            ("restore", _) => wrong("restore FILE"),
            ("list" | "deregister" | "de-register" | "quit" | "exit", _) => {
                wrong("without anything after it")
            }
            _ => Err(BadCommand::Unknown {
                word: verb,
                known: MENU,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, BadCommand> {
        Command::parse(&crate::console::words(line).unwrap())
    }

    #[test]
    fn commands_are_read() {
        let file = "my file".to_owned();
        assert_eq!(
            parse("backup 'my file' 4096"),
            Ok(Command::Backup {
                file: file.clone(),
                chunk_size: Some(4096)
            })
        );
        assert_eq!(parse("RESTORE 'my file'"), Ok(Command::Restore { file }));
        assert_eq!(
            (parse("list"), parse("quit")),
            (Ok(Command::List), Ok(Command::Quit))
        );
        for bad in ["backup", "backup a b", "backup a 1 2", "restore", "list x", "fly"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
