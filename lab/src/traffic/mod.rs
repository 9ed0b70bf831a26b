//! Real traffic between hosts of a world, and what came of it.
//!
//! Each function is bounded in time and in what it sends, and returns figures
//! without judging them: that is what [`checks`](crate::checks) and tests do.

mod dns;
mod flows;
mod inbound;
mod ping;
mod socket;
mod tcp;
mod trace;
mod udp;
mod witness;

pub use dns::{DnsAnswer, resolve};
pub use flows::{Arrivals, Flow, udp_flows};
pub use inbound::{Attempt, Bait, connect_to, throw_datagrams};
pub use ping::{PingFigures, ping};
pub use tcp::{TcpFigures, Transfer, tcp_exchange};
pub use trace::{Hop, trace};
pub use udp::{UdpFigures, UdpStreamFigures, udp_exchange, udp_stream};
pub use witness::Witness;
