//! What must survive a restart: JSON files in the folder `gateway.state`.
//!
//! `allocations.json` says which pod CIDRs nodes were given: without it addresses in use would
//! be given to others. `nodes.json` says which nodes were learned: without it the gateway waits
//! for their sources.
//!
//! A file is replaced as a whole and never written to; the one before it is kept. Between
//! any two steps, and whatever of them the power takes along, what is read afterwards is
//! what was saved last or what was saved before it
//! (docs/decisions/0011-state-is-one-file.md, 0013-learned-nodes-are-remembered.md).

mod disk;
#[cfg(test)]
mod tests;

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use causeway_control::config::Config;
use causeway_control::ipam::Ledger;
use causeway_control::nodes::Memory;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use disk::{Disk, Folder};

/// Why the state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("the state in {path}: {source}; gateway.state names a folder that the gateway may write to")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a state, and it cannot be trusted.
    #[error(
        "the state in {path} is damaged, and so is the one before it ({what}); mend {name}, or move it and {name}.before away: {loss}"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The newest file.
        name: &'static str,
        /// What is then.
        loss: &'static str,
        /// What is wrong with the newest.
        what: String,
    },
}

/// Gives the nodes of a configuration the pod CIDRs that they had, and remembers what the
/// others get. Nothing, if `gateway.state` is not set.
///
/// # Errors
/// The folder cannot be used, or what lies in it cannot be read.
pub fn settle(config: &mut Config) -> Result<(), StateError> {
    let Some(path) = config.gateway.state.clone() else {
        return Ok(());
    };
    let failed = failed(&path);
    let mut store = Store::new(Folder::open(&path).map_err(&failed)?);
    let before: Ledger = store.load(&path)?;
    let ledger = settle_by(before.clone(), config);
    if ledger != before {
        store.save(&ledger).map_err(failed)?;
        info!(state = %path.display(), "allocated pod CIDRs are remembered");
    }
    Ok(())
}

/// As [`settle`], and writes nothing.
///
/// # Errors
/// As [`settle`].
pub(crate) fn settle_unwritten(config: &mut Config) -> Result<(), StateError> {
    if let Some(path) = config.gateway.state.clone() {
        settle_by(Store::new(Folder::at(&path)).load(&path)?, config);
    }
    Ok(())
}

fn settle_by(mut ledger: Ledger, config: &mut Config) -> Ledger {
    for dropped in ledger.settle(config) {
        let (cluster, node) = (&dropped.cluster, &dropped.node);
        warn!(cluster, node, had = ?dropped.had, "the node's pod CIDRs no longer fit; it gets others");
    }
    ledger
}

/// Nodes that were learned, and where they are kept.
pub(crate) struct NodeStore(Store<Folder, Memory>);

impl NodeStore {
    /// What was remembered, and where to write what is to be; `None` if `gateway.state` is not
    /// set, or no cluster learns its nodes. What is damaged is as if it had never been.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn open(config: &Config) -> Result<Option<(Memory, NodeStore)>, StateError> {
        let Some(path) = config.gateway.state.as_deref() else {
            return Ok(None);
        };
        if config.clusters.iter().all(|cluster| cluster.nodes_from.is_none()) {
            return Ok(None);
        }
        let mut store = Store::new(Folder::at(path));
        let memory = match store.load(path) {
            Err(error @ StateError::Damaged { .. }) => {
                warn!("{error}");
                Memory::default()
            }
            read => read?,
        };
        Ok(Some((memory, NodeStore(store))))
    }

    /// When it returns, this outlives the power.
    pub(crate) fn save(&mut self, memory: &Memory) -> io::Result<()> {
        self.0.save(memory)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> StateError {
    move |source| StateError::Io { path: path.to_owned(), source }
}

/// What a file of the state holds.
trait Kept: Clone + Default + Serialize + DeserializeOwned {
    /// The newest file.
    const CURRENT: &'static str;
    /// The one before it.
    const BEFORE: &'static str;
    /// The next one, while it is written.
    const NEW: &'static str;
    /// What is without it.
    const LOSS: &'static str;
}

impl Kept for Ledger {
    const CURRENT: &'static str = "allocations.json";
    const BEFORE: &'static str = "allocations.json.before";
    const NEW: &'static str = "allocations.json.new";
    const LOSS: &'static str = "nodes then get pod CIDRs as if for the first time";
}

impl Kept for Memory {
    const CURRENT: &'static str = "nodes.json";
    const BEFORE: &'static str = "nodes.json.before";
    const NEW: &'static str = "nodes.json.new";
    const LOSS: &'static str = "learned nodes are not known until their sources say them";
}

/// The file as it stands.
#[derive(Serialize, Deserialize)]
struct Saved<K> {
    version: u32,
    /// Of the ledger as compact JSON.
    sha256: String,
    ledger: K,
}

/// One of the files of a folder.
struct Store<D, K> {
    disk: D,
    /// Is the newest file sound, and worth keeping as the one before?
    sound: bool,
    kept: PhantomData<K>,
}

impl<D: Disk, K: Kept> Store<D, K> {
    fn new(disk: D) -> Store<D, K> {
        Store { disk, sound: false, kept: PhantomData }
    }

    /// What was saved last; nothing if nothing ever was.
    fn load(&mut self, path: &Path) -> Result<K, StateError> {
        let read = |name| {
            let content = self.disk.read(name).map_err(failed(path))?;
            Ok(content.map(|content| decode(&content)))
        };
        let (current, before) = (read(K::CURRENT)?, read(K::BEFORE)?);
        let what = match (current, before) {
            (Some(Ok(ledger)), _) => {
                self.sound = true;
                return Ok(ledger);
            }
            (current, Some(Ok(ledger))) => {
                let what = current.and_then(Result::err).unwrap_or_else(|| "it is missing".to_owned());
                let (newest, before) = (K::CURRENT, K::BEFORE);
                warn!(state = %path.display(), "{newest} cannot be used ({what}): {before} is used in its place");
                return Ok(ledger);
            }
            (None, None) => return Ok(K::default()),
            (Some(Err(what)), _) | (None, Some(Err(what))) => what,
        };
        Err(StateError::Damaged { path: path.to_owned(), name: K::CURRENT, loss: K::LOSS, what })
    }

    /// When it returns, the ledger outlives the power.
    fn save(&mut self, ledger: &K) -> io::Result<()> {
        self.disk.write(K::NEW, &encode(ledger))?;
        self.disk.sync(K::NEW)?;
        if self.sound {
            self.disk.rename(K::CURRENT, K::BEFORE)?;
        }
        self.sound = false;
        self.disk.rename(K::NEW, K::CURRENT)?;
        self.disk.sync_names()?;
        self.sound = true;
        Ok(())
    }
}

fn encode<K: Kept>(ledger: &K) -> Vec<u8> {
    let saved = Saved { version: VERSION, sha256: checksum(ledger), ledger: ledger.clone() };
    let mut content = serde_json::to_vec_pretty(&saved).expect("a ledger is JSON");
    content.push(b'\n');
    content
}

fn decode<K: Kept>(content: &[u8]) -> Result<K, String> {
    let saved: Saved<K> = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if saved.version != VERSION {
        return Err(format!("it is of version {}, and this program reads version {VERSION}", saved.version));
    }
    let found = checksum(&saved.ledger);
    if saved.sha256 != found {
        return Err(format!("its checksum is {found}, not {}", saved.sha256));
    }
    Ok(saved.ledger)
}

fn checksum<K: Kept>(ledger: &K) -> String {
    let content = serde_json::to_vec(ledger).expect("a ledger is JSON");
    Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect()
}

const VERSION: u32 = 1;
