//! The journal: every message sent and received, with time, direction, address and text.
//!
//! Messages are events of the program's log (target [`TARGET`]) and, if there is one, lines of a
//! file. What strangers say is shown escaped: a message is always one line.

use std::{
    fmt::{self, Write as _},
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use skep_world::Clock;

/// The target of the messages in the log.
pub const TARGET: &str = "skep::messages";

/// The most characters of a message that are shown.
const SHOWN_CHARS: usize = 1500;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From us.
    Sent,
    /// To us.
    Received,
}

/// What carried a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// Where messages are written down. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    clock: Arc<dyn Clock>,
    file: Option<Arc<Mutex<Box<dyn Write + Send>>>>,
}

impl Journal {
    /// A journal in the log and, if given, in a file.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, file: Option<Box<dyn Write + Send>>) -> Self {
        let file = file.map(|file| Arc::new(Mutex::new(file)));
        Self { clock, file }
    }

    /// Writes down a message. One that has more than text (`12 bytes of ...`) is described by its caller.
    pub fn message(&self, way: Way, over: Over, peer: SocketAddr, text: impl fmt::Display) {
        let is_shown = tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        if self.file.is_none() && !is_shown {
            return;
        }
        let text = one_line(&text.to_string());
        tracing::debug!(target: TARGET, "{way} {over} {peer} {text}");
        self.write(format_args!("{way} {over} {peer} {text}"));
    }

    /// Writes down one of many messages that carry a file: in the journal's own file only.
    pub fn bulk(&self, way: Way, over: Over, peer: SocketAddr, text: impl fmt::Display) {
        if self.file.is_some() {
            let text = one_line(&text.to_string());
            self.write(format_args!("{way} {over} {peer} {text}"));
        }
    }

    /// Writes down what happened beside the messages: progress and failures.
    pub fn note(&self, text: impl fmt::Display) {
        let text = one_line(&text.to_string());
        tracing::info!("{text}");
        self.write(format_args!("note {text}"));
    }

    fn write(&self, what: fmt::Arguments<'_>) {
        let Some(file) = &self.file else { return };
        let line = format!("{} {what}\n", utc(self.clock.now().unix_s));
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "a message could not be written to the log file");
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal(file: {})", self.file.is_some())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => "->",
            Self::Received => "<-",
        })
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// The text without what would break a line or play with a terminal, and not too long.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(SHOWN_CHARS));
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN_CHARS {
            line.push_str("...");
            break;
        }
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// `2026-11-21T09:30:00Z`, by the rules of the Gregorian calendar.
///
/// The date follows "`chrono`-Compatible Low-Level Date Algorithms" (H. Hinnant): years begin in
/// March, so that the leap day is the last.
#[must_use]
pub fn utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, wraps) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + wraps;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let second = second % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> skep_wire::Moment {
            skep_wire::Moment {
                mono: std::time::Duration::ZERO,
                unix_s: 1_795_253_400,
            }
        }
    }

    #[test]
    fn a_message_is_one_line_with_time_direction_address_and_text() {
        let file = Shared::default();
        let journal = Journal::new(Arc::new(Stopped), Some(Box::new(file.clone())));
        let peer = SocketAddr::from(([10, 0, 0, 1], 5001));
        journal.message(Way::Received, Over::Udp, peer, "REGISTER 01 A\n2026 forged");
        journal.note("peer A failed");
        let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "2026-11-21T09:30:00Z <- udp 10.0.0.1:5001 REGISTER 01 A\\n2026 forged\n\
             2026-11-21T09:30:00Z note peer A failed\n"
        );
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(one_line(&"x".repeat(5000)).len(), SHOWN_CHARS + 3);
    }

    #[test]
    fn dates_are_right_on_leap_days_too() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
