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

#[cfg(test)]
mod tests;

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use causeway_control::config::Config;
use causeway_control::ipam::{Dropped, Ledger};
use causeway_control::nodes::Memory;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::disk::{Disk, Folder};

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

/// Which pod CIDRs nodes were given. Nothing is remembered if `gateway.state` is not set.
pub(crate) struct Allocations {
    kept: Option<KeptLedger>,
}

/// What nodes of a configuration were given.
#[derive(Default)]
pub(crate) struct Settled {
    ledger: Ledger,
    /// Nodes that could not keep what they had.
    dropped: Vec<Dropped>,
}

struct KeptLedger {
    path: PathBuf,
    store: Store<Folder, Ledger>,
    /// As it was saved last.
    ledger: Ledger,
}

impl Allocations {
    /// Reads what is remembered in a folder.
    ///
    /// # Errors
    /// The folder cannot be used, or what lies in it cannot be read.
    pub(crate) fn open(path: Option<&Path>) -> Result<Allocations, StateError> {
        let Some(path) = path.map(Path::to_owned) else {
            return Ok(Allocations { kept: None });
        };
        let mut store = Store::new(Folder::open(&path).map_err(failed(&path))?);
        let ledger = store.load(&path)?;
        Ok(Allocations { kept: Some(KeptLedger { path, store, ledger }) })
    }

    /// Gives the nodes of a configuration the pod CIDRs that they had, and new ones to the
    /// others. That is remembered once it is handed to [`Allocations::keep`].
    pub(crate) fn settle(&self, config: &mut Config) -> Settled {
        let mut settled = Settled::default();
        if let Some(kept) = &self.kept {
            settled.ledger.clone_from(&kept.ledger);
            settled.dropped = settled.ledger.settle(config);
        }
        settled
    }

    /// Remembers what nodes have been given.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn keep(&mut self, Settled { ledger, dropped }: Settled) -> Result<(), StateError> {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.ledger != ledger) else {
            return Ok(());
        };
        warn_of(&dropped);
        kept.store.save(&ledger).map_err(failed(&kept.path))?;
        kept.ledger = ledger;
        info!(state = %kept.path.display(), "allocated pod CIDRs are remembered");
        Ok(())
    }
}

/// Gives the nodes of a configuration the pod CIDRs that are remembered, and writes nothing.
///
/// # Errors
/// What is remembered cannot be read.
pub(crate) fn settle_unwritten(config: &mut Config) -> Result<(), StateError> {
    if let Some(path) = config.gateway.state.clone() {
        let mut ledger: Ledger = Store::new(Folder::at(&path)).load(&path)?;
        warn_of(&ledger.settle(config));
    }
    Ok(())
}

fn warn_of(dropped: &[Dropped]) {
    for dropped in dropped {
        let (cluster, node) = (&dropped.cluster, &dropped.node);
        warn!(cluster, node, had = ?dropped.had, "the node's pod CIDRs no longer fit; it gets others");
    }
}

/// Nodes that were learned, and where they are kept.
pub(crate) struct NodeStore(Store<Folder, Memory>);

impl NodeStore {
    /// What was remembered, and where to write what is to be; `None` if `gateway.state` is not
    /// set. What is damaged is as if it had never been.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn open(config: &Config) -> Result<Option<(Memory, NodeStore)>, StateError> {
        let Some(path) = config.gateway.state.as_deref() else {
            return Ok(None);
        };
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
