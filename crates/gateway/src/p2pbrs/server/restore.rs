//! Section 2.4: who has the chunks of a file that was lost.

use std::collections::BTreeSet;

use super::{
    super::codec::{FileName, Listed, Message, PeerList, Rq, Shape, Style},
    Call, Effects, Server,
    backup::LISTED,
    files::{Backup, Chunk},
    peers::PeerNo,
};

impl Server {
    /// `RESTORE_REQ`
    pub(super) fn handle_restore_req(
        &mut self,
        call: Call<'_>,
        rq: Rq,
        file: FileName,
        effects: &mut Effects,
    ) {
        let answer = match self.restore_plan(call, &rq, &file) {
            Ok(plan) => plan,
            Err(reason) => {
                let reason = reason.to_owned();
                Message::RestoreFail { rq, file, reason }
            }
        };
        self.reply(call, answer, effects);
    }

    fn restore_plan(&self, call: Call<'_>, rq: &Rq, file: &FileName) -> Result<Message, &'static str> {
        let asker = self.peers.at(call.from).ok_or("Not_Registered")?;
        let slot = self.files.slot(asker, file);
        let no = slot.complete.or(slot.pending).ok_or("No_Such_File")?;
        let backup = self.files.get(no).ok_or("No_Such_File")?;
        if !backup.plan.complete && !backup.plan.done {
            return Err("Backup_Not_Done");
        }
        let holders = self.holders(backup);
        if holders.is_empty() && !backup.chunks.is_empty() {
            return Err("No_Live_Peers");
        }
        let listed = |who: PeerNo| {
            let peer = self.peers.get(who)?;
            Some(Listed {
                name: peer.name.clone(),
                address: Some(peer.address()),
                chunks: Some(held(backup, who)),
            })
        };
        let peers: Vec<Listed> = holders.into_iter().filter_map(listed).collect();
        Ok(self.fitting(rq, backup, peers))
    }

    /// The plan in the style of this server, with as many peers as fit in a datagram.
    fn fitting(&self, rq: &Rq, backup: &Backup, mut peers: Vec<Listed>) -> Message {
        let plan = |style, peers: &[Listed]| Message::RestorePlan {
            rq: Some(rq.clone()),
            file: backup.plan.file.clone(),
            peers: PeerList {
                style,
                peers: peers.to_vec(),
            },
            shape: Some(Shape {
                chunk_size: backup.plan.chunk_bytes,
                chunks: backup.chunks.len() as u64,
                checksum: backup.plan.checksum.clone(),
            }),
        };
        let fits = |message: &Message| message.encode().len() <= super::super::codec::DATAGRAM_BYTES;
        let own = plan(self.config.style, &peers);
        if fits(&own) {
            return own;
        }
        let style = if self.config.style == Style::At {
            Style::Colon
        } else {
            self.config.style
        };
        while !fits(&plan(style, &peers)) && peers.pop().is_some() {}
        plan(style, &peers)
    }

    /// The live peers that have chunks: those of the plan in its order, then others. Of many, those
    /// that together have the most chunks.
    fn holders(&self, backup: &Backup) -> Vec<PeerNo> {
        let mut all: Vec<PeerNo> = Vec::new();
        let has_some: BTreeSet<PeerNo> = backup
            .chunks
            .iter()
            .flat_map(|chunk| having(backup, chunk))
            .collect();
        let planned = backup.plan.list.iter().filter(|who| has_some.contains(who));
        for who in planned.chain(&has_some) {
            if self.peers.live(*who).is_some() && !all.contains(who) {
                all.push(*who);
            }
        }
        if all.len() > LISTED {
            cover(backup, &mut all);
        }
        all
    }
}

/// Who has a chunk: those who acknowledged it. If nobody has, but the owner says that it was
/// brought, whoever was asked to take it may have it.
fn having<'a>(backup: &'a Backup, chunk: &'a Chunk) -> impl Iterator<Item = PeerNo> + 'a {
    let is_believed = chunk.holders.is_empty() && backup.plan.done;
    let asked = chunk
        .awaited
        .iter()
        .chain(&backup.given_up)
        .filter(move |_| is_believed);
    chunk.holders.iter().chain(asked).copied()
}

fn held(backup: &Backup, who: PeerNo) -> Vec<u64> {
    let has_it = |(_, chunk): &(u64, &Chunk)| having(backup, chunk).any(|it| it == who);
    backup
        .numbered()
        .filter(has_it)
        .map(|(n, _)| n)
        .take(1000)
        .collect()
}

/// Moves those who have what the ones before them have not to the front.
fn cover(backup: &Backup, all: &mut [PeerNo]) {
    let mut missing: Vec<&Chunk> = backup.chunks.iter().collect();
    for place in 0..all.len() {
        let rest = all.get_mut(place..).unwrap_or_default();
        let gain = |who: &PeerNo| missing.iter().filter(|chunk| chunk.holders.contains(who)).count();
        let best = (0..rest.len()).max_by_key(|n| (rest.get(*n).map_or(0, gain), rest.len() - n));
        let Some(best) = best else { return };
        rest.swap(0, best);
        if let Some(first) = rest.first() {
            missing.retain(|chunk| !chunk.holders.contains(first));
        }
    }
}
