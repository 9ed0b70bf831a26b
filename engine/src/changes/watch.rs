//! Whether the configuration file has changed, and somebody is done with it.

use std::path::Path;
use std::time::Duration;

use causeway_fastpath::time::Instant;

use crate::looks::Looks;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What was seen of the file.
pub(super) struct Watch {
    /// When the file in force was read or written.
    used: Option<Looks>,
    /// At the last look.
    seen: Option<Looks>,
    next: Instant,
}

impl Watch {
    /// The file is in force as it is now: to be made before it is read.
    pub(super) fn new(file: &Path) -> Watch {
        let looks = Looks::of(file).ok();
        Watch { used: looks, seen: looks, next: Instant::ZERO }
    }

    /// This is in force, and was just written to the file. If something else stands there,
    /// somebody has changed it since.
    pub(super) fn wrote(file: &Path, text: &str) -> Watch {
        let mut watch = Watch::new(file);
        if std::fs::read(file).is_ok_and(|content| content != text.as_bytes()) {
            watch.used = None;
        }
        watch
    }

    /// Is the file another than the one that is used, and the same as at the last look, so that
    /// it is not being written? Said once for each change; a file that is missing is none.
    pub(super) fn has_changed(&mut self, file: &Path, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + LOOK;
        let looks = Looks::of(file).ok();
        let rests = std::mem::replace(&mut self.seen, looks) == looks;
        let has_changed = rests && looks.is_some() && looks != self.used;
        if has_changed {
            self.used = looks;
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_said_once_and_not_before_the_file_rests() {
        let folder = causeway_tests::folder::Folder::new();
        folder.write("g.toml", "a");
        let file = folder.path().join("g.toml");
        let mut watch = Watch::new(&file);
        let mut now = Instant::ZERO;
        let mut looks = |watch: &mut Watch| {
            now = now + LOOK;
            watch.has_changed(&file, now)
        };
        assert!(!looks(&mut watch));
        folder.write("g.toml", "half");
        assert!(!looks(&mut watch), "it may be being written");
        folder.write("g.toml", "the whole of it");
        assert!(!looks(&mut watch));
        assert!(looks(&mut watch));
        assert!(!looks(&mut watch));
        std::fs::remove_file(folder.path().join("g.toml")).expect("it is there");
        assert!(!looks(&mut watch) && !looks(&mut watch));
        folder.write("g.toml", "another");
        assert!(!looks(&mut watch) && looks(&mut watch));
    }

    #[test]
    fn what_others_write_over_what_was_written_is_a_change() {
        let folder = causeway_tests::folder::Folder::new();
        folder.write("g.toml", "of somebody else");
        let file = folder.path().join("g.toml");
        let (mut own, mut others) = (Watch::wrote(&file, "of somebody else"), Watch::wrote(&file, "our own"));
        let now = Instant::from_millis(1_000);
        assert!(!own.has_changed(&file, now) && others.has_changed(&file, now));
    }

    #[test]
    fn it_is_looked_at_each_second() {
        let folder = causeway_tests::folder::Folder::new();
        folder.write("g.toml", "a");
        let file = folder.path().join("g.toml");
        let mut watch = Watch::new(&file);
        folder.write("g.toml", "changed");
        let looks = |watch: &mut Watch, ms| watch.has_changed(&file, Instant::from_millis(ms));
        assert!(!looks(&mut watch, 5_000) && !looks(&mut watch, 5_999) && looks(&mut watch, 6_000));
    }
}
