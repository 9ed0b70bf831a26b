//! What the tests of the whole program share.
//!
//! A [`Stage`](stage::Stage) is a world in namespaces with the real program as its
//! gateway; [`program`] runs real programs on its hosts, [`capture`] looks at its
//! wires and [`injector`] throws frames at them. [`needs`] says what a machine must
//! offer for that.

pub mod capture;
pub mod counters;
pub mod executable;
pub mod folder;
pub mod injector;
pub mod needs;
pub mod program;
pub mod stage;
pub mod testpmd;

/// The top of the source tree.
pub fn top() -> &'static std::path::Path {
    std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
