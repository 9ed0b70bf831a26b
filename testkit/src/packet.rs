//! Frames by description: Ethernet, then ARP or IP, then a transport, then
//! [`Build::build`].
//!
//! Import the module whole (`use causeway_testkit::packet::*`): the traits
//! [`Network`], [`Transport`] and [`Build`] carry methods that the layers share.
//! Whatever is not set comes out right; whatever a real sender could get wrong
//! can be set to lie (lengths, versions, checksums, missing or surplus bytes).
//!
//! ```
//! use causeway_testkit::packet::*;
//!
//! let syn = eth().ipv6("fd00:10::1", "2001:db8::1").tcp(40000, 443).flags(SYN).mss(1440).build();
//! let lie = eth().ipv4("10.1.1.1", "10.2.2.2").total_length(9000).udp(1, 2).build();
//! let sent = eth().ipv4("203.0.113.16", "198.51.100.9").ttl(1).udp(5000, 33434);
//! let error = eth()
//!     .ipv4("198.51.100.1", "203.0.113.16")
//!     .icmp_error(11, 0, [0; 4], &sent.quote(28))
//!     .build();
//! # assert_eq!((syn.len(), lie.len(), error.len()), (78, 42, 70));
//! ```

mod address;
mod arp;
mod build;
mod icmp;
mod ipv4;
mod ipv6;
mod link;
mod network;
mod other;
mod tcp;
mod udp;

pub use address::{BROADCAST, Mac, ToIp, ToIpv4, ToIpv6, ToMac, multicast_mac, solicited_node};
pub use arp::Arp;
pub use build::{Build, Transport, quote};
pub use icmp::Icmp;
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use link::{Eth, RawFrame, eth};
pub use network::{Ip, Network};
pub use other::Raw;
pub use tcp::{ACK, CWR, ECE, FIN, PSH, RST, SYN, Tcp, URG};
pub use udp::Udp;
