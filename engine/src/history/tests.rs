//! The history after a crash between any two steps.

use super::*;
use crate::disk::model::Model;

fn texts<D: Disk>(history: &History<D>) -> Vec<String> {
    let text = |version: &Version| history.text(version.number).expect("it can be read").expect("it is sound");
    history.versions().iter().map(text).collect()
}

fn read(disk: Model) -> History<Model> {
    History::read(disk).expect("it can be read")
}

#[test]
fn a_crash_between_any_two_steps_leaves_what_was_in_force_before() {
    let mut looked_at = 0;
    let mut disks = vec![(Model::new(), Vec::<String>::new())];
    disks[0].0.fuse.set(usize::MAX);
    for number in 1..=3 {
        let text = format!("gateway.name = \"g{number}\"\n");
        let mut next = Vec::new();
        for (disk, before) in &disks {
            for killed_after in 0..=STEPS {
                let mut history = read(disk.clone());
                assert_eq!(texts(&history), *before);
                history.disk.as_ref().expect("a disk").fuse.set(killed_after);
                let recorded = history.record(&text, number, "test").is_ok();
                assert_eq!(recorded, killed_after == STEPS, "killed after {killed_after}");
                let left = history.disk.take().expect("a disk");
                for disk in left.after_power_loss().into_iter().chain([left.after_kill()]) {
                    let found = texts(&read(disk.clone()));
                    let with_it = [&before[..], std::slice::from_ref(&text)].concat();
                    assert!(found == with_it || (!recorded && found == *before), "{killed_after}: {found:?}");
                    looked_at += 1;
                    next.push((disk, found));
                }
            }
        }
        next.sort_by_key(|(disk, _)| format!("{:?} {:?}", disk.names, disk.files));
        next.dedup_by_key(|(disk, _)| format!("{:?} {:?}", disk.names, disk.files));
        disks = next;
    }
    assert!(looked_at > 200, "only {looked_at}");
}

/// Steps of a record: the write is two.
const STEPS: usize = 5;

#[test]
fn the_oldest_give_way_and_numbers_go_on() {
    let folder = causeway_tests::folder::Folder::new();
    let open = || History::open(Some(folder.path())).expect("a folder");
    for n in 0..25 {
        open().record(&format!("# {n}\n"), 1_000 + n, "test").expect("a writable folder");
    }
    let history = open();
    let numbers: Vec<_> = history.versions().iter().map(|version| version.number).collect();
    assert_eq!(numbers, (6..=25).collect::<Vec<_>>());
    assert_eq!(history.text(25).expect("it can be read").as_deref(), Some("# 24\n"));
    assert_eq!(history.text(5).expect("it can be read"), None);
    let mut history = open();
    history.record("# 24\n", 2_000, "again").expect("a writable folder");
    assert_eq!(history.versions().len(), MOST, "the newest is not recorded twice");
}

#[test]
fn what_is_damaged_is_passed_over() {
    let folder = causeway_tests::folder::Folder::new();
    let open = || History::open(Some(folder.path())).expect("a folder");
    for n in 1..=3 {
        open().record(&format!("gateway.name = \"g{n}\"\n"), n, "test").expect("a writable folder");
    }
    let file = folder.path().join("history/000003.toml");
    let sound = std::fs::read_to_string(&file).expect("a file");
    assert!(
        sound.starts_with("# causeway {\"version\":3,\"time\":3,\"by\":\"test\""),
        "a comment for people:\n{sound}"
    );
    for damaged in [&sound.replace("g3", "g4"), &sound[..sound.len() / 2], "", "\u{0}\u{0}"] {
        std::fs::write(&file, damaged).expect("a writable folder");
        assert_eq!(texts(&open()), ["gateway.name = \"g1\"\n", "gateway.name = \"g2\"\n"]);
    }
    // One that is copied over another one is not that one.
    std::fs::write(&file, std::fs::read(folder.path().join("history/000001.toml")).expect("a file")).expect("written");
    assert_eq!(open().versions().len(), 2);
}

#[test]
fn without_a_folder_they_are_kept_in_memory() {
    let mut history = History::open(None).expect("nothing is needed");
    history.record("a", 1, "start").expect("nothing is needed");
    history.record("b", 2, "apply").expect("nothing is needed");
    assert_eq!(texts(&history), ["a", "b"]);
}

proptest::proptest! {
    #[test]
    fn no_content_breaks_the_reader(content: Vec<u8>, heading in "# causeway \\{.{0,60}\\}\n.{0,20}") {
        assert!(decode(&content).is_none());
        assert!(decode(heading.as_bytes()).is_none());
    }
}
