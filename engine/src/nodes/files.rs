//! Nodes from files, which are read again when they change.

mod folder;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_control::config::ClusterIdx;
use causeway_control::nodes::{NodeFact, Update, read_nodes};
use ipnet::IpNet;
use tracing::{info, warn};

use super::mailbox::Mailbox;
use crate::looks::Looks;
use crate::wake::{Doorbell, readable, sleep};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(1);
/// A list of 65 536 nodes is not that large.
const LARGEST: u64 = 1 << 30;

/// Where nodes stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// A file with what kubectl prints.
    List(PathBuf),
    /// A folder with flannel's files.
    Flannel {
        folder: PathBuf,
        /// Those of the cluster.
        pod_cidrs: Vec<IpNet>,
    },
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Place::List(path) => path,
            Place::Flannel { folder, .. } => folder,
        }
    }

    fn looks(&self) -> io::Result<BTreeMap<PathBuf, Looks>> {
        match self {
            Place::List(path) => Ok(BTreeMap::from([(path.clone(), Looks::of(path)?)])),
            Place::Flannel { folder, .. } => folder::looks(folder),
        }
    }

    /// The nodes, and what is hardly meant so.
    fn read(&self) -> Result<(Vec<NodeFact>, Vec<String>), String> {
        match self {
            Place::List(file) => {
                let path = file.display();
                let bytes = read_bounded(file, LARGEST).map_err(|error| format!("{path}: {error}"))?;
                Ok((read_nodes(&bytes).map_err(|why| format!("{path} {why}"))?, Vec::new()))
            }
            Place::Flannel { folder, pod_cidrs } => {
                let found = folder::read(folder, pod_cidrs)?;
                Ok((found.nodes, found.remarks))
            }
        }
    }
}

/// Looks at the files until `stop` rings.
pub(super) fn watch(places: Vec<(ClusterIdx, Place)>, mailbox: &Mailbox, stop: &Doorbell) {
    let mut files: Vec<_> = places.into_iter().map(|(cluster, place)| (cluster, Watched::new(place))).collect();
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

/// What stands there now.
pub(super) fn read(place: Place) -> Vec<Update> {
    Watched::new(place).look()
}

/// A place, and what was found when it was last read.
struct Watched {
    place: Place,
    /// How its files looked then; `None` if that could not be seen.
    seen: Option<BTreeMap<PathBuf, Looks>>,
    /// Why they could not be used then.
    fault: Option<String>,
    remarks: Vec<String>,
}

impl Watched {
    fn new(place: Place) -> Watched {
        Watched { place, seen: None, fault: None, remarks: Vec::new() }
    }

    /// What is to be said, if a file is another than at the last look.
    fn look(&mut self) -> Vec<Update> {
        let looks = self.place.looks().ok();
        if looks.is_some() && self.seen == looks {
            return Vec::new();
        }
        self.seen = looks;
        match self.place.read() {
            Ok((nodes, remarks)) => {
                info!(path = %self.place.path().display(), nodes = nodes.len(), "nodes were read");
                for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
                    warn!(path = %self.place.path().display(), "{remark}");
                }
                (self.fault, self.remarks) = (None, remarks);
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
fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("is larger than {} KiB", most >> 10)));
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
        let mut file = Watched::new(Place::List(folder.path().join("nodes.json")));
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
