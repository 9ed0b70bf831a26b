//! Sessions: who talks to whom, under which outside name, and until when.

mod filter;
mod index;
mod key;
mod record;
mod reference;
mod table;
pub mod tcp;
mod wheel;
pub mod window;

pub use filter::{Block, Condition, End, SessionFilter};
pub use index::Index;
pub use key::{FlowKey, Seed};
pub use record::{Direction, Found, Session};
pub use table::{SessionTable, TableFull, Tally};
pub use wheel::Wheel;

#[cfg(test)]
mod twin_tests;
