//! Nodes and pods from files, which are read again when they change.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_control::config::ClusterIdx;
use causeway_control::feed::Update;
use causeway_control::nodes::read_nodes;
use causeway_control::pods::read_pods;
use causeway_kubernetes::{Said, What};
use tracing::{info, warn};

use super::mailbox::Mailbox;
use crate::wake::{Doorbell, readable, sleep};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(1);
/// A list of 65 536 nodes is not that large.
const LARGEST: u64 = 1 << 30;

/// Looks at the files until `stop` rings.
pub(super) fn watch(files: Vec<(ClusterIdx, PathBuf, What)>, mailbox: &Mailbox, stop: &Doorbell) {
    let watched = |(cluster, path, what)| (cluster, Watched::new(path, what));
    let mut files: Vec<_> = files.into_iter().map(watched).collect();
    let mut fds = [readable(stop.fd())];
    while fds[0].revents == 0 {
        for (cluster, file) in &mut files {
            for said in file.look() {
                mailbox.put(*cluster, said);
            }
        }
        sleep(&mut fds, LOOK);
    }
}

/// A file, and what was found when it was last read.
struct Watched {
    path: PathBuf,
    /// What it holds. A file of pods holds namespaces, too.
    what: What,
    /// How it looked then; `None` if it could not be read.
    seen: Option<Looks>,
    /// Why it could not be used then.
    fault: Option<String>,
}

/// By what a changed file is known, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Looks {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    fn of(metadata: &Metadata) -> Looks {
        Looks {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Watched {
    fn new(path: PathBuf, what: What) -> Watched {
        Watched { path, what, seen: None, fault: None }
    }

    /// What is to be said, if the file is another than at the last look.
    fn look(&mut self) -> Vec<Said> {
        let looks = std::fs::metadata(&self.path).map(|metadata| Looks::of(&metadata));
        if let Ok(looks) = looks
            && self.seen == Some(looks)
        {
            return Vec::new();
        }
        self.seen = looks.ok();
        let path = self.path.display();
        let bytes = read_bounded(&self.path).map_err(|error| format!("{path}: {error}"));
        match bytes.and_then(|bytes| read(&self.what, &bytes).map_err(|why| format!("{path} {why}"))) {
            Ok(said) => {
                info!(%path, "the file was read");
                self.fault = None;
                said
            }
            Err(why) if self.fault.as_ref() == Some(&why) => Vec::new(),
            Err(why) => {
                warn!(why, "all stays as it was");
                self.fault = Some(why.clone());
                match self.what {
                    What::Nodes => vec![Said::Nodes(Update::Away(why))],
                    _ => vec![Said::Pods(Update::Away(why.clone())), Said::Namespaces(Update::Away(why))],
                }
            }
        }
    }
}

/// What a file says.
fn read(what: &What, bytes: &[u8]) -> Result<Vec<Said>, String> {
    let (What::Pods(selectors) | What::Namespaces(selectors)) = what else {
        return Ok(vec![Said::Nodes(Update::All(read_nodes(bytes)?)), Said::Nodes(Update::InStep)]);
    };
    let (pods, namespaces) = read_pods(bytes)?;
    let pods = pods.iter().filter_map(|pod| selectors.choose(pod)).collect();
    let namespaces = namespaces.iter().filter_map(|namespace| selectors.choose_namespace(namespace)).collect();
    Ok(vec![
        Said::Pods(Update::All(pods)),
        Said::Pods(Update::InStep),
        Said::Namespaces(Update::All(namespaces)),
        Said::Namespaces(Update::InStep),
    ])
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
    use causeway_control::pods::Selectors;
    use causeway_tests::folder::Folder;

    const ONE: &str = r#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}}]}"#;

    #[test]
    fn a_file_is_read_when_it_comes_and_changes_and_not_otherwise() {
        let folder = Folder::new();
        let mut file = Watched::new(folder.path().join("nodes.json"), What::Nodes);
        assert!(
            matches!(file.look().as_slice(), [Said::Nodes(Update::Away(why))] if why.contains("nodes.json: No such file"))
        );
        assert_eq!(file.look(), [], "once is enough to say it");
        folder.write("nodes.json", ONE);
        assert!(
            matches!(file.look().as_slice(), [Said::Nodes(Update::All(nodes)), Said::Nodes(Update::InStep)] if nodes.len() == 1)
        );
        assert_eq!(file.look(), []);
        // Of the same size, and within the same second.
        folder.write("other.json", ONE.replace("\"a\"", "\"b\""));
        std::fs::rename(folder.path().join("other.json"), folder.path().join("nodes.json")).expect("a rename");
        assert!(
            matches!(file.look().as_slice(), [Said::Nodes(Update::All(nodes)), Said::Nodes(Update::InStep)] if nodes[0].name == "b")
        );
        folder.write("nodes.json", "{");
        assert!(
            matches!(file.look().as_slice(), [Said::Nodes(Update::Away(why))] if why.contains("kubectl get nodes -o json"))
        );
        assert_eq!(file.look(), []);
        folder.write("nodes.json", ONE);
        assert_eq!(file.look().len(), 2);
        std::fs::remove_file(folder.path().join("nodes.json")).expect("it was there");
        assert!(matches!(file.look().as_slice(), [Said::Nodes(Update::Away(_))]));
        folder.write("nodes.json", ONE);
        assert_eq!(file.look().len(), 2, "and it is up to date again");
    }

    #[test]
    fn a_file_of_pods_tells_namespaces_too() {
        let folder = Folder::new();
        folder.write("pods.json", r#"{"kind":"Namespace","metadata":{"name":"shop"}}"#);
        let mut file = Watched::new(folder.path().join("pods.json"), What::Pods(Selectors::default()));
        let said = file.look();
        let [Said::Pods(Update::All(pods)), _, Said::Namespaces(Update::All(_)), _] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert!(pods.is_empty());
        folder.write("pods.json", "{");
        let away = file.look();
        assert!(matches!(away.as_slice(), [Said::Pods(Update::Away(_)), Said::Namespaces(Update::Away(_))]));
    }
}
