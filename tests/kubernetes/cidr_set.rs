//! Our blocks against those of the real `cidrset` package, under random operations.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use causeway_control::ipam::{CidrSet, CidrSetError};
use causeway_testkit::seed::{Rng, Seed};
use causeway_tests::folder::Folder;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::programs::programs;

const SETS: u64 = 2_000;
const OPERATIONS: u64 = 60;

#[test]
fn blocks_are_those_of_kubernetes_under_random_operations() {
    let Some(programs) = programs("blocks_are_those_of_kubernetes_under_random_operations") else {
        return;
    };
    let seed = Seed::from_env_or(20);
    let mut rng = seed.rng();
    let (mut commands, mut expected) = (String::new(), Vec::new());
    for _ in 0..SETS {
        play(&mut rng, &mut commands, &mut expected);
    }
    let answers = ask(&programs.join("cidroracle"), &commands);
    assert_eq!(answers.lines().count(), expected.len());
    let mut blocks = 0;
    for ((command, theirs), ours) in commands.lines().zip(answers.lines()).zip(&expected) {
        assert_eq!(ours, theirs, "{command}");
        blocks += u32::from(command == "next" && !theirs.starts_with("error"));
    }
    assert!(blocks > 10_000, "only {blocks} blocks were given out");
}

/// One set, from its cut to its last operation: what is asked, and what we say to it.
fn play(rng: &mut Rng, commands: &mut String, expected: &mut Vec<String>) {
    let (cluster, size) = cluster(rng);
    // Writing to a String does not fail.
    let _ = writeln!(commands, "cut {cluster} {size}");
    let mut set = match CidrSet::new(cluster, size) {
        Ok(set) => {
            expected.push("done".to_owned());
            set
        }
        Err(error) => return expected.push(format!("error: {error}")),
    };
    let said = |error: CidrSetError| format!("error: {error}");
    for _ in 0..rng.below(OPERATIONS) {
        let cidr = cidr(rng, cluster, size);
        let answer = match rng.below(6) {
            0..=2 => {
                commands.push_str("next\n");
                set.allocate_next().map_or_else(said, |block| block.to_string())
            }
            3 => {
                let _ = writeln!(commands, "occupy {cidr}");
                set.occupy(cidr.trunc()).map_or_else(said, |()| "done".to_owned())
            }
            _ => {
                let _ = writeln!(commands, "release {cidr}");
                set.release(cidr.trunc()).map_or_else(said, |()| "done".to_owned())
            }
        };
        expected.push(answer);
    }
}

/// A cluster CIDR with few blocks, so that they are used up now and then; or, rarely, with
/// more than the controller allows.
fn cluster(rng: &mut Rng) -> (IpNet, u8) {
    let v4 = rng.below(2) == 0;
    let (shortest, longest) = if v4 { (8_u8, 30_u8) } else { (16, 120) };
    let length = shortest + rng.below(u64::from(longest - shortest)) as u8;
    let bits = if !v4 && rng.below(50) == 0 { 17 } else { rng.below(9) as u8 };
    let most = if v4 { 32 } else { 128 };
    (net(rng, v4, length), (length + bits).min(most))
}

/// A CIDR that means the cluster: of any size, mostly within.
fn cidr(rng: &mut Rng, cluster: IpNet, size: u8) -> IpNet {
    let v4 = cluster.addr().is_ipv4();
    match rng.below(12) {
        0 => net(rng, v4, size),
        1 => net(rng, !v4, 24),
        2 => IpNet::new(cluster.addr(), cluster.prefix_len() - rng.below(4) as u8).expect("a shorter one"),
        _ => {
            let most = size.saturating_add(2).min(cluster.max_prefix_len());
            let length = cluster.prefix_len() + rng.below(u64::from(most - cluster.prefix_len()) + 1) as u8;
            let within = match (cluster, net(rng, v4, length)) {
                (IpNet::V4(cluster), IpNet::V4(random)) => {
                    let host = random.addr().to_bits() & cluster.hostmask().to_bits();
                    IpNet::from(Ipv4Net::new((cluster.network().to_bits() | host).into(), length).expect("a length"))
                }
                (IpNet::V6(cluster), IpNet::V6(random)) => {
                    let host = random.addr().to_bits() & cluster.hostmask().to_bits();
                    IpNet::from(Ipv6Net::new((cluster.network().to_bits() | host).into(), length).expect("a length"))
                }
                _ => unreachable!("both are of one family"),
            };
            within.trunc()
        }
    }
}

/// Anywhere, with host bits.
fn net(rng: &mut Rng, v4: bool, length: u8) -> IpNet {
    if v4 {
        // Not in 0.0.0.0/8, which reads as IPv4 in IPv6 clothes where a mask is short.
        let address = (rng.u64() as u32) | 0x0a00_0000;
        Ipv4Net::new(address.into(), length).expect("a length").into()
    } else {
        let address = u128::from(rng.u64() | 0xfc << 56) << 64 | u128::from(rng.u64());
        Ipv6Net::new(address.into(), length).expect("a length").into()
    }
}

/// What the oracle says to all commands.
fn ask(oracle: &Path, commands: &str) -> String {
    let folder = Folder::new();
    let input = File::open(folder.write("commands", commands)).expect("it was just written");
    let output = Command::new(oracle).stdin(Stdio::from(input)).output().expect("the oracle runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
