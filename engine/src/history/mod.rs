//! The configurations that were in force, the newest of which can be started from.
//!
//! Each is a file by itself in the folder `history` of `gateway.state`: a comment that says
//! when and by what it came into force, and a checksum, and below it the configuration as it
//! was. A file is written under another name, synced and renamed, and never touched again;
//! one that a crash has left in pieces is told by its checksum and passed over. Without
//! `gateway.state` they are kept in memory, as long as the process lives.

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::disk::{Disk, Folder};

/// Configurations that are kept.
pub(crate) const MOST: usize = 20;

/// Every configuration that is kept.
pub(crate) struct History<D = Folder> {
    /// `None`: they are kept in memory.
    disk: Option<D>,
    /// By number.
    versions: Vec<Version>,
}

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Counted from 1 on.
    pub(crate) number: u64,
    /// When it came into force: seconds since 1970 (UTC).
    pub(crate) time: u64,
    /// By what.
    pub(crate) by: String,
    sha256: String,
    /// What stands in it, unless it is on the disk.
    text: Option<String>,
}

/// The comment above a configuration.
#[derive(Serialize, Deserialize)]
struct Heading {
    version: u64,
    time: u64,
    by: String,
    sha256: String,
}

impl History {
    /// That in the folder of a state; in memory, if there is none.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(crate) fn open(state: Option<&Path>) -> io::Result<History> {
        match state {
            Some(state) => History::read(Folder::open(&state.join("history"))?),
            None => Ok(History { disk: None, versions: Vec::new() }),
        }
    }
}

impl<D: Disk> History<D> {
    fn read(disk: D) -> io::Result<History<D>> {
        let mut versions = Vec::new();
        for name in disk.names()? {
            let number = name.strip_suffix(ENDING).and_then(|stem| stem.parse::<u64>().ok());
            let Some(number) = number else { continue };
            // It is an aid: what cannot be read is passed over.
            let content = disk.read(&name).unwrap_or_else(|error| {
                warn!(name, %error, "a version of the configuration cannot be read");
                None
            });
            if let Some(version) = content.and_then(|content| decode(&content))
                && version.number == number
            {
                versions.push(Version { text: None, ..version });
            }
        }
        versions.sort_unstable_by_key(|version| version.number);
        Ok(History { disk: Some(disk), versions })
    }

    /// Those that are kept, the newest last.
    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// What stands in a configuration; `None` if it is not kept, or no longer sound.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn text(&self, number: u64) -> io::Result<Option<String>> {
        let Some(version) = self.versions.iter().find(|version| version.number == number) else {
            return Ok(None);
        };
        match &self.disk {
            None => Ok(version.text.clone()),
            Some(disk) => Ok(disk.read(&name(number))?.and_then(|content| decode(&content)?.text)),
        }
    }

    /// One more has come into force. Nothing, if it is the newest one there is.
    ///
    /// # Errors
    /// It cannot be written; those before it are as they were.
    pub(crate) fn record(&mut self, text: &str, time: u64, by: &str) -> io::Result<()> {
        let sha256 = checksum(text);
        if self.versions.last().is_some_and(|newest| newest.sha256 == sha256) {
            return Ok(());
        }
        let number = self.versions.last().map_or(1, |newest| newest.number + 1);
        let mut version = Version { number, time, by: by.to_owned(), sha256, text: None };
        match &mut self.disk {
            Some(disk) => {
                disk.write(NEW, &encode(&version, text))?;
                disk.sync(NEW)?;
                disk.rename(NEW, &name(number))?;
                disk.sync_names()?;
            }
            None => version.text = Some(text.to_owned()),
        }
        self.versions.push(version);
        while self.versions.len() > MOST {
            let oldest = self.versions.remove(0);
            if let Some(disk) = &mut self.disk {
                disk.remove(&name(oldest.number))?;
            }
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("{number:06}{ENDING}")
}

fn encode(version: &Version, text: &str) -> Vec<u8> {
    let Version { number, time, by, sha256, .. } = version;
    let heading = Heading { version: *number, time: *time, by: by.clone(), sha256: sha256.clone() };
    let heading = serde_json::to_string(&heading).expect("it is JSON");
    format!("{MARK}{heading}\n{text}").into_bytes()
}

/// `None`: it is not whole.
fn decode(content: &[u8]) -> Option<Version> {
    let (heading, text) = std::str::from_utf8(content).ok()?.split_once('\n')?;
    let Heading { version, time, by, sha256 } = serde_json::from_str(heading.strip_prefix(MARK)?).ok()?;
    (checksum(text) == sha256).then(|| Version { number: version, time, by, sha256, text: Some(text.to_owned()) })
}

/// SHA-256, in hexadecimal.
fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

const MARK: &str = "# causeway ";
const ENDING: &str = ".toml";
const NEW: &str = "new";
