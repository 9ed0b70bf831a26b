//! What a test needs of the machine.

use std::env;
use std::io::Write;

use causeway_lab::privilege::Privilege;

/// Whether a test may run: `programs` are there, and namespaces can be made.
///
/// If not, says so loudly, and the test should pass without having run.
///
/// # Panics
/// Something is missing and the environment has `CI` set: there everything runs.
pub fn met(test: &str, privilege: Privilege, programs: &[&str]) -> bool {
    let mut missing: Vec<String> =
        programs.iter().filter(|name| !is_installed(name)).map(|name| format!("the program {name}")).collect();
    let enough = match privilege {
        Privilege::None => true,
        Privilege::UserNamespace => Privilege::current() != Privilege::None,
        Privilege::Root => Privilege::current() == Privilege::Root,
    };
    if !enough {
        missing.push(match privilege {
            Privilege::Root => "root's privileges".into(),
            _ => "the privilege to make network namespaces".into(),
        });
    }
    if missing.is_empty() {
        return true;
    }
    absent(test, &missing.join(", "));
    false
}

/// Says loudly that a test did not run, because `what` is missing.
///
/// # Panics
/// The environment has `CI` set: there everything runs.
pub fn absent(test: &str, what: &str) {
    assert!(!in_ci(), "{test}: missing here: {what}");
    skip(test, &format!("missing here: {what}"));
}

/// Says loudly that a test did not run, and why.
pub fn skip(test: &str, why: &str) {
    say(&format!("SKIPPED: {test}: {why}"));
}

/// Says something to whoever runs the tests, now.
pub fn say(what: &str) {
    // Straight to the descriptor: the test harness would swallow `eprintln!`.
    let _ = std::io::stderr().lock().write_all(format!("\n{what}\n").as_bytes());
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_installed_or_it_is_not() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program-anywhere"));
    }

    #[test]
    fn a_test_without_needs_may_always_run() {
        assert!(met("a_test_without_needs_may_always_run", Privilege::None, &["sh"]));
    }
}
