//! Whom this peer believes: grants, coordinators' certificates, revocations, share records.
//!
//! Everything is verified offline against the network key. No I/O.

use std::sync::{PoisonError, RwLock};

use skep_wire::{
    NetworkId, PeerId, Signed,
    message::{Hello, Listed, Reason},
    record::{Grant, Revocations, ShareRecord},
};

/// The network's key, and the newest list of what it took back.
pub struct Trust {
    network: NetworkId,
    revoked: RwLock<Option<(Revocations, Signed<Revocations>)>>,
}

impl Trust {
    /// Believes `network`, and no revocations yet.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        Self {
            network,
            revoked: RwLock::new(None),
        }
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The grant in the hello of `peer`, if it holds.
    ///
    /// # Errors
    /// The reason to refuse the connection with.
    pub fn admit(&self, now_unix_s: u64, peer: PeerId, hello: &Hello) -> Result<Grant, Reason> {
        let grant = hello.grant.as_ref().ok_or(Reason::NotAllowed)?;
        let grant = self.open_grant(grant)?;
        if grant.peer != peer {
            return Err(Reason::NotAllowed);
        }
        if grant.expires_unix_s != 0 && grant.expires_unix_s < now_unix_s {
            return Err(Reason::Expired);
        }
        Ok(grant)
    }

    /// Whether `hello` shows that `peer` is a coordinator of the network.
    pub fn is_coordinator(&self, now_unix_s: u64, peer: PeerId, hello: &Hello) -> bool {
        let Some(Ok(certificate)) = hello
            .certificate
            .as_ref()
            .map(|c| c.open(self.network.as_bytes()))
        else {
            return false;
        };
        certificate.network == self.network
            && certificate.coordinator == peer
            && (certificate.expires_unix_s == 0 || certificate.expires_unix_s >= now_unix_s)
    }

    /// The record of a listed share and its publisher's name, if both signatures hold.
    pub fn open_listed(&self, listed: &Listed) -> Option<ShareRecord> {
        let grant = self.open_grant(&listed.grant).ok()?;
        let record = listed.record.open(grant.peer.as_bytes()).ok()?;
        let holds = record.network == self.network
            && record.publisher == grant.peer
            && grant.name == listed.publisher
            && !record.withdrawn;
        holds.then_some(record)
    }

    /// Takes a list of revocations if it is the network's and newer; says whether it was.
    pub fn learn(&self, list: &Signed<Revocations>) -> bool {
        let Ok(opened) = list.open(self.network.as_bytes()) else {
            return false;
        };
        let mut known = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        let newer = known.as_ref().is_none_or(|(old, _)| old.number < opened.number);
        if opened.network != self.network || !newer {
            return false;
        }
        *known = Some((opened, list.clone()));
        true
    }

    /// The newest list.
    pub fn revocations(&self) -> Option<Signed<Revocations>> {
        let known = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(_, signed)| signed.clone())
    }

    /// The newest list's number; 0 for none.
    pub fn revocations_number(&self) -> u64 {
        let known = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or(0, |(list, _)| list.number)
    }

    fn open_grant(&self, grant: &Signed<Grant>) -> Result<Grant, Reason> {
        let grant = grant
            .open(self.network.as_bytes())
            .map_err(|_| Reason::NotAllowed)?;
        if grant.network != self.network {
            return Err(Reason::NotAllowed);
        }
        if self.is_revoked(grant.serial) {
            Err(Reason::Revoked)
        } else {
            Ok(grant)
        }
    }

    fn is_revoked(&self, serial: u64) -> bool {
        let known = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .is_some_and(|(list, _)| list.serials.binary_search(&serial).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        PeerName, SigningKey,
        message::Lane,
        record::{CoordinatorCertificate, Role},
    };

    use super::*;

    fn network() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn hello(signer: &SigningKey, network: NetworkId, peer: PeerId, expires_unix_s: u64) -> Hello {
        let name = PeerName::parse("ann").unwrap();
        let grant = Grant {
            network,
            peer,
            name,
            role: Role::Both,
            serial: 7,
            expires_unix_s,
        };
        Hello {
            features: 0,
            agent: String::new(),
            lane: Lane::Talk,
            grant: Some(Signed::new(&grant, signer)),
            certificate: None,
            revocations: 0,
        }
    }

    #[test]
    fn only_a_grant_of_this_network_for_this_key_that_holds_is_admitted() {
        let key = network();
        let ours = NetworkId(key.public());
        let (peer, other) = (PeerId([2; 32]), PeerId([3; 32]));
        let trust = Trust::new(ours);
        assert!(trust.admit(100, peer, &hello(&key, ours, peer, 0)).is_ok());
        assert_eq!(
            trust.admit(100, other, &hello(&key, ours, peer, 0)),
            Err(Reason::NotAllowed)
        );
        assert_eq!(
            trust.admit(100, peer, &hello(&key, ours, peer, 99)),
            Err(Reason::Expired)
        );
        assert_eq!(
            trust.admit(100, peer, &hello(&key, NetworkId([9; 32]), peer, 0)),
            Err(Reason::NotAllowed)
        );
        let stranger = SigningKey::from_seed([4; 32]);
        assert_eq!(
            trust.admit(100, peer, &hello(&stranger, ours, peer, 0)),
            Err(Reason::NotAllowed)
        );
        let nothing = Hello {
            grant: None,
            ..hello(&key, ours, peer, 0)
        };
        assert_eq!(trust.admit(100, peer, &nothing), Err(Reason::NotAllowed));
    }

    #[test]
    fn the_newest_revocations_win_and_old_ones_cannot_come_back() {
        let key = network();
        let ours = NetworkId(key.public());
        let trust = Trust::new(ours);
        let list = |number, serials| {
            Signed::new(
                &Revocations {
                    network: ours,
                    number,
                    serials,
                },
                &key,
            )
        };
        assert!(trust.learn(&list(2, vec![7])));
        assert!(!trust.learn(&list(1, vec![])));
        assert!(!trust.learn(&list(2, vec![])));
        let peer = PeerId([2; 32]);
        assert_eq!(
            trust.admit(1, peer, &hello(&key, ours, peer, 0)),
            Err(Reason::Revoked)
        );
        let forged = Revocations {
            network: ours,
            number: 9,
            serials: vec![],
        };
        assert!(!trust.learn(&Signed::new(&forged, &SigningKey::from_seed([4; 32]))));
        assert_eq!(trust.revocations_number(), 2);
    }

    #[test]
    fn a_coordinator_is_one_by_certificate_alone() {
        let key = network();
        let ours = NetworkId(key.public());
        let trust = Trust::new(ours);
        let coordinator = PeerId([5; 32]);
        let certificate = CoordinatorCertificate {
            network: ours,
            coordinator,
            expires_unix_s: 50,
        };
        let show = |signer: &SigningKey| Hello {
            certificate: Some(Signed::new(&certificate, signer)),
            grant: None,
            ..hello(&key, ours, coordinator, 0)
        };
        assert!(trust.is_coordinator(50, coordinator, &show(&key)));
        assert!(!trust.is_coordinator(51, coordinator, &show(&key)));
        assert!(!trust.is_coordinator(50, PeerId([6; 32]), &show(&key)));
        assert!(!trust.is_coordinator(50, coordinator, &show(&SigningKey::from_seed([4; 32]))));
    }
}
