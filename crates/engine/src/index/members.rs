//! Who belongs to the network: keys, their names and grants, and which grants hold no more.
//!
//! A key is never forgotten: its name waits for it after it left, and it stays shut out once revoked.

use std::{collections::BTreeMap, ops::Index, sync::Arc};

use skep_wire::{
    Moment, NetworkId, PeerId, PeerName, Signed, SigningKey,
    message::Reason,
    record::{Grant, Revocations, Role},
};

use super::{
    Denial, Effects,
    facts::{Fact, MemberFact, Standing, TicketHash},
    table::{No, Table},
};

/// The most serials in a list of revocations, so that it fits its message.
const MAX_REVOKED: usize = 60_000;

/// A key that joined once.
pub(super) struct Member {
    pub(super) key: PeerId,
    pub(super) name: PeerName,
    pub(super) role: Role,
    pub(super) serial: u64,
    pub(super) standing: Standing,
    pub(super) ticket: TicketHash,
    pub(super) returning: bool,
    pub(super) grant: Signed<Grant>,
    /// Bytes that the member adds to each of its shares in a message.
    pub(super) weight: usize,
}

/// The number of a member.
pub(super) type Who = No<Member>;

/// All members.
pub(super) struct Members {
    network_key: Arc<SigningKey>,
    max_peers: u32,
    table: Table<Member>,
    by_key: BTreeMap<PeerId, Who>,
    by_name: BTreeMap<PeerName, Who>,
    active: u32,
    last_serial: u64,
    revoked: Revocations,
    revocations: Option<Signed<Revocations>>,
}

impl Members {
    pub(super) fn new(network_key: Arc<SigningKey>, max_peers: u32) -> Self {
        let revoked = Revocations {
            network: NetworkId(network_key.public()),
            number: 0,
            serials: Vec::new(),
        };
        Self {
            network_key,
            max_peers,
            table: Table::new(),
            by_key: BTreeMap::new(),
            by_name: BTreeMap::new(),
            active: 0,
            last_serial: 0,
            revoked,
            revocations: None,
        }
    }

