//! The life of a roster: devices come, are revoked, and have the keys that they should have.

use super::*;

fn owner() -> Owner {
    Owner::new(&Phrase::from_entropy([7; 32]))
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed([n; 32])
}

fn applicant(n: u8, rights: Rights) -> Applicant {
    Applicant {
        peer: key(n).peer_id(),
        sealing: device_key(&key(n)).public(),
        rights,
    }
}

/// Seeds that are never the same.
fn entropy() -> impl FnMut() -> [u8; 32] {
    let mut n = 0;
    move || {
        n += 1;
        [n; 32]
    }
}

fn founded() -> Signed<Roster> {
    owner().found(&applicant(1, Rights::ALL), &mut entropy()).unwrap()
}

fn read(roster: &Signed<Roster>) -> Roster {
    open_roster(roster, &owner().id()).unwrap()
}

fn epochs(roster: &Signed<Roster>, n: u8) -> Option<Vec<u32>> {
    let ring = device_ring(&read(roster), &key(n))?;
    Some((0..10).filter(|epoch| ring.epoch(*epoch).is_some()).collect())
}

#[test]
fn everything_follows_from_the_phrase() {
    let again = owner();
    assert_eq!(again.id(), owner().id());
    assert_eq!(again.ring(3).encode(), owner().ring(3).encode());
    assert_ne!(again.epoch(1).bytes(), again.epoch(2).bytes());
    let other = Owner::new(&Phrase::from_entropy([8; 32]));
    assert_ne!(other.id(), owner().id());
    assert_ne!(other.ring(1).encode(), owner().ring(1).encode());
    assert_eq!(format!("{:?}", again), format!("Owner({:?})", again.id()));
}

#[test]
fn the_keys_of_version_1() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let text = format!(
        "{}\n{}\n{}\n",
        owner().id(),
        hex(&owner().ring(2).encode()),
        hex(&device_key(&key(1)).public()),
    );
    assert_eq!(text, include_str!("../golden/owner.hex"));
}

#[test]
fn a_device_gets_the_keys_of_the_owner() {
    let roster = founded();
    let ring = device_ring(&read(&roster), &key(1)).unwrap();
    assert_eq!(ring.encode(), owner().ring(1).encode());
    assert!(device_ring(&read(&roster), &key(2)).is_none());
}

#[test]
fn a_second_device_comes_and_the_first_is_revoked() {
    let two = owner()
        .admit(&founded(), &applicant(2, Rights::ALL), &mut entropy())
        .unwrap();
    assert_eq!((read(&two).number, read(&two).epoch), (2, 1));
    assert_eq!((epochs(&two, 1), epochs(&two, 2)), (Some(vec![1]), Some(vec![1])));

    let one = owner()
        .revoke(&two, &key(1).peer_id(), 5, &mut entropy())
        .unwrap();
    assert_eq!((read(&one).number, read(&one).epoch), (3, 2));
    assert_eq!((epochs(&one, 1), epochs(&one, 2)), (None, Some(vec![1, 2])));
    assert_eq!(read(&one).retired(&key(1).peer_id()).unwrap().last_head, 5);

    let again = owner().admit(&one, &applicant(1, Rights::ALL), &mut entropy());
    assert_eq!(again, Err(RosterError::WasRetired(key(1).peer_id())));
    let twice = owner().revoke(&one, &key(1).peer_id(), 5, &mut entropy());
    assert_eq!(twice, Err(RosterError::Unknown(key(1).peer_id())));
}

#[test]
fn who_may_not_read_gets_the_key_of_this_epoch_alone() {
    let two = owner()
        .admit(&founded(), &applicant(2, Rights::WRITE), &mut entropy())
        .unwrap();
    let later = owner()
        .revoke(&two, &key(1).peer_id(), 0, &mut entropy())
        .unwrap();
    assert_eq!(epochs(&later, 2), Some(vec![2]));
}

#[test]
fn a_box_of_another_roster_or_device_does_not_open() {
    let two = owner()
        .admit(&founded(), &applicant(2, Rights::ALL), &mut entropy())
        .unwrap();
    let mut swapped = read(&two);
    let keys = swapped.devices[0].keys.clone();
    swapped.devices[1].keys = keys;
    assert!(device_ring(&swapped, &key(2)).is_none());
    let mut old = read(&two);
    old.devices[0].keys = read(&founded()).devices[0].keys.clone();
    assert!(device_ring(&old, &key(1)).is_none());
}

#[test]
fn nobody_continues_the_roster_of_another() {
    let other = Owner::new(&Phrase::from_entropy([8; 32]));
    let result = other.admit(&founded(), &applicant(2, Rights::ALL), &mut entropy());
    assert_eq!(result, Err(RosterError::NotOurs));
    assert_eq!(open_roster(&founded(), &other.id()), None);
}

#[test]
fn lists_have_an_end() {
    let mut roster = founded();
    for n in 2..=32 {
        roster = owner()
            .admit(&roster, &applicant(n, Rights::READ), &mut entropy())
            .unwrap();
    }
    let more = owner().admit(&roster, &applicant(33, Rights::READ), &mut entropy());
    assert_eq!(more, Err(RosterError::TooManyDevices));
    // The same device again is no further one.
    let changed = owner().admit(&roster, &applicant(32, Rights::ALL), &mut entropy());
    assert!(read(&changed.unwrap()).allows(&key(32).peer_id(), Rights::PRUNE));
}

#[test]
fn the_last_epoch_is_the_last() {
    let mut last = read(&founded());
    last.epoch = MAX_EPOCHS;
    let last = Signed::new(&last, &owner().signing);
    let result = owner().revoke(&last, &key(1).peer_id(), 0, &mut entropy());
    assert_eq!(result, Err(RosterError::TooManyEpochs));
    // A full ring fits its box and its record.
    let full = owner()
        .admit(&last, &applicant(2, Rights::ALL), &mut entropy())
        .unwrap();
    assert_eq!(
        device_ring(&read(&full), &key(2)).unwrap().newest(),
        Some(MAX_EPOCHS)
    );
}
