//! What must survive a restart: one JSON file in the folder `gateway.state`.
//!
//! The file is replaced as a whole and never written to; the one before it is kept. Between
//! any two steps, and whatever of them the power takes along, what is read afterwards is
//! what was saved last or what was saved before it
//! (docs/decisions/0011-state-is-one-file.md).

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use causeway_control::config::Config;
use causeway_control::ipam::{Dropped, Ledger};
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
        "the state in {path} is damaged, and so is the one before it ({what}); mend {CURRENT}, or move it and {BEFORE} away: nodes then get pod CIDRs as if for the first time"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with the newest.
        what: String,
    },
}

/// Which pod CIDRs nodes were given. Nothing is remembered if `gateway.state` is not set.
pub(crate) struct Allocations {
    kept: Option<Kept>,
}

/// What nodes of a configuration were given.
#[derive(Default)]
pub(crate) struct Settled {
    ledger: Ledger,
    /// Nodes that could not keep what they had.
    dropped: Vec<Dropped>,
}

struct Kept {
    path: PathBuf,
    store: Store<Folder>,
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
        let failed = |source| StateError::Io { path: path.clone(), source };
        let mut store = Store::new(Folder::open(&path).map_err(failed)?);
        let ledger = store.load(&path)?;
        Ok(Allocations { kept: Some(Kept { path, store, ledger }) })
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
        for dropped in dropped {
            let (cluster, node) = (&dropped.cluster, &dropped.node);
            warn!(cluster, node, had = ?dropped.had, "the node's pod CIDRs no longer fit; it gets others");
        }
        kept.store.save(&ledger).map_err(|source| StateError::Io { path: kept.path.clone(), source })?;
        kept.ledger = ledger;
        info!(state = %kept.path.display(), "allocated pod CIDRs are remembered");
        Ok(())
    }
}

/// The file as it stands.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Of the ledger as compact JSON.
    sha256: String,
    ledger: Ledger,
}

/// The state in one folder.
struct Store<D> {
    disk: D,
    /// Is the newest file sound, and worth keeping as the one before?
    sound: bool,
}

impl<D: Disk> Store<D> {
    fn new(disk: D) -> Store<D> {
        Store { disk, sound: false }
    }

    /// What was saved last; an empty ledger if nothing ever was.
    fn load(&mut self, path: &Path) -> Result<Ledger, StateError> {
        let read = |name| {
            let content = self.disk.read(name).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
            Ok(content.map(|content| decode(&content)))
        };
        let (current, before) = (read(CURRENT)?, read(BEFORE)?);
        let what = match (current, before) {
            (Some(Ok(ledger)), _) => {
                self.sound = true;
                return Ok(ledger);
            }
            (current, Some(Ok(ledger))) => {
                let what = current.and_then(Result::err).unwrap_or_else(|| "it is missing".to_owned());
                warn!(state = %path.display(), "{CURRENT} cannot be used ({what}): {BEFORE} is used in its place");
                return Ok(ledger);
            }
            (None, None) => return Ok(Ledger::default()),
            (Some(Err(what)), _) | (None, Some(Err(what))) => what,
        };
        Err(StateError::Damaged { path: path.to_owned(), what })
    }

    /// When it returns, the ledger outlives the power.
    fn save(&mut self, ledger: &Ledger) -> io::Result<()> {
        self.disk.write(NEW, &encode(ledger))?;
        self.disk.sync(NEW)?;
        if self.sound {
            self.disk.rename(CURRENT, BEFORE)?;
        }
        self.sound = false;
        self.disk.rename(NEW, CURRENT)?;
        self.disk.sync_names()?;
        self.sound = true;
        Ok(())
    }
}

fn encode(ledger: &Ledger) -> Vec<u8> {
    let saved = Saved { version: VERSION, sha256: checksum(ledger), ledger: ledger.clone() };
    let mut content = serde_json::to_vec_pretty(&saved).expect("a ledger is JSON");
    content.push(b'\n');
    content
}

fn decode(content: &[u8]) -> Result<Ledger, String> {
    let saved: Saved = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if saved.version != VERSION {
        return Err(format!("it is of version {}, and this program reads version {VERSION}", saved.version));
    }
    let found = checksum(&saved.ledger);
    if saved.sha256 != found {
        return Err(format!("its checksum is {found}, not {}", saved.sha256));
    }
    Ok(saved.ledger)
}

fn checksum(ledger: &Ledger) -> String {
    let content = serde_json::to_vec(ledger).expect("a ledger is JSON");
    Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect()
}

const VERSION: u32 = 1;
const CURRENT: &str = "allocations.json";
const BEFORE: &str = "allocations.json.before";
const NEW: &str = "allocations.json.new";
