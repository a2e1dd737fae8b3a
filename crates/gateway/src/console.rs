//! Commands of a person: lines into words. What the words mean is each dialect's.

use std::iter::Peekable;

use thiserror::Error;

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadCommand {
    /// A quotation mark without its other half.
    #[error("a quotation mark is not closed")]
    OpenQuote,
    /// The first word is none that is known.
    #[error("there is no command {word}; there are: {known}")]
    Unknown {
        /// The word.
        word: String,
        /// What there is.
        known: &'static str,
    },
    /// Words are missing, or there are too many, or one makes no sense.
    #[error("it is written {usage}")]
    Usage {
        /// How it is written.
        usage: &'static str,
    },
}

impl BadCommand {
    /// Of a line that is none of the commands in `known`, where `|` or `,` parts them: either its
    /// first word is none of theirs, or the rest is not as it should be.
    #[must_use]
    pub fn of(words: &[&str], known: &'static str) -> Self {
        let word = words.first().copied().unwrap_or_default();
        let mut commands = known.split(['|', ',']).map(str::trim);
        match commands.find(|usage| usage.split(' ').next() == Some(word)) {
            Some(usage) => Self::Usage { usage },
            None => Self::Unknown {
                word: word.to_owned(),
                known,
            },
        }
    }
}

/// The words of a line. White space parts them, unless it is quoted ("..." or '...') or follows a `\`.
///
/// # Errors
/// When a quotation is not closed.
pub fn words(line: &str) -> Result<Vec<String>, BadCommand> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut rest)?);
    }
}

fn word(rest: &mut Peekable<impl Iterator<Item = char>>) -> Result<String, BadCommand> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(c) = rest.next_if(|c| quote.is_some() || !c.is_whitespace()) {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(rest.next()),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => word.push(c),
        }
    }
    match quote {
        Some(_) => Err(BadCommand::OpenQuote),
        None => Ok(word),
    }
}

/// The commands among the arguments after `--`, as words: if the first argument has white space,
/// each argument is a line of its own, else all of them are the words of one command.
///
/// # Errors
/// When one of the lines cannot be parted into words.
pub fn arguments(arguments: &[String]) -> Result<Vec<Vec<String>>, BadCommand> {
    match arguments.first() {
        None => Ok(Vec::new()),
        Some(first) if first.contains(char::is_whitespace) => {
            arguments.iter().map(|line| words(line)).collect()
        }
        Some(_) => Ok(vec![arguments.to_vec()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_parts_words_unless_it_is_quoted() {
        assert_eq!(
            words("  backup  a.txt 4096\r\n").unwrap(),
            ["backup", "a.txt", "4096"]
        );
        assert_eq!(
            words(r#"get 'my song' "a \"b\"" c\ d ''"#).unwrap(),
            ["get", "my song", "a \"b\"", "c d", ""]
        );
        assert_eq!(words(r"get 'C:\x'").unwrap(), ["get", r"C:\x"]);
        assert_eq!(words(" \t"), Ok(vec![]));
        assert_eq!(words("get \"a"), Err(BadCommand::OpenQuote));
    }

    #[test]
    fn a_command_without_its_words_is_told_from_one_that_does_not_exist() {
        let known = "get PEER FILE | list";
        let usage = "get PEER FILE";
        assert_eq!(
            BadCommand::of(&["get", "Ann"], known),
            BadCommand::Usage { usage }
        );
        assert_eq!(
            BadCommand::of(&["list", "all"], known),
            BadCommand::Usage { usage: "list" }
        );
        let word = "ge".to_owned();
        assert_eq!(
            BadCommand::of(&["ge"], known),
            BadCommand::Unknown { word, known }
        );
    }

    #[test]
    fn arguments_are_one_command_or_several_lines() {
        let given =
            |all: &[&str]| arguments(&all.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        assert_eq!(given(&["backup", "my file"]), [["backup", "my file"]]);
        assert_eq!(given(&["backup a", "quit"]), [vec!["backup", "a"], vec!["quit"]]);
        assert!(given(&[]).is_empty());
    }
}
