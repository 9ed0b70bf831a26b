//! A directory for the few files of one lab.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory of our own, readable by nobody else; removed when dropped. One that a
/// killed lab left is removed by the next.
#[derive(Debug)]
pub(crate) struct ScratchDir {
    path: PathBuf,
    /// Locked as long as its lab lives, however that ends.
    _lock: File,
}

const PREFIX: &str = "causeway-lab-";

impl ScratchDir {
    /// Makes `causeway-lab-PID-N` in the system's directory for temporary files.
    pub(crate) fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    fn new_in(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let process = std::process::id();
        for attempt in 0..100 {
            let path = parent.join(format!("{PREFIX}{process}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Another lab may sweep it away before it is locked: then again.
            let Ok(lock) = File::open(&path) else { continue };
            lock.lock()?;
            if path.exists() {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("100 directories {PREFIX}{process}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // Nobody is left to tell if it fails.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what labs left that were killed: their directories are not locked.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_scratch = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        // Other users' directories do not open.
        if is_scratch
            && let Ok(lock) = File::open(entry.path())
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_with_its_files() {
        let scratch = ScratchDir::new().unwrap();
        let file = scratch.write("lab.toml", "text").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn the_directory_of_a_dead_lab_is_swept_and_that_of_a_living_one_is_not() {
        let parent = ScratchDir::new().unwrap();
        let dead = parent.path().join(format!("{PREFIX}1-0"));
        let unrelated = parent.path().join("unrelated");
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&unrelated).unwrap();
        let living = ScratchDir::new_in(parent.path()).unwrap();
        assert!(!dead.exists());
        let second = ScratchDir::new_in(parent.path()).unwrap();
        assert!(living.path().exists() && second.path().exists() && unrelated.exists());
    }
}
