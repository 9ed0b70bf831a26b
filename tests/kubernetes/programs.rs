//! The programs of Kubernetes, built when they are missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use causeway_lab::privilege::Privilege;
use causeway_tests::program::run;
use causeway_tests::{needs, top};
use sha2::{Digest, Sha256};

/// How long building may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Where the programs are, if they are or could be made.
///
/// # Panics
/// They could not, and the environment has `CI` set.
pub(crate) fn programs(test: &str) -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if !needs::met(test, Privilege::None, &["apt-get", "dpkg-deb", "dpkg-source", "bash"]) {
        return None;
    }
    match FOUND.get_or_init(find_or_build) {
        Ok(path) => Some(path),
        Err(why) => {
            needs::absent(test, &format!("the programs of Kubernetes: {why}"));
            None
        }
    }
}

fn find_or_build() -> Result<PathBuf, String> {
    let recipe = top().join("tests/kubernetes");
    let mut hash = Sha256::new();
    for file in ["build.sh", "cidroracle.go"] {
        hash.update(fs::read(recipe.join(file)).expect("a file of this test"));
    }
    let key: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let cache = cache().ok_or("no folder to keep them in; set CAUSEWAY_CACHE")?;
    let found = cache.join(format!("kubernetes-{key}"));
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    // Of several that find nothing one builds.
    let lock = File::create(cache.join("lock")).map_err(|error| format!("{}: {error}", cache.display()))?;
    lock.lock().map_err(|error| format!("the lock in {}: {error}", cache.display()))?;
    if !found.is_dir() {
        needs::say(&format!("building Kubernetes into {}: some minutes, once", found.display()));
        build(&recipe.join("build.sh"), &cache, &found)?;
    }
    Ok(found)
}

/// Whatever comes of it, only what is whole gets its name.
fn build(script: &Path, cache: &Path, found: &Path) -> Result<(), String> {
    let work = cache.join("work");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let bin = work.join("bin");
    let finished = run(Command::new("nice").arg("bash").arg(script).args([&work, &bin]), PATIENCE);
    let result = if finished.status.success() {
        fs::rename(&bin, found).map_err(|error| format!("{}: {error}", found.display()))
    } else {
        let said: Vec<_> = finished.stderr.lines().chain(finished.stdout.lines()).collect();
        let last = said[said.len().saturating_sub(5)..].join("; ");
        Err(format!("{} failed: {last}", script.display()))
    };
    let _ = fs::remove_dir_all(&work);
    result
}

fn cache() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let users = || of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
    of("CAUSEWAY_CACHE").or_else(|| Some(users()?.join("causeway")))
}
