//! The program under test.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program `causeway`, which cargo built before this test.
///
/// # Panics
/// It is missing: cargo builds it only for tests of the package `causeway`.
pub fn executable() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let test = env::current_exe().expect("a test knows where it is");
        // TARGET/PROFILE/deps/TEST-HASH
        let folder = test.parent().and_then(Path::parent).expect("cargo puts tests two folders deep");
        let program = folder.join("causeway");
        assert!(program.is_file(), "{} is missing: make the test one of the package `causeway`", program.display());
        program
    })
}
