//! Nodes from files, which are read again when they change.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_control::config::ClusterIdx;
use causeway_control::nodes::{Update, read_nodes};
use tracing::{info, warn};

use super::mailbox::Mailbox;
use crate::looks::Looks;
use crate::wake::{Doorbell, readable, sleep};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(1);
/// A list of 65 536 nodes is not that large.
const LARGEST: u64 = 1 << 30;

/// Looks at the files until `stop` rings.
pub(super) fn watch(files: Vec<(ClusterIdx, PathBuf)>, mailbox: &Mailbox, stop: &Doorbell) {
    let mut files: Vec<_> = files.into_iter().map(|(cluster, path)| (cluster, Watched::new(path))).collect();
    let mut fds = [readable(stop.fd())];
    while fds[0].revents == 0 {
        for (cluster, file) in &mut files {
            for update in file.look() {
                mailbox.put(*cluster, update);
            }
        }
        sleep(&mut fds, LOOK);
    }
}

/// A file, and what was found when it was last read.
struct Watched {
    path: PathBuf,
    /// How it looked then; `None` if it could not be read.
    seen: Option<Looks>,
    /// Why it could not be used then.
    fault: Option<String>,
}

impl Watched {
    fn new(path: PathBuf) -> Watched {
        Watched { path, seen: None, fault: None }
    }

    /// What is to be said, if the file is another than at the last look.
    fn look(&mut self) -> Vec<Update> {
        let looks = Looks::of(&self.path);
        if let Ok(looks) = looks
            && self.seen == Some(looks)
        {
            return Vec::new();
        }
        self.seen = looks.ok();
        let path = self.path.display();
        let nodes = read_bounded(&self.path).map_err(|error| format!("{path}: {error}"));
        match nodes.and_then(|bytes| read_nodes(&bytes).map_err(|why| format!("{path} {why}"))) {
            Ok(nodes) => {
                info!(%path, nodes = nodes.len(), "nodes were read");
                self.fault = None;
                vec![Update::All(nodes), Update::InStep]
            }
            Err(why) if self.fault.as_ref() == Some(&why) => Vec::new(),
            Err(why) => {
                warn!(why, "nodes stay as they were");
                self.fault = Some(why.clone());
                vec![Update::Away(why)]
            }
        }
    }
}

/// Never more than a byte over the bound.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("is larger than 1 GiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_tests::folder::Folder;

    const ONE: &str = r#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}}]}"#;

    #[test]
    fn a_file_is_read_when_it_comes_and_changes_and_not_otherwise() {
        let folder = Folder::new();
        let mut file = Watched::new(folder.path().join("nodes.json"));
        assert!(matches!(file.look().as_slice(), [Update::Away(why)] if why.contains("nodes.json: No such file")));
        assert_eq!(file.look(), [], "once is enough to say it");
        folder.write("nodes.json", ONE);
        assert!(matches!(file.look().as_slice(), [Update::All(nodes), Update::InStep] if nodes.len() == 1));
        assert_eq!(file.look(), []);
        // Of the same size, and within the same second.
        folder.write("other.json", ONE.replace("\"a\"", "\"b\""));
        std::fs::rename(folder.path().join("other.json"), folder.path().join("nodes.json")).expect("a rename");
        assert!(matches!(file.look().as_slice(), [Update::All(nodes), Update::InStep] if nodes[0].name == "b"));
        folder.write("nodes.json", "{");
        assert!(matches!(file.look().as_slice(), [Update::Away(why)] if why.contains("kubectl get nodes -o json")));
        assert_eq!(file.look(), []);
        folder.write("nodes.json", ONE);
        assert_eq!(file.look().len(), 2);
        std::fs::remove_file(folder.path().join("nodes.json")).expect("it was there");
        assert!(matches!(file.look().as_slice(), [Update::Away(_)]));
        folder.write("nodes.json", ONE);
        assert_eq!(file.look().len(), 2, "and it is up to date again");
    }
}
