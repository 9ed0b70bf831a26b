//! A folder that files are kept in, step by step, so that a test can stop between any two.

#[cfg(test)]
pub(crate) mod model;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is done to the files of one folder.
pub(crate) trait Disk {
    /// The content of a file; `None` if there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes or replaces a file. It may be lost, whole or in part, until it is synced.
    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()>;
    /// The file's content outlives the power.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file the rights that another one has.
    fn copy_rights(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a name away. Nothing, if nobody has it.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// The names that there are, in any order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, which it takes from whoever has it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// The names outlive the power.
    fn sync_names(&mut self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens it, and makes it if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        fs::create_dir_all(path)?;
        Ok(Folder::at(path))
    }

    /// One that need not be there to be read.
    pub(super) fn at(path: &Path) -> Folder {
        Folder(path.to_owned())
    }
}

impl Disk for Folder {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        // Configurations and seeds are nobody else's business, unless somebody says so.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.0.join(name))?.write_all(content)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn copy_rights(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::set_permissions(self.0.join(to), fs::metadata(self.0.join(from))?.permissions())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
        fs::read_dir(&self.0)?.filter_map(|entry| name(entry).transpose()).collect()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}
