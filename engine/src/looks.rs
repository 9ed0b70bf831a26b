//! Whether a file is another than before.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// By what a changed file is known, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Looks {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    /// Those of the file that a path leads to.
    pub(crate) fn of(path: &Path) -> io::Result<Looks> {
        let metadata = std::fs::metadata(path)?;
        Ok(Looks {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
