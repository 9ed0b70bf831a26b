//! Chance, handed in as a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::session::Seed;

/// The source of unpredictable choices: ports (RFC 6056) and hash seeds.
///
/// ChaCha with eight rounds: somebody who sees every port that was chosen cannot
/// tell the next one. The same seed gives the same choices.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// From a seed.
    pub fn new(seed: [u8; 32]) -> Chance {
        Chance(ChaCha8Rng::from_seed(seed))
    }

    /// A port of `first..=last`, each as likely as the other to within 2^-16.
    pub fn port(&mut self, first: u16, last: u16) -> u16 {
        let span = u32::from(last - first) + 1;
        let scaled = (u64::from(self.0.next_u32()) * u64::from(span)) >> 32;
        first + scaled as u16
    }

    /// A number below `count`, each as likely as the other to within `count` in 2^32.
    pub fn below(&mut self, count: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(count)) >> 32) as u32
    }

    /// A seed for a hash table.
    pub fn seed(&mut self) -> Seed {
        Seed([self.0.next_u64(), self.0.next_u64()])
    }
}
