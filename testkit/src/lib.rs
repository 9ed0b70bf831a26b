//! Packets for tests.
//!
//! Tests build bytes with [`packet`], compare whole frames with
//! [`print::assert_frames_eq`], prove checksums with [`checksum::verify`], keep
//! captures with [`pcap`] and draw random traffic from [`random`] under a
//! reproducible [`seed`]. Nothing here comes from the gateway's own crates, so
//! its parser is never tested by its own emitter.
//!
//! ```
//! use causeway_testkit::packet::*;
//! use causeway_testkit::{checksum, print};
//!
//! let frame = eth()
//!     .ipv4("10.1.1.10", "203.0.113.10")
//!     .ttl(64)
//!     .df()
//!     .udp(5000, 53)
//!     .payload(b"hello")
//!     .build();
//! assert_eq!(checksum::verify(&frame), Ok(()));
//! assert!(print::line(&frame).contains("10.1.1.10 > 203.0.113.10"));
//! ```

pub mod checksum;
pub mod memory;
pub mod packet;
pub mod pcap;
pub mod print;
pub mod random;
pub mod seed;
