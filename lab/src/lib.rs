//! Small worlds in network namespaces.
//!
//! `causeway lab`, the end-to-end tests and the end-to-end benches stand on this
//! crate. It builds nodes with pods, a gateway and an outside out of namespaces
//! and veth pairs, sends real kernel traffic between them, and needs no program
//! but itself.
//!
//! Start with [`World::island`], then [`traffic`], then [`gateway::Gateway`]; [`run`]
//! puts all three together.

pub mod checks;
mod driver;
pub mod error;
pub mod gateway;
mod interrupt;
mod island;
mod keep;
mod lab;
mod narrate;
pub mod netlink;
pub mod netns;
pub mod plan;
pub mod privilege;
pub mod report;
mod scratch;
mod sysctl;
pub mod traffic;
pub mod world;

pub use driver::{Driver, UnknownDriver};
pub use island::IslandBuilder;
pub use lab::{LabError, LabOptions, run};
pub use narrate::Style;
pub use report::Report;
pub use world::{Host, World};
