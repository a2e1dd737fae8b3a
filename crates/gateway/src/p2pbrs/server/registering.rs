//! Sections 2.1 and 2.3: peers that come, stay and go.

use super::{
    super::codec::Message,
    Call, Effects, Server, facts,
    peers::{Application, PeerNo, Registration},
};

impl Server {
    /// `REGISTER`, `DE-REGISTER` and `HEARTBEAT`. Returns whether a repetition is answered alike.
    pub(super) fn attend(&mut self, call: Call<'_>, message: Message, effects: &mut Effects) -> bool {
        match message {
            Message::Register {
                rq,
                name,
                role,
                ip,
                udp,
                tcp,
                capacity,
            } => {
                let ip = self.believed(call, ip);
                let it = Application {
                    name,
                    role,
                    ip,
                    udp,
                    tcp,
                    capacity,
                };
                let answer = match self.register(call, it, effects) {
                    Ok(()) => Message::Registered { rq },
                    Err(reason) => Message::RegisterDenied {
                        rq,
                        reason: reason.to_owned(),
                    },
                };
                self.reply(call, answer, effects);
            }
            Message::DeRegister { rq, name } => {
                if let Some(who) = self.peers.named(&name, call.from) {
                    self.de_register(call, who, effects);
                    let known = self.config.acks.then_some(Message::DeRegistered { rq });
                    known
                        .into_iter()
                        .for_each(|answer| self.reply(call, answer, effects));
                }
                return false;
            }
            Message::Heartbeat { rq, name, .. } => {
                let Some(who) = self.peers.named(&name, call.from) else {
                    return false;
                };
                if self.peers.heard(call.now, who) {
                    self.wake_repairs(call.now, who, effects);
                }
                if self.config.acks {
                    self.reply(call, Message::HeartbeatOk { rq, name }, effects);
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    /// The address that a peer says it has counts only if it comes from a trusted one: a stranger
    /// could have others connect to a victim.
    fn believed(&self, call: Call<'_>, said: std::net::IpAddr) -> std::net::IpAddr {
        let source = call.from.ip();
        if self.strangers.trusts(source) && !said.is_unspecified() {
            said
        } else {
            source
        }
    }

    fn register(
        &mut self,
        call: Call<'_>,
        it: Application,
        effects: &mut Effects,
    ) -> Result<(), &'static str> {
        if it.udp == 0 || it.tcp == 0 {
            return Err("Bad_Request");
        }
        if self.peers.is_full() {
            self.make_room(effects);
        }
        let who = match self.peers.register(call.now, call.from, it) {
            Registration::Done(who) => who,
            Registration::NameInUse => return Err("Name_In_Use"),
            Registration::Full => return Err("Server_Full"),
        };
        self.keep_peer(who, effects);
        self.wake_repairs(call.now, who, effects);
        Ok(())
    }

    /// A server that is full forgets somebody who has failed, holds nothing, and owns nothing.
    fn make_room(&mut self, effects: &mut Effects) {
        let is_bare = |who: &PeerNo| self.files.held_by(*who).is_empty() && !self.files.owns_any(*who);
        let bare = self.peers.all_failed().find(is_bare);
        if let Some(who) = bare {
            self.forget_peer(who, effects);
        }
    }

    /// The peer leaves: what it held is copied elsewhere, and its own files wait for it.
    fn de_register(&mut self, call: Call<'_>, who: PeerNo, effects: &mut Effects) {
        for from in self
            .peers
            .get(who)
            .map(|peer| [peer.endpoint, peer.came_from])
            .into_iter()
            .flatten()
        {
            self.repeats.forget(from);
        }
        for backup in self.files.held_by(who) {
            self.lose(backup, who, effects);
        }
        self.give_up_waiting_for(call.now, who, effects);
        if self.files.owns_any(who) {
            self.peers.depart(who);
            self.keep_peer(who, effects);
        } else {
            self.forget_peer(who, effects);
        }
    }

    fn forget_peer(&mut self, who: PeerNo, effects: &mut Effects) {
        self.peers.forget(who);
        effects.remove(facts::peer_key(who));
    }

    fn keep_peer(&mut self, who: PeerNo, effects: &mut Effects) {
        if let Some(peer) = self.peers.get(who) {
            effects.set(facts::peer_key(who), facts::value(peer));
        }
    }
}
