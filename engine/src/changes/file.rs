//! Another text in the place of the configuration file's.

use std::io;
use std::path::Path;

use crate::disk::{Disk, Folder};

/// A text that lies beside the configuration file and is safe there, ready to take its place.
pub(super) struct Staged<D = Folder> {
    folder: D,
    name: String,
}

impl Staged {
    /// Writes the text beside the file, or beside what that is a link to.
    ///
    /// # Errors
    /// There is no such file, or its folder cannot be written to.
    pub(super) fn beside(file: &Path, text: &str) -> io::Result<Staged> {
        let file = file.canonicalize()?;
        let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        Staged::write(Folder::open(folder)?, name, text)
    }
}

impl<D: Disk> Staged<D> {
    fn write(mut folder: D, name: &str, text: &str) -> io::Result<Staged<D>> {
        let draft = draft(name);
        folder.write(&draft, text.as_bytes())?;
        folder.copy_rights(name, &draft)?;
        folder.sync(&draft)?;
        Ok(Staged { folder, name: name.to_owned() })
    }

    /// It takes the place of the file's, at once and for good. If it stands there, but may not
    /// after a power cut, says why.
    ///
    /// # Errors
    /// It cannot; the file is as it was.
    pub(super) fn put(&mut self) -> io::Result<Option<io::Error>> {
        self.folder.rename(&draft(&self.name), &self.name)?;
        Ok(self.folder.sync_names().err())
    }

    /// It is not wanted any more.
    pub(super) fn discard(mut self) {
        // What stays behind is in nobody's way.
        let _ = self.folder.remove(&draft(&self.name));
    }
}

fn draft(name: &str) -> String {
    format!(".{name}.new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::model::Model;

    const OLD: &str = "gateway.name = \"old\"\n";
    const NEW: &str = "gateway.name = \"new\"\n";

    fn disk() -> Model {
        let mut disk = Model::new();
        disk.fuse.set(usize::MAX);
        disk.write("g.toml", OLD.as_bytes()).expect("a model");
        disk.sync("g.toml").expect("a model");
        disk.sync_names().expect("a model");
        disk
    }

    fn content(disk: &Model) -> String {
        String::from_utf8(disk.read("g.toml").expect("a model").expect("it is there")).expect("text")
    }

    #[test]
    fn the_file_is_the_old_or_the_new_one_whenever_it_ends() {
        // Two steps write, then rights, sync, rename and the folder's sync.
        for killed_after in 0..=6 {
            let disk = disk();
            disk.fuse.set(killed_after);
            let done = Staged::write(disk.clone(), "g.toml", NEW).map(|mut staged| {
                // What it says is what stands there.
                match staged.put() {
                    Ok(unsure) => {
                        assert_eq!((unsure.is_some(), content(&staged.folder)), (killed_after == 5, NEW.to_owned()));
                    }
                    Err(_) => assert!(killed_after < 5 && content(&staged.folder) == OLD, "{killed_after}"),
                }
                staged
            });
            let Ok(staged) = done else {
                assert!(killed_after < 4);
                continue;
            };
            for left in staged.folder.after_power_loss().into_iter().chain([staged.folder.after_kill()]) {
                let found = content(&left);
                assert!(found == NEW || (killed_after < 6 && found == OLD), "{killed_after}: {found:?}");
            }
        }
    }

    #[test]
    fn until_it_is_put_there_whatever_happens_leaves_the_old_one() {
        for killed_after in 0..=4 {
            let disk = disk();
            disk.fuse.set(killed_after);
            let left = match Staged::write(disk.clone(), "g.toml", NEW) {
                Ok(staged) => staged.folder,
                Err(_) => disk,
            };
            for left in left.after_power_loss().into_iter().chain([left.after_kill()]) {
                assert_eq!(content(&left), OLD, "{killed_after}");
            }
        }
    }

    #[test]
    fn what_a_link_leads_to_is_replaced_and_keeps_its_rights() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = causeway_tests::folder::Folder::new();
        folder.write("real.toml", OLD);
        let real = folder.path().join("real.toml");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("our file");
        let link = folder.path().join("link.toml");
        symlink("real.toml", &link).expect("a link");
        let unsure = Staged::beside(&link, NEW).and_then(|mut staged| staged.put()).expect("a writable folder");
        assert!(unsure.is_none(), "{unsure:?}");
        assert_eq!(std::fs::read_to_string(&real).expect("a file"), NEW);
        assert!(std::fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(std::fs::metadata(&real).expect("a file").permissions().mode() & 0o777, 0o640);
        Staged::beside(&link, OLD).expect("a writable folder").discard();
        assert_eq!(folder.names(), ["link.toml", "real.toml"]);
    }
}
