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

    /// A word, each as likely as the other.
    #[inline]
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
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
