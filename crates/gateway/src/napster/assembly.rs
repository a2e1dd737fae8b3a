//! Which segments of a file are here: each is missing or here, and one that comes twice changes nothing.
//!
//! Pure arithmetic. The bytes are written by the driver.

use super::codec::Segment;

/// A file that is put together from segments in any order.
#[derive(Debug, Clone)]
pub struct Assembly {
    file_size: u32,
    segment_bytes: u32,
    here: Vec<bool>,
    missing: usize,
}

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed<'a> {
    /// Its bytes belong there.
    At(u64, &'a [u8]),
    /// It was here already.
    Duplicate,
    /// It cannot be a part of this file.
    Misfit,
}

impl Assembly {
    /// A file of which nothing is here. An empty one has one empty segment.
    #[must_use]
    pub fn new(file_size: u32, segment_bytes: u32) -> Self {
        let missing = count(file_size, segment_bytes) as usize;
        Self {
            file_size,
            segment_bytes,
            here: vec![false; missing],
            missing,
        }
    }

    /// Takes a segment. Its size may be told as that of its bytes or as that of a full one.
    pub fn place<'a>(&mut self, segment: &Segment<'a>) -> Placed<'a> {
        let start = u64::from(segment.number) * u64::from(self.segment_bytes);
        let bytes = u64::from(self.file_size)
            .saturating_sub(start)
            .min(u64::from(self.segment_bytes));
        let told = u64::from(segment.segment_size);
        let here = self.here.get_mut(segment.number as usize);
        let data = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| segment.data.get(..bytes));
        let (Some(here), Some(data)) = (here, data) else {
            return Placed::Misfit;
        };
        if segment.of.file_size != self.file_size || (told != bytes && told != u64::from(self.segment_bytes))
        {
            return Placed::Misfit;
        }
        if std::mem::replace(here, true) {
            return Placed::Duplicate;
        }
        self.missing -= 1;
        Placed::At(start, data)
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_size(&self) -> u32 {
        self.file_size
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

/// How many segments a file has: at least one, so that an empty file can be sent.
#[must_use]
pub fn count(file_size: u32, segment_bytes: u32) -> u32 {
    file_size.div_ceil(segment_bytes).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::napster::codec::{FileHash, FileName, Listing};

    fn segment(file_size: u32, number: u32, segment_size: u32, data: &[u8]) -> Segment<'_> {
        let of = Listing {
            file_size,
            name: FileName::parse("lorem").unwrap(),
            seeder: "127.0.0.1:1".parse().unwrap(),
            hash: FileHash([0; 32]),
        };
        Segment {
            of,
            number,
            segment_size,
            data,
        }
    }

    #[test]
    fn any_order_and_duplicates_make_the_file() {
        let mut assembly = Assembly::new(20, 8);
        let data = [1; 8];
        assert_eq!(assembly.place(&segment(20, 2, 4, &data)), Placed::At(16, &[1; 4]));
        assert_eq!(assembly.place(&segment(20, 0, 8, &data)), Placed::At(0, &data));
        assert_eq!(assembly.place(&segment(20, 0, 8, &data)), Placed::Duplicate);
        assert!(!assembly.is_complete());
        assert_eq!(assembly.place(&segment(20, 1, 8, &data)), Placed::At(8, &data));
        assert!(assembly.is_complete());
        // The last one may say the size of a full one.
        assert_eq!(
            Assembly::new(20, 8).place(&segment(20, 2, 8, &data)),
            Placed::At(16, &[1; 4])
        );
    }

    #[test]
    fn an_empty_file_is_one_empty_segment() {
        let mut assembly = Assembly::new(0, 8);
        assert_eq!(assembly.place(&segment(0, 0, 0, &[0; 8])), Placed::At(0, &[]));
        assert!(assembly.is_complete());
    }

    #[test]
    fn misfits_change_nothing() {
        let mut assembly = Assembly::new(20, 8);
        let data = [1; 8];
        for bad in [
            segment(21, 0, 8, &data),
            segment(20, 3, 8, &data),
            segment(20, u32::MAX, 8, &data),
            segment(20, 0, 7, &data),
            segment(20, 0, 0, &data),
            segment(20, 0, 8, &data[..7]),
        ] {
            assert_eq!(assembly.place(&bad), Placed::Misfit, "{bad:?}");
        }
        assert_eq!(assembly.missing, 3);
    }

    proptest! {
        #[test]
        fn nothing_is_placed_beyond_the_end(size in 0..100_u32, number: u32, told: u32, len in 0..20_usize) {
            let data = vec![0; len];
            let mut assembly = Assembly::new(size, 8);
            if let Placed::At(start, bytes) = assembly.place(&segment(size, number, told, &data)) {
                prop_assert!(start + bytes.len() as u64 <= u64::from(size));
            }
        }
    }
}
