//! The commands of a person or script to a peer's role: from after `--`, or from standard input.

use std::io::{self, BufRead, IsTerminal};

use skep_gateway::console::{self, BadCommand};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{exit::Exit, failure::Failure, output::Output};

/// The longest line of a command.
const LINE_BYTES: u64 = 64 << 10;

/// What a command led to.
pub(crate) enum Next {
    /// The next one may come.
    Command,
    /// What comes next is the answer to a question.
    Answer,
    /// The peer is to end.
    Quit,
}

/// Where commands come from.
pub(crate) struct Console {
    /// Those after `--`; then nothing is read.
    given: Option<Vec<Vec<String>>>,
    /// What a person is shown before each command.
    menu: &'static str,
}

impl Console {
    /// The commands after `--`, if there are any, else standard input.
    pub(crate) fn new(arguments: &[String], menu: &'static str) -> Result<Self, Failure> {
        let given = console::arguments(arguments).map_err(not_understood)?;
        let given = (!given.is_empty()).then_some(given);
        Ok(Self { given, menu })
    }

    /// Does one command after the other until one says to quit, they end, or `stop`.
    ///
    /// A peer whose input ends without a single command goes on until it is stopped: it was started
    /// to serve. A command that fails is told and does not end it; the last one that did is the exit code.
    pub(crate) async fn run(
        self,
        out: &Output,
        stop: &CancellationToken,
        mut does: impl AsyncFnMut(Vec<String>) -> Result<Next, Failure>,
    ) -> Result<Exit, Failure> {
        let mut commands = match self.given {
            Some(given) => Commands::Given(given.into_iter()),
            None => Commands::Read {
                lines: lines(),
                menu: self.menu,
                is_asked: false,
            },
        };
        let (mut exit, mut any) = (Exit::Done, false);
        loop {
            let words = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(exit),
                words = commands.next(out) => words,
            };
            let Some(words) = words else { break };
            any = true;
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(exit),
                next = async { does(words?).await } => next,
            };
            match next {
                Ok(Next::Quit) => return Ok(exit),
                Ok(Next::Command) => commands.answers(false),
                Ok(Next::Answer) => commands.answers(true),
                Err(failure) => exit = out.fail(&failure),
            }
        }
        if !any {
            stop.cancelled().await;
        }
        Ok(exit)
    }
}

enum Commands {
    Given(std::vec::IntoIter<Vec<String>>),
    Read {
        lines: mpsc::Receiver<String>,
        menu: &'static str,
        /// The next line is an answer.
        is_asked: bool,
    },
}

impl Commands {
    /// Whether the next line is the answer to a question.
    fn answers(&mut self, is_answer: bool) {
        if let Self::Read { is_asked, .. } = self {
            *is_asked = is_answer;
        }
    }

    /// The words of the next command; none when there are no more.
    async fn next(&mut self, out: &Output) -> Option<Result<Vec<String>, Failure>> {
        let (lines, menu, is_asked) = match self {
            Self::Given(given) => return given.next().map(Ok),
            Self::Read {
                lines,
                menu,
                is_asked,
            } => (lines, menu, is_asked),
        };
        loop {
            if io::stdin().is_terminal() && out.is_watched() {
                out.prompt(if *is_asked { "" } else { menu });
            }
            let words = console::words(&lines.recv().await?).map_err(not_understood);
            if !words.as_ref().is_ok_and(Vec::is_empty) {
                return Some(words);
            }
        }
    }
}

/// The lines of standard input. A thread of its own reads them: it may be blocked when all else ends.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match io::Read::take(&mut input, LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if sender
                .blocking_send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    lines
}

/// A line that is no command.
pub(crate) fn not_understood(error: BadCommand) -> Failure {
    Failure::usage(error, "")
}
