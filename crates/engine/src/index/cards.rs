//! Holders as their message has them: each encoded once, when something about it changes, and
//! copied into every answer after that.

use skep_wire::{
    PeerId, PeerName,
    message::{Endpoint, Holder, Holders, Message},
};

use super::holders::HANDED_OUT;

/// One member as others are told of it.
pub(super) struct Card(Box<[u8]>);

/// The answer to a lookup: a [`Holders`], encoded already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOut {
    /// How many, then one after the other.
    body: Vec<u8>,
}

/// Bytes of a usual card.
const CARD_BYTES: usize = 72;

// A count below 128 is one byte.
const _: () = assert!(HANDED_OUT < 128);

impl Card {
    /// Of a member, with its address if it was reached there.
    pub(super) fn new(peer: PeerId, name: &PeerName, address: Option<&Endpoint>) -> Self {
        let holder = Holder {
            peer,
            name: name.clone(),
            address: address.cloned(),
            complete: false,
        };
        let encoded = postcard::to_allocvec(&holder).expect("holders encode");
        Self(encoded.into_boxed_slice())
    }
}

impl HandedOut {
    pub(super) const KIND: u16 = Holders::KIND;

    pub(super) fn with_room(holders: usize) -> Self {
        let mut body = Vec::with_capacity(1 + holders * CARD_BYTES);
        body.push(0);
        Self { body }
    }

    pub(super) fn push(&mut self, card: &Card, complete: bool) {
        // What a card leaves open is its last field, a single byte.
        let open = card.0.len() - 1;
        self.body[0] += 1;
        self.body.extend_from_slice(&card.0[..open]);
        self.body.push(u8::from(complete));
    }

    pub(super) fn encode(self) -> Vec<u8> {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_message_of_the_wire() {
        let address = Endpoint {
            host: "ada.example".into(),
            port: 7700,
        };
        let holder = |n: u8, complete: bool| Holder {
            peer: PeerId([n; 32]),
            name: PeerName::parse(&format!("peer_{n}")).unwrap(),
            address: complete.then(|| address.clone()),
            complete,
        };
        let holders: Vec<Holder> = (0..50).map(|n| holder(n, n % 3 == 0)).collect();
        let mut handed_out = HandedOut::with_room(50);
        for holder in &holders {
            let card = Card::new(holder.peer, &holder.name, holder.address.as_ref());
            handed_out.push(&card, holder.complete);
        }
        assert_eq!(handed_out.encode(), Holders { holders }.encode());
        assert_eq!(
            HandedOut::with_room(0).encode(),
            Holders { holders: vec![] }.encode()
        );
    }
}
