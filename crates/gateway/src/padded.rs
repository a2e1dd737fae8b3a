//! Text in fields of a fixed size, as C programs keep it: NUL ends it, unless it fills the field.
//!
//! Not here: what the text must be. That is the business of each dialect.

/// The text of a field: what is before the first NUL. None: it is no UTF-8.
pub(crate) fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    std::str::from_utf8(field.get(..end)?).ok()
}

/// A field of `N` bytes with `text`, cut between characters if it is longer.
pub(crate) fn field<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(text.as_bytes().iter().take(end)) {
        *to = *from;
    }
    field
}

/// Cuts `N` bytes off the front of `bytes`; none if there are fewer.
pub(crate) fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_field_has_no_nul_and_the_rest_is_ignored() {
        assert_eq!(text(b"abc\0\0"), Some("abc"));
        assert_eq!(text(b"abcde"), Some("abcde"));
        assert_eq!(text(b"a\0garbage \xff"), Some("a"));
        assert_eq!(text(b""), Some(""));
        assert_eq!(text(b"\xff\0"), None);
    }

    #[test]
    fn text_is_padded_or_cut_between_characters() {
        assert_eq!(&field::<5>("abc"), b"abc\0\0");
        assert_eq!(&field::<2>("abc"), b"ab");
        assert_eq!(&field::<2>("a\u{e9}"), b"a\0");
        assert!(field::<0>("abc").is_empty());
    }

    #[test]
    fn taking_leaves_the_rest() {
        let mut bytes = &b"abc"[..];
        assert_eq!(take::<2>(&mut bytes), Some(b"ab"));
        assert_eq!(take::<2>(&mut bytes), None);
        assert_eq!(bytes, b"c");
    }
}
