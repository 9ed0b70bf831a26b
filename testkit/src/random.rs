//! Random traffic: valid frames of every kind, and frames mangled on purpose.
//!
//! Everything follows from the [`Rng`](crate::seed::Rng) that is handed in. A
//! property test with proptest takes the generator's seed as its input.
//!
//! ```
//! use causeway_testkit::{checksum, random, seed::Seed};
//!
//! let seed = Seed::from_env_or(1);
//! let mut rng = seed.rng();
//! let frame = random::frame(&mut rng);
//! assert_eq!(checksum::verify(&frame), Ok(()));
//! let hostile = random::mangle(&mut rng, &frame);
//! ```

mod frame;
mod mangle;

pub use frame::{Kind, frame, frame_of, ipv4_address, ipv6_address};
pub use mangle::mangle;
