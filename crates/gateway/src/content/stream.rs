//! A download of document 004: `C` PDUs until the connection closes.
//!
//! Pure. The last PDU may be short, so that the exact length arrives. Some programs send a full
//! `A` PDU as the end mark, after a last `C` that may be short all the same. What was the end mark
//! is known only at the end, so just under two PDUs are held back until then.

use super::codec::{Answer, DATA_BYTES, PDU_BYTES, Pdu, pdu};

/// Reads a download as its bytes come in.
#[derive(Debug, Default)]
pub struct Download {
    held: Vec<u8>,
    finished: bool,
}

/// Why a download failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDownload {
    /// The provider says why.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// Something that is no `C`.
    #[error("the provider sent something that belongs to no download")]
    Foreign,
    /// Not one byte.
    #[error("the provider closed the connection without a word")]
    Nothing,
}

impl Download {
    /// Whether an end mark has come: nothing more is expected.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes bytes, and appends to `out` what is certain of the content. What comes after an end
    /// mark is dropped.
    ///
    /// # Errors
    /// When they belong to no download.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadDownload> {
        if self.finished {
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let mut rest = self.held.as_slice();
        while let Some((frame, after)) = rest.split_first_chunk::<PDU_BYTES>() {
            match frame {
                [b'C', data @ ..] if after.len() >= PDU_BYTES => out.extend_from_slice(data),
                [b'C', ..] => break,
                [b'A', ..] => {
                    self.finished = true;
                    return Ok(());
                }
                _ => return Err(refusal(frame)),
            }
            rest = after;
        }
        let given = self.held.len() - rest.len();
        self.held.drain(..given);
        Ok(())
    }

    /// The connection has ended: the rest of the content.
    ///
    /// # Errors
    /// When what is left belongs to no download.
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), BadDownload> {
        if self.finished {
            return Ok(());
        }
        let Some((frame, after)) = self.held.split_first_chunk::<PDU_BYTES>() else {
            return last(&self.held, out);
        };
        match (after, self.held.split_last_chunk::<PDU_BYTES>()) {
            ([], _) => last(frame, out),
            ([b'C', ..], _) => {
                last(frame, out)?;
                last(after, out)
            }
            (_, Some((short, [b'A', ..]))) => last(short, out),
            _ => Err(BadDownload::Foreign),
        }
    }
}

/// The last PDU of a content, which may be short.
fn last(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadDownload> {
    match bytes {
        [] => Err(BadDownload::Nothing),
        [b'C', data @ ..] => {
            out.extend_from_slice(data);
            Ok(())
        }
        _ => Err(refusal(&pdu(bytes))),
    }
}

fn refusal(frame: &Pdu) -> BadDownload {
    match Answer::decode(frame) {
        Ok(Answer::Error(text)) => BadDownload::Refused(text),
        _ => BadDownload::Foreign,
    }
}

/// Appends `content` to `out` as `C` PDUs. Only the last call for a content may bring a number of
/// bytes that is not a multiple of [`DATA_BYTES`].
pub fn write(content: &[u8], out: &mut Vec<u8>) {
    for data in content.chunks(DATA_BYTES) {
        out.push(b'C');
        out.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a stream that comes in pieces of that many bytes.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<u8>, BadDownload> {
        let (mut download, mut out) = (Download::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            download.push(bytes, &mut out)?;
            assert!(download.held.len() < 3 * PDU_BYTES + piece);
            if download.is_finished() {
                break;
            }
        }
        download.end(&mut out)?;
        Ok(out)
    }

    fn sent(content: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        write(content, &mut stream);
        stream
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let stream = sent(&[7; 150]);
        assert_eq!(stream.len(), 101 + 51);
        assert_eq!((stream[0], stream[101]), (b'C', b'C'));
        assert!(stream[1..101].iter().chain(&stream[102..]).all(|&byte| byte == 7));
    }

    #[test]
    fn every_length_arrives_exactly_with_and_without_an_end_mark() {
        let content: Vec<u8> = b"CAE\0".iter().copied().cycle().take(450).collect();
        let mark = Answer::Done(String::new()).encode();
        for bytes in 1..content.len() {
            let plain = sent(&content[..bytes]);
            let marked = [&plain[..], &mark].concat();
            for piece in [1, 7, 101, 4096] {
                assert_eq!(read(&plain, piece).as_deref(), Ok(&content[..bytes]));
                assert_eq!(
                    read(&marked, piece).as_deref(),
                    Ok(&content[..bytes]),
                    "{bytes} marked"
                );
            }
        }
    }

    #[test]
    fn a_full_last_pdu_may_come_before_an_end_mark() {
        let padded = [&b"C"[..], &[b'x'; 40], &[0; 60], &b"A"[..], &[0; 100]].concat();
        let (mut download, mut out) = (Download::default(), Vec::new());
        download.push(&padded, &mut out).unwrap();
        assert!(download.is_finished());
        assert_eq!(out.len(), 100);
    }

    #[test]
    fn nothing_after_an_end_mark_belongs_to_the_content() {
        let mark = Answer::Done(String::new()).encode();
        let marked = [&sent(&[7; 100])[..], &mark].concat();
        let (mut download, mut out) = (Download::default(), Vec::new());
        for bytes in [&marked[..], b"C", &marked] {
            download.push(bytes, &mut out).unwrap();
        }
        download.end(&mut out).unwrap();
        assert_eq!(out, [7; 100]);
    }

    #[test]
    fn refusals_and_nonsense_are_told_apart() {
        let refused = Answer::Error("not here".into()).encode();
        let reason = Err(BadDownload::Refused("not here".into()));
        assert_eq!(read(&refused, 101), reason);
        assert_eq!(read(&refused[..20], 3), reason);
        assert_eq!(read(b"HTTP/1.0 400", 100), Err(BadDownload::Foreign));
        assert_eq!(read(&[b'x'; 300], 100), Err(BadDownload::Foreign));
        assert_eq!(read(b"", 100), Err(BadDownload::Nothing));
        // An empty content is one PDU without data.
        assert_eq!(read(b"C", 100), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500), piece in 1..150_usize) {
            let _ = read(&bytes, piece);
        }
    }
}
