//! The serving side of the simulated world: an uplink that sends segments to those who asked, in turn.

use std::time::Duration;

use rand::Rng;

use super::{Event, Job, SEGMENT, World, peer};

impl World {
    pub(super) fn asked(&mut self, from: usize, to: usize, chunk: u64, id: u64) {
        let latency = self.peers[to].latency;
        let manners = self.peers[to].manners;
        if !self.peers[to].present || self.rng.random_bool(manners.ignores) {
            return;
        }
        if self.rng.random_bool(manners.refuses) {
            return self.after(
                latency,
                Event::Refused {
                    by: to,
                    to: from,
                    chunk,
                    id,
                },
            );
        }
        let bad = self.rng.random_bool(manners.lies);
        self.peers[to].queues.entry(from).or_default().push_back(Job {
            id,
            chunk,
            sent: 0,
            bad,
        });
        self.send(to);
    }

    /// Sends the next segment: askers in turn, each one's requests in order.
    pub(super) fn send(&mut self, by: usize) {
        let (now, latency) = (self.now, self.peers[by].latency);
        let peer = &mut self.peers[by];
        if peer.sending || !peer.present || peer.manners.freezes.is_some_and(|at| at <= now) {
            return;
        }
        peer.queues.retain(|_, queue| !queue.is_empty());
        let next = peer
            .queues
            .range(peer.served_last + 1..)
            .next()
            .or_else(|| peer.queues.iter().next());
        let Some(to) = next.map(|(&to, _)| to) else { return };
        peer.served_last = to;
        let queue = peer.queues.get_mut(&to).unwrap();
        let job = queue.front_mut().unwrap();
        let size = self.sizes.bytes(job.chunk);
        let segment = SEGMENT.min(size - job.sent);
        job.sent += segment;
        let came = Event::Came {
            from: by,
            to,
            chunk: job.chunk,
            id: job.id,
            so_far: job.sent,
            bad: job.bad,
        };
        if job.sent == size {
            queue.pop_front();
        }
        peer.sending = true;
        let takes = Duration::from_secs_f64(segment as f64 / peer.rate);
        self.after(takes, Event::Sent { by });
        self.after(takes + latency, came);
    }

    pub(super) fn leaves(&mut self, who: usize, back_after: Duration) {
        self.peers[who].present = false;
        self.peers[who].queues.clear();
        self.after(back_after, Event::Returns { who });
        let now = self.now;
        for other in 0..self.peers.len() {
            if let Some(swarm) = &mut self.peers[other].swarm {
                swarm.handle_gone(now, peer(who));
                self.peers[other].open.retain(|(holder, _), _| *holder != who);
                self.poll(other);
            }
        }
    }
}