    /// Takes in a fact of the ledger; says what is wrong with it.
    pub(super) fn restore(&mut self, key: PeerId, fact: MemberFact) -> Result<Who, &'static str> {
        let grant = fact.grant.peek().map_err(|_| "its grant cannot be read")?;
        if grant.network != self.network() {
            return Err("it belongs to another network");
        }
        if grant.peer != key || self.by_name.contains_key(&grant.name) {
            return Err("it contradicts another fact");
        }
        self.last_serial = self.last_serial.max(grant.serial);
        Ok(self.insert(grant, fact))
    }

    /// Takes in the list of revocations of the ledger; says what is wrong with it.
    pub(super) fn restore_revocations(&mut self, list: Signed<Revocations>) -> Result<(), &'static str> {
        self.revoked = list
            .open(&self.network().0)
            .map_err(|_| "its signature is wrong")?;
        let last = self.revoked.serials.last().copied().unwrap_or(0);
        self.last_serial = self.last_serial.max(last);
        self.revocations = Some(list);
        Ok(())
    }

    pub(super) fn network(&self) -> NetworkId {
        self.revoked.network
    }

    /// The newest list of revocations and its number; none and 0 if nothing was revoked.
    pub(super) fn revocations(&self) -> (Option<&Signed<Revocations>>, u64) {
        (self.revocations.as_ref(), self.revoked.number)
    }

    pub(super) fn active(&self) -> usize {
        self.active as usize
    }

    pub(super) fn by_key(&self, key: &PeerId) -> Option<Who> {
        self.by_key.get(key).copied()
    }

    /// The member of that name that still belongs to the network.
    pub(super) fn by_name(&self, name: &PeerName) -> Option<Who> {
        let who = self.by_name.get(name).copied()?;
        (self.table[who].standing == Standing::Active).then_some(who)
    }

    /// Those that belong to the network, ordered by name, from `first` on.
    pub(super) fn since<'a>(&'a self, first: Option<&PeerName>) -> Box<dyn Iterator<Item = Who> + 'a> {
        let active = |(_, who): (_, &Who)| (self.table[*who].standing == Standing::Active).then_some(*who);
        match first {
            Some(first) => Box::new(self.by_name.range(first.clone()..).filter_map(active)),
            None => Box::new(self.by_name.iter().filter_map(active)),
        }
    }

    /// The member whom a valid grant, shown by `key`, is about.
    pub(super) fn check(&self, now: Moment, key: PeerId, grant: &Signed<Grant>) -> Result<Who, Denial> {
        let not_allowed = |text: &str| Denial::new(Reason::NotAllowed, text);
        let grant = grant
            .open(&self.network().0)
            .map_err(|_| not_allowed("this grant is not of this network"))?;
        if grant.network != self.network() || grant.peer != key {
            return Err(not_allowed("this grant is about another key or network"));
        }
        if self.revoked.serials.binary_search(&grant.serial).is_ok() {
            return Err(revoked());
        }
        if grant.expires_unix_s != 0 && grant.expires_unix_s <= now.unix_s {
            return Err(Denial::new(Reason::Expired, "this grant has expired; join again"));
        }
        self.by_key(&key)
            .filter(|who| self.table[*who].serial == grant.serial)
            .ok_or_else(|| not_allowed("this grant is not known here; join again"))
    }

    /// Lets a new key in, under the name it wants or as `peer_N`.
    pub(super) fn admit(
        &mut self,
        key: PeerId,
        name: Option<PeerName>,
        role: Role,
        ticket: TicketHash,
        effects: &mut Effects,
    ) -> Result<Who, Denial> {
        let name = match name {
            Some(name) if self.by_name.contains_key(&name) => return Err(name_in_use(&name)),
            Some(name) => name,
            None => self.free_name(),
        };
        self.check_room()?;
        let grant = self.next_grant(key, name, role);
        let fact = MemberFact {
            grant: Signed::new(&grant, &self.network_key),
            standing: Standing::Active,
            ticket,
            returning: false,
        };
        effects.set(&Fact::Member(key, fact.clone()));
        Ok(self.insert(grant, fact))
    }

    /// Lets a known key in again, under its old name. The old grant holds no more if the new one differs.
    pub(super) fn readmit(
        &mut self,
        who: Who,
        role: Role,
        ticket: TicketHash,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        let member = &self.table[who];
        match member.standing {
            Standing::Revoked => return Err(revoked()),
            Standing::Left => self.check_room()?,
            Standing::Active if member.role != role => self.revoke_serial(member.serial, effects)?,
            Standing::Active => {}
        }
        let renewed = (self.table[who].role, self.table[who].standing) != (role, Standing::Active);
        if renewed {
            self.renew(who, role);
        }
        let member = &mut self.table[who];
        (member.ticket, member.returning) = (ticket, true);
        self.save(who, effects);
        Ok(())
    }

    /// Ends a membership: as left or as revoked. Everybody is to be told of the new revocations.
    pub(super) fn dismiss(
        &mut self,
        who: Who,
        standing: Standing,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        self.revoke_serial(self.table[who].serial, effects)?;
        self.table[who].standing = standing;
        self.active -= 1;
        self.save(who, effects);
        Ok(())
    }

    fn renew(&mut self, who: Who, role: Role) {
        let (key, name) = (self.table[who].key, self.table[who].name.clone());
        let grant = self.next_grant(key, name, role);
        let member = &mut self.table[who];
        if member.standing == Standing::Left {
            self.active += 1;
        }
        member.standing = Standing::Active;
        (member.role, member.serial) = (role, grant.serial);
        member.grant = Signed::new(&grant, &self.network_key);
        member.weight = weight(&member.grant, &member.name);
    }

    fn next_grant(&mut self, peer: PeerId, name: PeerName, role: Role) -> Grant {
        self.last_serial += 1;
        Grant {
            network: self.network(),
            peer,
            name,
            role,
            serial: self.last_serial,
            expires_unix_s: 0,
        }
    }

    fn insert(&mut self, grant: Grant, fact: MemberFact) -> Who {
        let (key, name) = (grant.peer, grant.name.clone());
        if fact.standing == Standing::Active {
            self.active += 1;
        }
        let who = self.table.insert(Member {
            key,
            name: grant.name,
            role: grant.role,
            serial: grant.serial,
            standing: fact.standing,
            ticket: fact.ticket,
            returning: fact.returning,
            weight: weight(&fact.grant, &name),
            grant: fact.grant,
        });
        self.by_key.insert(key, who);
        self.by_name.insert(name, who);
        who
    }

    fn save(&self, who: Who, effects: &mut Effects) {
        let member = &self.table[who];
        let fact = MemberFact {
            grant: member.grant.clone(),
            standing: member.standing,
            ticket: member.ticket,
            returning: member.returning,
        };
        effects.set(&Fact::Member(member.key, fact));
    }

    fn revoke_serial(&mut self, serial: u64, effects: &mut Effects) -> Result<(), Denial> {
        if self.revoked.serials.len() >= MAX_REVOKED {
            let text = "the network's list of revocations is full; it needs a new network key";
            return Err(Denial::new(Reason::Full, text));
        }
        if let Err(at) = self.revoked.serials.binary_search(&serial) {
            self.revoked.serials.insert(at, serial);
        }
        self.revoked.number += 1;
        let list = Signed::new(&self.revoked, &self.network_key);
        effects.set(&Fact::Revocations(list.clone()));
        self.revocations = Some(list);
        Ok(())
    }

    fn check_room(&self) -> Result<(), Denial> {
        if self.active < self.max_peers {
            return Ok(());
        }
        let text = format!("the network takes {} peers and has as many", self.max_peers);
        Err(Denial::new(Reason::Full, text))
    }

    fn free_name(&self) -> PeerName {
        (self.table.len() + 1..)
            .map(|n| PeerName::parse(&format!("peer_{n}")).expect("a word and a number are a name"))
            .find(|name| !self.by_name.contains_key(name))
            .expect("there are more numbers than members")
    }
}

