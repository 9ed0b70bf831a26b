//! The state after a crash between any two steps of a save.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use super::*;

/// A disk that loses power. A file is what was synced, or any part of what was written
/// since; its names are those of any moment since they were synced.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Content that is safe, and content as written.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    names: BTreeMap<String, usize>,
    /// The names as they were, from the last time they were synced on.
    past: Vec<BTreeMap<String, usize>>,
    /// Steps until the process is killed.
    fuse: Cell<usize>,
}

impl Model {
    fn new() -> Model {
        Model { past: vec![BTreeMap::new()], ..Model::default() }
    }

    fn step(&self) -> io::Result<()> {
        match self.fuse.get().checked_sub(1) {
            Some(left) => {
                self.fuse.set(left);
                Ok(())
            }
            None => Err(io::Error::other("killed")),
        }
    }

    fn renamed(&mut self) {
        self.past.push(self.names.clone());
    }

    /// Every disk that may be found when the power is back.
    fn after_power_loss(&self) -> Vec<Model> {
        let mut found = Vec::new();
        for names in &self.past {
            for kept in [0, 1, 2] {
                let left = |(safe, written): &(Vec<u8>, Vec<u8>)| match kept {
                    0 => safe.clone(),
                    1 if safe != written => written[..written.len() / 2].to_vec(),
                    _ => written.clone(),
                };
                let files: Vec<_> = self.files.iter().map(left).map(|content| (content.clone(), content)).collect();
                let (names, past) = (names.clone(), vec![names.clone()]);
                found.push(Model { files, names, past, fuse: Cell::new(usize::MAX) });
            }
        }
        found
    }

    fn after_kill(&self) -> Model {
        Model { fuse: Cell::new(usize::MAX), ..self.clone() }
    }
}

impl Disk for Model {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.names.get(name).map(|file| self.files[*file].1.clone()))
    }

    /// In two steps: a process may be killed with half of it written.
    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step()?;
        let file = match self.names.get(name) {
            Some(file) => *file,
            None => {
                self.files.push(Default::default());
                self.names.insert(name.to_owned(), self.files.len() - 1);
                self.renamed();
                self.files.len() - 1
            }
        };
        self.files[file].1 = content[..content.len() / 2].to_vec();
        self.step()?;
        self.files[file].1 = content.to_vec();
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        let (safe, written) = &mut self.files[self.names[name]];
        safe.clone_from(written);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let file = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), file);
        self.renamed();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.step()?;
        self.past = vec![self.names.clone()];
        Ok(())
    }
}

/// Something to keep that tells which one it is.
trait Numbered: Kept + PartialEq + Debug {
    fn number(number: usize) -> Self;
}

impl Numbered for Ledger {
    fn number(number: usize) -> Ledger {
        let text = format!(r#"{{"clusters":{{"blue":{{"nodes":{{"n{number}":["10.1.{number}.0/24"]}},"next":[]}}}}}}"#);
        serde_json::from_str(&text).expect("it can be read")
    }
}

impl Numbered for Memory {
    fn number(number: usize) -> Memory {
        let node = format!(r#"{{"n{number}":{{"addresses":["192.168.0.11"],"pod-cidrs":["10.1.{number}.0/24"]}}}}"#);
        let learned = format!(r#"{{"source":"in-cluster","heard-s":{number},"nodes":{node}}}"#);
        serde_json::from_str(&format!(r#"{{"clusters":{{"blue":{learned}}}}}"#)).expect("it can be read")
    }
}

fn ledger(number: usize) -> Ledger {
    Ledger::number(number)
}

fn load<K: Kept>(disk: &Model) -> K {
    Store::new(disk.clone()).load(Path::new("model")).expect("it can be read")
}

/// Steps of a whole save.
const STEPS: usize = 6;

#[test]
fn a_crash_between_any_two_steps_leaves_the_last_allocations_or_those_before() {
    crash_anywhere::<Ledger>();
}

#[test]
fn a_crash_between_any_two_steps_leaves_the_last_nodes_or_those_before() {
    crash_anywhere::<Memory>();
}

fn crash_anywhere<K: Numbered>() {
    // Every disk that a chain of saves may leave, each of which may end anywhere.
    let mut disks = vec![(Model::new(), K::default())];
    let mut looked_at = 0;
    for number in 1..=3 {
        let mut next = Vec::new();
        for (disk, before) in &disks {
            for killed_after in 0..=STEPS {
                let mut store = Store::new(disk.clone());
                assert_eq!(store.load(Path::new("model")).expect("it can be read"), *before);
                store.disk.fuse.set(killed_after);
                let saved = store.save(&K::number(number)).is_ok();
                assert_eq!(
                    saved,
                    killed_after >= STEPS - usize::from(!rotates::<K>(disk)),
                    "killed after {killed_after}"
                );
                let mut left = store.disk.after_power_loss();
                left.push(store.disk.after_kill());
                for disk in left {
                    let found: K = load(&disk);
                    let old = !saved && found == *before;
                    assert!(
                        found == K::number(number) || old,
                        "killed after {killed_after}: {found:?}, not {before:?}"
                    );
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
fn rotates<K: Kept>(disk: &Model) -> bool {
    disk.read(K::CURRENT).expect("a model").is_some_and(|content| decode::<K>(&content).is_ok())
}

#[test]
fn a_damaged_file_gives_way_to_the_one_before_and_does_not_replace_it() {
    const CURRENT: &str = Ledger::CURRENT;
    const BEFORE: &str = Ledger::BEFORE;
    let folder = causeway_tests::folder::Folder::new();
    let open = || Store::new(Folder::open(folder.path()).expect("a folder"));
    let load = |store: &mut Store<Folder, Ledger>| store.load(folder.path());
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

#[test]
fn damaged_nodes_are_as_if_they_had_never_been_learned() {
    let folder = causeway_tests::folder::Folder::new();
    let text = format!(
        "[gateway]\nname = \"gw\"\nstate = {:?}\n\
         [[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[port]]\nname = \"uplink\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
         [[cluster]]\nname = \"blue\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\negress = \"masquerade\"\n\
         ports = [\"nodes\"]\nnodes-from = {{ in-cluster = true }}\n",
        folder.path()
    );
    let (config, _) = Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let open = || NodeStore::open(&config).expect("a folder").expect("it has a source");
    let (memory, mut store) = open();
    assert_eq!(memory, Memory::default());
    store.save(&Memory::number(1)).expect("a writable folder");
    assert_eq!(open().0, Memory::number(1));
    folder.write("nodes.json", "{");
    let (memory, mut store) = open();
    assert_eq!(memory, Memory::default());
    store.save(&Memory::number(2)).expect("a writable folder");
    assert_eq!(open().0, Memory::number(2));
    assert_eq!(folder.names(), ["nodes.json"], "what was damaged is not kept");
}
