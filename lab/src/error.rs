//! What goes wrong while a world is built.

use std::io;

/// A step of building or changing a world that the kernel refused.
///
/// Reads as a sentence: `adding 10.1.1.1/24 to cni0: File exists (os error 17)`.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct SetupError {
    /// What was being done, as a participle: "creating the bridge cni0".
    pub step: String,
    /// The kernel's answer.
    pub source: io::Error,
}

/// Names the step that an [`io::Error`] interrupted.
pub(crate) trait During<T> {
    /// The same result, its error now saying what was being done.
    fn during(self, step: impl FnOnce() -> String) -> Result<T, SetupError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, step: impl FnOnce() -> String) -> Result<T, SetupError> {
        self.map_err(|source| SetupError { step: step(), source })
    }
}
