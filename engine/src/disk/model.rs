//! A disk that stops working, or loses power, between any two steps.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use super::Disk;

/// A disk that loses power. A file is what was synced, or any part of what was written
/// since; its names are those of any moment since they were synced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Content that is safe, and content as written.
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) names: BTreeMap<String, usize>,
    /// The names as they were, from the last time they were synced on.
    past: Vec<BTreeMap<String, usize>>,
    /// Steps until the process is killed.
    pub(crate) fuse: Cell<usize>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model { past: vec![BTreeMap::new()], ..Model::default() }
    }

    fn step(&self) -> io::Result<()> {
        match self.fuse.get().checked_sub(1) {
            Some(left) => {
                self.fuse.set(left);
                Ok(())
            }
            None => Err(io::Error::other("killed")),
        }
    }

    fn renamed(&mut self) {
        self.past.push(self.names.clone());
    }

    /// Every disk that may be found when the power is back.
    pub(crate) fn after_power_loss(&self) -> Vec<Model> {
        let mut found = Vec::new();
        for names in &self.past {
            for kept in [0, 1, 2] {
                let left = |(safe, written): &(Vec<u8>, Vec<u8>)| match kept {
                    0 => safe.clone(),
                    1 if safe != written => written[..written.len() / 2].to_vec(),
                    _ => written.clone(),
                };
                let files: Vec<_> = self.files.iter().map(left).map(|content| (content.clone(), content)).collect();
                let (names, past) = (names.clone(), vec![names.clone()]);
                found.push(Model { files, names, past, fuse: Cell::new(usize::MAX) });
            }
        }
        found
    }

    pub(crate) fn after_kill(&self) -> Model {
        Model { fuse: Cell::new(usize::MAX), ..self.clone() }
    }
}

impl Disk for Model {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.names.get(name).map(|file| self.files[*file].1.clone()))
    }

    /// In two steps: a process may be killed with half of it written.
    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step()?;
        let file = match self.names.get(name) {
            Some(file) => *file,
            None => {
                self.files.push(Default::default());
                self.names.insert(name.to_owned(), self.files.len() - 1);
                self.renamed();
                self.files.len() - 1
            }
        };
        self.files[file].1 = content[..content.len() / 2].to_vec();
        self.step()?;
        self.files[file].1 = content.to_vec();
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        let (safe, written) = &mut self.files[self.names[name]];
        safe.clone_from(written);
        Ok(())
    }

    fn copy_rights(&mut self, _: &str, _: &str) -> io::Result<()> {
        self.step()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        self.names.remove(name);
        self.renamed();
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let file = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), file);
        self.renamed();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.step()?;
        self.past = vec![self.names.clone()];
        Ok(())
    }
}
