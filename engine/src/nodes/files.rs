//! Nodes and pods from files, which are read again when they change.

mod folder;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_control::config::ClusterIdx;
use causeway_control::feed::Update;
use causeway_control::nodes::read_nodes;
use causeway_control::pods::read_pods;
use causeway_kubernetes::{Said, What};
use ipnet::IpNet;
use tracing::{info, warn};

use super::mailbox::Mailbox;
use crate::looks::Looks;
use crate::wake::{Doorbell, readable, sleep};

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(1);
/// A list of 65 536 nodes is not that large.
const LARGEST: u64 = 1 << 30;

/// Where nodes or pods stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// A file with what kubectl prints. One of pods holds namespaces, too.
    List(PathBuf, What),
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
            Place::List(path, _) => path,
            Place::Flannel { folder, .. } => folder,
        }
    }

    fn looks(&self) -> io::Result<BTreeMap<PathBuf, Looks>> {
        match self {
            Place::List(path, _) => Ok(BTreeMap::from([(path.clone(), Looks::of(path)?)])),
            Place::Flannel { folder, .. } => folder::looks(folder),
        }
    }

    /// What it says, and what is hardly meant so.
    fn read(&self) -> Result<(Vec<Said>, Vec<String>), String> {
        match self {
            Place::List(file, what) => {
                let path = file.display();
                let bytes = read_bounded(file, LARGEST).map_err(|error| format!("{path}: {error}"))?;
                Ok((read_list(what, &bytes).map_err(|why| format!("{path} {why}"))?, Vec::new()))
            }
            Place::Flannel { folder, pod_cidrs } => {
                let found = folder::read(folder, pod_cidrs)?;
                Ok((vec![Said::Nodes(Update::All(found.nodes)), Said::Nodes(Update::InStep)], found.remarks))
            }
        }
    }

    /// It cannot be read.
    fn away(&self, why: String) -> Vec<Said> {
        match self {
            Place::List(_, What::Pods(_) | What::Namespaces(_)) => {
                vec![Said::Pods(Update::Away(why.clone())), Said::Namespaces(Update::Away(why))]
            }
            Place::List(_, What::Nodes) | Place::Flannel { .. } => vec![Said::Nodes(Update::Away(why))],
        }
    }
}

/// Looks at the files until `stop` rings.
pub(super) fn watch(places: Vec<(ClusterIdx, Place)>, mailbox: &Mailbox, stop: &Doorbell) {
    let mut files: Vec<_> = places.into_iter().map(|(cluster, place)| (cluster, Watched::new(place))).collect();
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

/// What stands there now.
pub(super) fn read(place: Place) -> Vec<Said> {
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
    fn look(&mut self) -> Vec<Said> {
        let looks = self.place.looks().ok();
        if looks.is_some() && self.seen == looks {
            return Vec::new();
        }
        self.seen = looks;
        let path = self.place.path().display();
        match self.place.read() {
            Ok((said, remarks)) => {
                info!(%path, "it was read");
                for remark in remarks.iter().filter(|remark| !self.remarks.contains(remark)) {
                    warn!(%path, "{remark}");
                }
                (self.fault, self.remarks) = (None, remarks);
                said
            }
            Err(why) if self.fault.as_ref() == Some(&why) => Vec::new(),
            Err(why) => {
                warn!(why, "all stays as it was");
                self.fault = Some(why.clone());
                self.place.away(why)
            }
        }
    }
}

/// What a list says.
fn read_list(what: &What, bytes: &[u8]) -> Result<Vec<Said>, String> {
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
    use causeway_control::pods::Selectors;
    use causeway_tests::folder::Folder;

    const ONE: &str = r#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}}]}"#;

    #[test]
    fn a_file_is_read_when_it_comes_and_changes_and_not_otherwise() {
        let folder = Folder::new();
        let mut file = Watched::new(Place::List(folder.path().join("nodes.json"), What::Nodes));
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
        let mut file = Watched::new(Place::List(folder.path().join("pods.json"), What::Pods(Selectors::default())));
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
