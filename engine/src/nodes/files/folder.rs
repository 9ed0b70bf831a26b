//! A folder with a file for each node, as flannel's `subnet.env`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use causeway_control::nodes::{EnvFile, FlannelNodes, read_flannel};
use ipnet::IpNet;

use super::read_bounded;
use crate::looks::Looks;

/// What the network's configuration is called in there.
const NET_CONF: &str = "net-conf.json";
/// The end of the name of a node's file.
const ENV: &str = "env";
/// Of any file in there: flanneld writes some 200 bytes.
const LARGEST: u64 = 64 << 10;

/// How the files look that count.
pub(super) fn looks(folder: &Path) -> io::Result<BTreeMap<PathBuf, Looks>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let counts = path.extension().is_some_and(|end| end == ENV) || path.ends_with(NET_CONF);
        // One that has gone meanwhile is not there.
        if counts && let Ok(looks) = Looks::of(&path) {
            found.insert(path, looks);
        }
    }
    Ok(found)
}

/// What the files say, by name.
pub(super) fn read(folder: &Path, pod_cidrs: &[IpNet]) -> Result<FlannelNodes, String> {
    let at = folder.display();
    let mut files: Vec<_> = looks(folder).map_err(|error| format!("{at}: {error}"))?.into_keys().collect();
    files.retain(|path| !path.ends_with(NET_CONF));
    let net_conf = match read_bounded(&folder.join(NET_CONF), LARGEST) {
        Ok(json) => Some(json),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{at}/{NET_CONF}: {error}")),
    };
    let file = |path: PathBuf| {
        let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let content = read_bounded(&path, LARGEST).map_err(|error| error.to_string());
        EnvFile { node: name(path.file_stem()), name: name(path.file_name()), content }
    };
    read_flannel(net_conf.as_deref(), files.into_iter().map(file), pod_cidrs).map_err(|why| format!("{at}/{why}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Watched};
    use causeway_control::nodes::Update;
    use causeway_kubernetes::Said;
    use causeway_tests::folder::Folder;

    const ENV: &str = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1500\n\
                       FLANNEL_IPMASQ=false\nFLANNELD_PUBLIC_IP=192.168.0.11\n";

    /// Names and pod CIDRs, or what is wrong.
    fn said(said: &[Said]) -> Vec<String> {
        match said {
            [] => vec!["nothing new".to_owned()],
            [Said::Nodes(Update::All(nodes)), Said::Nodes(Update::InStep)] => {
                let node = |node: &causeway_control::nodes::NodeFact| {
                    format!("{}: {}{}", node.name, node.pod_cidrs.join(","), node.flaws.join(";"))
                };
                nodes.iter().map(node).collect()
            }
            [Said::Nodes(Update::Away(why))] => vec![why.clone()],
            others => panic!("{others:?}"),
        }
    }

    #[test]
    fn nodes_follow_the_files_of_a_folder() {
        let folder = Folder::new();
        let at = folder.path().join("flannel");
        let pod_cidrs = vec!["10.42.0.0/16".parse().expect("a prefix")];
        let mut watched = Watched::new(Place::Flannel { folder: at.clone(), pod_cidrs });
        assert!(said(&watched.look())[0].contains("flannel: No such file"), "it is not there yet");
        std::fs::create_dir(&at).expect("a folder of our own");
        assert_eq!(said(&watched.look()), [""; 0]);
        let write = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a folder of our own");
        write("a.env", ENV);
        write("b.env.new", ENV);
        write("README", "not a node");
        assert_eq!(said(&watched.look()), ["a: 10.42.7.0/24"]);
        assert_eq!(said(&watched.look()), ["nothing new"]);
        write("b.env", &ENV.replace("7.1/24", "8.1/x"));
        std::fs::create_dir(at.join("c.env")).expect("a folder of our own");
        let found = said(&watched.look());
        assert!(found[1].starts_with("b: b.env:2: FLANNEL_SUBNET = \"10.42.8.1/x\""), "{found:?}");
        assert_eq!((found.len(), found[2].as_str()), (3, "c: c.env: Is a directory (os error 21)"));
        std::fs::remove_dir(at.join("c.env")).expect("it was there");
        write("net-conf.json", r#"{"Network":"10.0.0.0/8","Backend":{"Type":"alloc"}}"#);
        let away = said(&watched.look());
        assert!(away[0].contains("flannel/net-conf.json:1: Network 10.0.0.0/8 lies outside"), "{away:?}");
        write("net-conf.json", r#"{"Network":"10.42.0.0/16","Backend":{"Type":"alloc"}}"#);
        assert_eq!(said(&watched.look()).len(), 2);
        std::fs::remove_file(at.join("a.env")).expect("it was there");
        assert_eq!(said(&watched.look()).len(), 1);
        write("b.env", &"#".repeat(70_000));
        assert_eq!(said(&watched.look()), ["b: b.env: is larger than 64 KiB"]);
    }
}
