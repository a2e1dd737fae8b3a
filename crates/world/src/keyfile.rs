//! Files with a private key: the 32-byte seed as 64 hexadecimal digits, mode 0600.

use std::io;

use data_encoding::HEXLOWER_PERMISSIVE;
use skep_wire::{RelPath, SigningKey};
use zeroize::Zeroizing;

use crate::{Dir, Entropy, disk::Replace};

/// The key in the file `name`; none when there is no such file.
///
/// # Errors
/// When it cannot be read; of kind `InvalidData` when it is not 64 hexadecimal digits.
pub fn read(dir: &dyn Dir, name: &RelPath) -> io::Result<Option<SigningKey>> {
    const LIMIT: usize = 128;
    let Some(text) = dir.read_whole(name, LIMIT)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let no_key = || io::Error::new(io::ErrorKind::InvalidData, "a key is 64 hexadecimal digits");
    let mut seed = Zeroizing::new([0; 32]);
    let text = text.trim_ascii();
    if text.len() != 2 * seed.len() {
        return Err(no_key());
    }
    HEXLOWER_PERMISSIVE
        .decode_mut(text, &mut *seed)
        .map_err(|_| no_key())?;
    Ok(Some(SigningKey::from_seed(*seed)))
}

/// Makes a new key and keeps it in the file `name`, durably.
///
/// # Errors
/// When it cannot be written, or is there already.
pub fn create(dir: &dyn Dir, name: &RelPath, entropy: &dyn Entropy) -> io::Result<SigningKey> {
    let seed = Zeroizing::new(entropy.bytes32());
    let text = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&*seed) + "\n");
    dir.write_whole(name, text.as_bytes(), Replace::Never)?;
    Ok(SigningKey::from_seed(*seed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{Disk as _, real};

    #[test]
    fn a_key_is_kept_and_nothing_else_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = real::Disk.dir(folder.path()).unwrap();
        let name = RelPath::parse("key").unwrap();
        let path = folder.path().join("key");
        assert!(read(&*dir, &name).unwrap().is_none());
        let key = create(&*dir, &name, &real::Entropy).unwrap();
        assert_eq!(read(&*dir, &name).unwrap().unwrap().peer_id(), key.peer_id());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&*dir, &name, &real::Entropy).is_err());
        for wrong in [
            "",
            "12",
            &"x".repeat(64),
            &"a".repeat(63),
            &"a".repeat(66),
            &"a".repeat(1000),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let refused = read(&*dir, &name).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{wrong}");
        }
    }
}
