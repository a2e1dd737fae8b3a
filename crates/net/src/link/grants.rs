//! The credit that this side has granted: how many bulk bytes may still come, and when to grant more.

/// Bytes granted to the other side. What has been read is granted again, a quarter of the window
/// at a time, so that grants are few and the window never runs dry.
pub(super) struct Grants {
    window: u32,
    /// Bytes that may still come.
    left: u32,
    /// Bytes that came and are not granted again.
    used: u32,
}

/// More came than was granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overdrawn;

impl Grants {
    /// A window has been granted.
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            left: window,
            used: 0,
        }
    }

    /// `bytes` more are coming.
    pub(super) fn take(&mut self, bytes: u32) -> Result<(), Overdrawn> {
        self.left = self.left.checked_sub(bytes).ok_or(Overdrawn)?;
        self.used += bytes;
        Ok(())
    }

    /// How much to grant now, if it is worth a message.
    pub(super) fn again(&mut self) -> Option<u32> {
        if self.used < self.window / 4 {
            return None;
        }
        let bytes = std::mem::take(&mut self.used);
        self.left += bytes;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_follow_what_came_and_more_is_overdrawn() {
        let mut grants = Grants::new(100);
        assert_eq!(grants.take(20), Ok(()));
        assert_eq!(grants.again(), None);
        assert_eq!(grants.take(20), Ok(()));
        assert_eq!(grants.again(), Some(40));
        assert_eq!(grants.take(100), Ok(()));
        assert_eq!(grants.take(1), Err(Overdrawn));
        assert_eq!(grants.again(), Some(100));
        assert_eq!(grants.take(101), Err(Overdrawn));
    }
}
