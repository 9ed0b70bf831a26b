//! What must survive a restart: one JSON file in the folder `gateway.state`.
//!
//! The file is replaced as a whole and never written to; the one before it is kept. Between
//! any two steps, and whatever of them the power takes along, what is read afterwards is
//! what was saved last or what was saved before it
//! (docs/decisions/0011-state-is-one-file.md).

mod disk;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use causeway_control::config::Config;
use causeway_control::ipam::Ledger;
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
        "the state in {path} is damaged, and so is the one before it ({what}); mend {CURRENT}, or move it and {BEFORE} away: nodes then get pod CIDRs as if for the first time"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
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
    let failed = |source| StateError::Io { path: path.clone(), source };
    let mut store = Store::new(Folder::open(&path).map_err(failed)?);
    let mut ledger = store.load(&path)?;
    let before = ledger.clone();
    for dropped in ledger.settle(config) {
        let (cluster, node) = (&dropped.cluster, &dropped.node);
        warn!(cluster, node, had = ?dropped.had, "the node's pod CIDRs no longer fit; it gets others");
    }
    if ledger != before {
        store.save(&ledger).map_err(failed)?;
        info!(state = %path.display(), "allocated pod CIDRs are remembered");
    }
    Ok(())
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