impl Index<Who> for Members {
    type Output = Member;

    fn index(&self, who: Who) -> &Member {
        &self.table[who]
    }
}

/// The grant, the name with its length, and the number of holders.
fn weight(grant: &Signed<Grant>, name: &PeerName) -> usize {
    grant.encode().len() + name.as_str().len() + 1 + 5
}

fn revoked() -> Denial {
    Denial::new(Reason::Revoked, "this peer was revoked from the network")
}

fn name_in_use(name: &PeerName) -> Denial {
    let text = format!("the name {name} belongs to another key; choose another");
    Denial::new(Reason::NameInUse, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Moment = Moment {
        mono: Duration::ZERO,
        unix_s: 1000,
    };

    fn members(max_peers: u32) -> Members {
        Members::new(Arc::new(SigningKey::from_seed([1; 32])), max_peers)
    }

    fn key(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn name(text: &str) -> PeerName {
        PeerName::parse(text).unwrap()
    }

    fn admit(members: &mut Members, n: u8, wanted: Option<&str>) -> Result<Who, Reason> {
        let effects = &mut Effects::default();
        let admitted = members.admit(key(n), wanted.map(name), Role::Both, [n; 32], effects);
        admitted.map_err(|denial| denial.reason)
    }

    fn reason(members: &Members, n: u8, grant: &Signed<Grant>) -> Option<Reason> {
        members
            .check(NOW, key(n), grant)
            .err()
            .map(|denial| denial.reason)
    }

    #[test]
    fn names_are_unique_and_free_ones_are_found() {
        let mut members = members(10);
        admit(&mut members, 1, Some("ada")).unwrap();
        assert_eq!(admit(&mut members, 2, Some("ada")).err(), Some(Reason::NameInUse));
        admit(&mut members, 3, Some("peer_3")).unwrap();
        let who = admit(&mut members, 4, None).unwrap();
        assert_eq!(members[who].name, name("peer_4"));
    }

    #[test]
    fn a_full_network_takes_nobody_until_somebody_leaves() {
        let (mut members, effects) = (members(1), &mut Effects::default());
        let ada = admit(&mut members, 1, Some("ada")).unwrap();
        assert_eq!(admit(&mut members, 2, None).err(), Some(Reason::Full));
        members.dismiss(ada, Standing::Left, effects).unwrap();
        admit(&mut members, 2, None).unwrap();
        let denial = members.readmit(ada, Role::Both, [3; 32], effects).unwrap_err();
        assert_eq!(denial.reason, Reason::Full);
    }

    #[test]
    fn a_name_waits_for_its_key() {
        let (mut members, effects) = (members(9), &mut Effects::default());
        let ada = admit(&mut members, 1, Some("ada")).unwrap();
        members.dismiss(ada, Standing::Left, effects).unwrap();
        assert_eq!(members.by_name(&name("ada")).map(|who| members[who].key), None);
        assert_eq!(admit(&mut members, 2, Some("ada")).err(), Some(Reason::NameInUse));
        members.readmit(ada, Role::Owner, [5; 32], effects).unwrap();
        assert_eq!(
            members.by_name(&name("ada")).map(|who| members[who].role),
            Some(Role::Owner)
        );
        assert!(members[ada].returning);
    }

    #[test]
    fn only_the_current_grant_of_the_right_key_holds() {
        let (mut members, effects) = (members(9), &mut Effects::default());
        let ada = admit(&mut members, 1, Some("ada")).unwrap();
        let first = members[ada].grant.clone();
        assert_eq!(reason(&members, 1, &first), None);
        assert_eq!(reason(&members, 2, &first), Some(Reason::NotAllowed));

        members.readmit(ada, Role::Both, [2; 32], effects).unwrap();
        assert_eq!(
            reason(&members, 1, &first),
            None,
            "the same role needs no new grant"
        );
        members.readmit(ada, Role::Owner, [3; 32], effects).unwrap();
        assert_eq!(reason(&members, 1, &first), Some(Reason::Revoked));
        assert_eq!(reason(&members, 1, &members[ada].grant), None);

        members.dismiss(ada, Standing::Revoked, effects).unwrap();
        assert_eq!(reason(&members, 1, &members[ada].grant), Some(Reason::Revoked));
        let denial = members.readmit(ada, Role::Both, [4; 32], effects).unwrap_err();
        assert_eq!(denial.reason, Reason::Revoked);
    }

    #[test]
    fn forged_foreign_unknown_and_expired_grants_are_denied() {
        let mut members = members(9);
        admit(&mut members, 1, Some("ada")).unwrap();
        let grant = |network: &SigningKey, serial, expires_unix_s| {
            let grant = Grant {
                network: NetworkId(network.public()),
                peer: key(1),
                name: name("ada"),
                role: Role::Both,
                serial,
                expires_unix_s,
            };
            Signed::new(&grant, network)
        };
        let (ours, other) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
        assert_eq!(reason(&members, 1, &grant(&ours, 1, 0)), None);
        assert_eq!(
            reason(&members, 1, &grant(&other, 1, 0)),
            Some(Reason::NotAllowed)
        );
        assert_eq!(reason(&members, 1, &grant(&ours, 2, 0)), Some(Reason::NotAllowed));
        assert_eq!(reason(&members, 1, &grant(&ours, 1, 1000)), Some(Reason::Expired));
    }

    #[test]
    fn the_list_of_revocations_counts_up_and_is_signed() {
        let (mut members, effects) = (members(9), &mut Effects::default());
        for n in 1..=3 {
            let who = admit(&mut members, n, None).unwrap();
            members.dismiss(who, Standing::Revoked, effects).unwrap();
        }
        let (list, number) = members.revocations();
        let list = list.unwrap().open(&members.network().0).unwrap();
        assert_eq!((number, list.number, list.serials), (3, 3, vec![1, 2, 3]));
    }
}
