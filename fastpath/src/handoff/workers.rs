//! Which worker is whose.

use crate::address::{Address, GOLDEN};
use crate::ids::{VrfId, WorkerId};

/// The workers of a gateway, as one of them sees them.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    me: WorkerId,
    count: u16,
    secret: u64,
}

impl Workers {
    /// The one worker of a gateway.
    pub const ALONE: Workers = Workers { me: WorkerId(0), count: 1, secret: 0 };

    /// One of `count` workers. All of them must know one `secret`, which keeps outsiders
    /// from choosing hosts that share a worker.
    ///
    /// # Panics
    /// There is no such worker among so many.
    pub fn new(me: WorkerId, count: u16, secret: u64) -> Workers {
        assert!(me.0 < count, "a worker is one of all");
        Workers { me, count, secret }
    }

    /// Which one this is.
    #[inline(always)]
    pub fn me(&self) -> WorkerId {
        self.me
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Is there no other?
    #[inline(always)]
    pub fn is_alone(&self) -> bool {
        self.count == 1
    }

    /// The worker of a host inside: all its sessions live there.
    #[inline]
    pub fn home<A: Address>(&self, vrf: VrfId, host: A) -> WorkerId {
        self.draw(host.mix(self.secret ^ u64::from(vrf.0)))
    }

    /// The worker that gives out this port, or identifier, of any pool.
    #[inline]
    pub fn of_port(&self, port: u16) -> WorkerId {
        WorkerId(port % self.count)
    }

    /// Is this port of a pool, whose ports are `dealt_out` or not, another worker's to give?
    #[inline]
    pub(crate) fn give_elsewhere(&self, dealt_out: bool, port: u16) -> bool {
        dealt_out && self.of_port(port) != self.me
    }

    /// The secret that says under which address of a pool a host is.
    pub(crate) fn pairing(&self) -> u64 {
        self.secret.rotate_left(32) ^ GOLDEN
    }

    /// The worker that knows the fragments of a pair of hosts outside.
    pub fn of_fragments<A: Address>(&self, src: A, dst: A) -> WorkerId {
        self.draw(src.mix(dst.mix(self.secret ^ GOLDEN)))
    }

    /// From the upper bits of a hash: others of its uses take it modulo something.
    fn draw(&self, hash: u64) -> WorkerId {
        WorkerId(((u64::from((hash >> 32) as u32) * u64::from(self.count)) >> 32) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_dealt_out_evenly() {
        for count in [1, 2, 3, 8] {
            let workers = Workers::new(WorkerId(0), count, 7);
            let (mut hosts, mut ports) = ([0; 8], [0; 8]);
            for number in 0..24_000u16 {
                hosts[workers.home(VrfId(1), 0x0a01_0000 + u32::from(number)).index()] += 1;
                ports[workers.of_port(number).index()] += 1;
            }
            let share = 24_000 / usize::from(count);
            assert!(hosts[..usize::from(count)].iter().all(|own| (share * 9 / 10..share * 11 / 10).contains(own)));
            assert!(ports[..usize::from(count)].iter().all(|own| *own == share));
        }
    }

    #[test]
    fn whoever_does_not_know_the_secret_cannot_say_whose_a_host_is() {
        let (one, other) = (Workers::new(WorkerId(0), 2, 7), Workers::new(WorkerId(0), 2, 8));
        let differ = (0..1_000u32).filter(|host| one.home(VrfId(1), *host) != other.home(VrfId(1), *host)).count();
        assert!((300..700).contains(&differ), "{differ} of 1000");
    }
}
