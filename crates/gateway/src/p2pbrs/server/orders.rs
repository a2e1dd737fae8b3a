//! What is asked of peers, unasked: sent in small bursts, and again until it is done or three times.

use std::{collections::BTreeMap, time::Duration};

use super::{files::BackupNo, peers::PeerNo};

/// The most orders sent at once; then there is a pause, so that no peer's queue overflows.
const BURST: usize = 64;
const PAUSE: Duration = Duration::from_millis(10);

/// After which times an order is sent again.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Something asked of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// A storage peer will get chunks of a file.
    Task { backup: BackupNo, to: PeerNo },
    /// A storage peer is to take a chunk, from the owner or from another holder.
    Store {
        backup: BackupNo,
        chunk: u64,
        to: PeerNo,
        from: PeerNo,
        rq: u64,
    },
    /// A holder is to copy a chunk to another peer.
    Replicate {
        backup: BackupNo,
        chunk: u64,
        from: PeerNo,
        to: PeerNo,
        rq: u64,
    },
    /// The owner is to follow a changed plan.
    Plan { backup: BackupNo },
}

/// Orders in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Orders {
    queue: BTreeMap<(Duration, u64), (Order, usize)>,
    next: u64,
    /// Not before then.
    pause_until: Duration,
}

impl Orders {
    /// Queues an order; it is sent when its turn comes.
    pub(super) fn add(&mut self, now: Duration, order: Order) {
        self.enter(now, order, 0);
    }

    fn enter(&mut self, at: Duration, order: Order, sent: usize) {
        self.queue.insert((at, self.next), (order, sent));
        self.next += 1;
    }

    /// The orders to be sent now, if they are `needed` still.
    pub(super) fn due(&mut self, now: Duration, needed: impl Fn(&Order) -> bool) -> Vec<Order> {
        let mut due = Vec::new();
        if now < self.pause_until {
            return due;
        }
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > now {
                break;
            }
            if due.len() == BURST {
                self.pause_until = now + PAUSE;
                break;
            }
            let (order, sent) = first.remove();
            if !needed(&order) {
                continue;
            }
            due.push(order);
            if let Some(pause) = AGAIN.get(sent) {
                self.enter(now + *pause, order, sent + 1);
            }
        }
        due
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        let ((first, _), _) = self.queue.first_key_value()?;
        Some((*first).max(self.pause_until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn order(backup: u64) -> Order {
        Order::Plan {
            backup: BackupNo(backup),
        }
    }

    #[test]
    fn an_order_is_sent_three_times_while_it_is_needed() {
        let mut orders = Orders::default();
        orders.add(Duration::ZERO, order(1));
        let mut sent = Vec::new();
        while let Some(now) = orders.next_wakeup() {
            sent.extend(orders.due(now, |_| true).iter().map(|_| now));
        }
        assert_eq!(sent, [Duration::ZERO, 1000 * MS, 3000 * MS]);
        orders.add(Duration::ZERO, order(1));
        assert!(orders.due(Duration::ZERO, |_| false).is_empty());
        assert_eq!(orders.next_wakeup(), None);
    }

    #[test]
    fn many_orders_go_in_bursts() {
        let mut orders = Orders::default();
        for n in 0..100 {
            orders.add(Duration::ZERO, order(n));
        }
        assert_eq!(orders.due(Duration::ZERO, |_| true).len(), BURST);
        assert!(orders.due(9 * MS, |_| true).is_empty());
        assert_eq!(orders.next_wakeup(), Some(PAUSE));
        assert_eq!(orders.due(PAUSE, |_| true).len(), 100 - BURST);
    }
}
