//! The command line, as its users meet it.

mod check;
mod ipam;
mod lab;
mod live;
mod pages;
mod pipes;
mod replay;
mod replayed;

use std::process::Command;
use std::time::Duration;

use causeway_tests::executable::executable;
use causeway_tests::program::{Finished, run};

/// How long a command may take that is not a download.
const SOON: Duration = Duration::from_secs(10);

/// `causeway ARGUMENTS`.
fn causeway<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    run(Command::new(executable()).args(arguments), SOON)
}
