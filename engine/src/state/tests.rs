//! The state after a crash between any two steps of a save.

use super::*;
use crate::disk::model::Model;

/// A ledger that tells which one it is.
fn ledger(number: usize) -> Ledger {
    let text = format!(r#"{{"clusters":{{"blue":{{"nodes":{{"n{number}":["10.1.{number}.0/24"]}},"next":[]}}}}}}"#);
    serde_json::from_str(&text).expect("it can be read")
}

fn load(disk: &Model) -> Ledger {
    Store::new(disk.clone()).load(Path::new("model")).expect("it can be read")
}

/// Steps of a whole save.
const STEPS: usize = 6;

#[test]
fn a_crash_between_any_two_steps_leaves_the_last_state_or_the_one_before() {
    // Every disk that a chain of saves may leave, each of which may end anywhere.
    let mut disks = vec![(Model::new(), Ledger::default())];
    let mut looked_at = 0;
    for number in 1..=3 {
        let mut next = Vec::new();
        for (disk, before) in &disks {
            for killed_after in 0..=STEPS {
                let mut store = Store::new(disk.clone());
                assert_eq!(store.load(Path::new("model")).expect("it can be read"), *before);
                store.disk.fuse.set(killed_after);
                let saved = store.save(&ledger(number)).is_ok();
                assert_eq!(saved, killed_after >= STEPS - usize::from(!rotates(disk)), "killed after {killed_after}");
                let mut left = store.disk.after_power_loss();
                left.push(store.disk.after_kill());
                for disk in left {
                    let found = load(&disk);
                    let old = !saved && found == *before;
                    assert!(found == ledger(number) || old, "killed after {killed_after}: {found:?}, not {before:?}");
                    looked_at += 1;
                    next.push((disk, found));
                }
            }
        }
        next.sort_by_key(|(disk, _)| format!("{:?} {:?}", disk.names, disk.files));
        next.dedup_by_key(|(disk, _)| format!("{:?} {:?}", disk.names, disk.files));
        disks = next;
    }
    assert!(looked_at > 1000, "only {looked_at}");
}

/// Is there a sound file that a save keeps as the one before? It is one step more.
fn rotates(disk: &Model) -> bool {
    disk.read(CURRENT).expect("a model").is_some_and(|content| decode(&content).is_ok())
}

#[test]
fn a_damaged_file_gives_way_to_the_one_before_and_does_not_replace_it() {
    let folder = causeway_tests::folder::Folder::new();
    let open = || Store::new(Folder::open(folder.path()).expect("a folder"));
    let load = |store: &mut Store<Folder>| store.load(folder.path());
    let mut store = open();
    assert_eq!(load(&mut store).expect("nothing was saved"), Ledger::default());
    store.save(&ledger(1)).expect("a writable folder");
    store.save(&ledger(2)).expect("a writable folder");
    assert_eq!(folder.names(), [CURRENT, BEFORE]);
    assert_eq!(load(&mut open()).expect("it is sound"), ledger(2));

    let sound = String::from_utf8(std::fs::read(folder.path().join(CURRENT)).expect("a file")).expect("text");
    for damaged in [&sound.replace("10.1.2.0", "10.1.3.0"), &sound[..sound.len() / 2], "", "{}", "\u{0}\u{0}"] {
        folder.write(CURRENT, damaged);
        let mut store = open();
        assert_eq!(load(&mut store).expect("the one before is sound"), ledger(1), "{damaged}");
        store.save(&ledger(3)).expect("a writable folder");
        assert_eq!(decode(&std::fs::read(folder.path().join(BEFORE)).expect("a file")), Ok(ledger(1)));
        assert_eq!(load(&mut open()).expect("it is sound"), ledger(3));
    }
    folder.write(CURRENT, "{");
    folder.write(BEFORE, "{");
    let said = load(&mut open()).expect_err("both are damaged").to_string();
    assert!(said.contains("allocations.json.before away"), "{said}");
    folder.write(CURRENT, sound.replace("\"version\": 1", "\"version\": 7"));
    let said = load(&mut open()).expect_err("it is of the future").to_string();
    assert!(said.contains("version 7"), "{said}");
}
