//! Help, the manual page and completions.

use crate::causeway;

const COMMANDS: [&str; 8] = ["run", "check", "replay", "lab", "show", "sessions", "completions", "man"];

#[test]
fn every_command_has_help_with_an_example_of_its_use() {
    let whole = causeway(["--help"]).success().stdout;
    for command in COMMANDS {
        assert!(whole.contains(&format!("\n  {command} ")), "{command} is not in:\n{whole}");
        for flag in ["--help", "-h"] {
            let page = causeway([command, flag]).success().stdout;
            assert!(page.contains(&format!("Usage: causeway {command}")), "{page}");
            let widest = page.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= 100, "a line of {widest} characters:\n{page}");
        }
    }
    assert!(causeway(["--version"]).success().stdout.starts_with("causeway 0."));
}

#[test]
fn without_a_command_and_with_a_wrong_one_there_is_help() {
    for (arguments, expected) in [
        (&[][..], "Usage: causeway"),
        (&["chekc"], "check"),
        (&["show", "flows"], "sessions"),
        (&["show"], "<WHAT>"),
        (&["sessions"], "kill"),
        (&["sessions", "kill"], "--filter <KEY=VALUE>"),
        (&["sessions", "kill", "--all", "--filter", "port=1"], "cannot be used with"),
        (&["check"], "<CONFIG>"),
        (&["run", "a.toml", "--driver", "dpdk"], "af-packet"),
        (&["replay", "a.toml", "--port", "nodes", "--out", "x"], "nodes=in.pcap"),
        (&["lab", "--megabytes", "0"], "1..=1000"),
    ] {
        let finished = causeway(arguments);
        assert_eq!(finished.status.code(), Some(2), "{finished}");
        assert!(finished.stderr.contains(expected), "{expected} is not in {finished}");
    }
}

#[test]
fn help_says_what_can_be_filtered_by() {
    for words in [&["show", "--help"][..], &["sessions", "kill", "--help"]] {
        let page = causeway(words).success().stdout;
        for example in ["inside=10.1.2.0/24", "inside-port=8443", "protocol=tcp", "state=established", "begun=outside"]
        {
            assert!(page.contains(example), "{example} is not in:\n{page}");
        }
    }
}

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = causeway(["completions", shell]).success().stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{command} is not completed in {shell}");
        }
    }
}

#[test]
fn the_manual_page_is_a_manual_page() {
    let page = causeway(["man"]).success().stdout;
    assert!(page.contains(".TH causeway 1"), "{page}");
    for command in COMMANDS {
        assert!(page.contains(&format!("causeway\\-{command}")), "{command} is not in {page}");
    }
}
