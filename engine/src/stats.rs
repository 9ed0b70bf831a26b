//! What workers publish now and then, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

use causeway_fastpath::counters::Counters;

use crate::port::{Link, PortStats};

/// A page of numbers that one worker writes and anybody reads, without a lock. A
/// reader may see some numbers a little newer than others.
#[derive(Debug)]
pub struct StatsPage {
    counters: Box<[AtomicU64]>,
    ports: Box<[PortCells]>,
    sessions_v4: AtomicU64,
    sessions_v6: AtomicU64,
    restarts: AtomicU64,
}

#[derive(Debug, Default)]
struct PortCells([AtomicU64; 8]);

/// Where [`PortCells`] say how the link is: 0 before it was said, and then one of these, from 1.
const LINK: usize = 7;
const LINKS: [Link; 3] = [Link::Up, Link::Down, Link::Gone];

impl StatsPage {
    /// Zeros, for a worker with `ports` ports.
    pub fn new(ports: usize) -> StatsPage {
        let mut count = 0;
        Counters::default().each(|_, _, _| count += 1);
        StatsPage {
            counters: (0..count).map(|_| AtomicU64::new(0)).collect(),
            ports: (0..ports).map(|_| PortCells::default()).collect(),
            sessions_v4: AtomicU64::new(0),
            sessions_v6: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// The worker has failed and begun anew.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The worker's side: publishes what it counted. No allocation, no lock.
    pub fn publish(&self, counters: &Counters, sessions: (usize, usize)) {
        let mut cells = self.counters.iter();
        counters.each(|_, _, value| {
            if let Some(cell) = cells.next() {
                cell.store(value, Ordering::Relaxed);
            }
        });
        self.sessions_v4.store(sessions.0 as u64, Ordering::Relaxed);
        self.sessions_v6.store(sessions.1 as u64, Ordering::Relaxed);
    }

    /// The worker's side: publishes what a port counted.
    pub fn publish_port(&self, port: usize, stats: &PortStats) {
        let values = [
            stats.rx_packets,
            stats.rx_bytes,
            stats.rx_missed,
            stats.rx_errors,
            stats.tx_packets,
            stats.tx_bytes,
            stats.tx_errors,
            1 + stats.link as u64,
        ];
        for (cell, value) in self.ports[port].0.iter().zip(values) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Each counter with its group and name, in a fixed order.
    pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut rows = Vec::with_capacity(self.counters.len() + 3);
        let mut cells = self.counters.iter();
        Counters::default().each(|group, name, _| {
            rows.push((group, name, cells.next().map_or(0, |cell| cell.load(Ordering::Relaxed))));
        });
        rows.push(("sessions", "alive-v4", self.sessions_v4.load(Ordering::Relaxed)));
        rows.push(("sessions", "alive-v6", self.sessions_v6.load(Ordering::Relaxed)));
        rows.push(("workers", "restarts", self.restarts.load(Ordering::Relaxed)));
        rows
    }

    /// Sessions alive.
    pub fn sessions(&self) -> u64 {
        self.sessions_v4() + self.sessions_v6()
    }

    /// Of IPv4.
    pub fn sessions_v4(&self) -> u64 {
        self.sessions_v4.load(Ordering::Relaxed)
    }

    /// Of IPv6.
    pub fn sessions_v6(&self) -> u64 {
        self.sessions_v6.load(Ordering::Relaxed)
    }

    /// How is the port's link? `None` before it was first published.
    pub fn link(&self, port: usize) -> Option<Link> {
        let said = self.ports[port].0[LINK].load(Ordering::Relaxed) as usize;
        LINKS.get(said.wrapping_sub(1)).copied()
    }

    /// What a port counted.
    pub fn port(&self, port: usize) -> PortStats {
        let value = |at: usize| self.ports[port].0[at].load(Ordering::Relaxed);
        PortStats {
            rx_packets: value(0),
            rx_bytes: value(1),
            rx_missed: value(2),
            rx_errors: value(3),
            tx_packets: value(4),
            tx_bytes: value(5),
            tx_errors: value(6),
            link: self.link(port).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let page = StatsPage::new(2);
        let counters = Counters { received: 7, forwarded: 6, replied: 1, ..Counters::default() };
        page.publish(&counters, (3, 4));
        let stats = PortStats { rx_packets: 1, tx_errors: 9, link: Link::Gone, ..PortStats::default() };
        page.publish_port(1, &stats);
        let rows = page.counters();
        assert!(rows.contains(&("rx", "received", 7)) && rows.contains(&("end", "replied", 1)));
        assert!(rows.contains(&("sessions", "alive-v6", 4)));
        assert_eq!((page.port(1), page.port(0)), (stats, PortStats::default()));
        assert_eq!(page.sessions(), 7);
        assert_eq!((page.link(1), page.link(0)), (Some(Link::Gone), None));
    }
}
