//! What was synced once is spoiled: bits, blocks, whole files. Either nothing that counts is
//! touched, or what is gone is named; never silence, never a panic, never wrong bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disk::SimDisk;
use crate::for_seeds;
use crate::model::Held;
use crate::world::{World, held, keep_rest, open_log};
use stonechat::store::{LogOptions, OpenError, Sync};

type Files = BTreeMap<String, Vec<u8>>;

/// A closed log, and what it holds.
fn closed(seed: u64, steps: usize) -> (World, Files, Held) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step().unwrap();
    }
    world.commit(Sync::Now).unwrap();
    let clock = world.clock();
    world.log.take().unwrap().close(clock).unwrap();
    let files = world.disk.files();
    let held = world.model.held(world.now).seen_from(world.now);
    (world, files, held)
}

/// Opens what is left, both ways, and checks what is said against what is true.
fn check(files: &Files, options: &LogOptions, now: u64, truth: &Held) -> &'static str {
    let disk = Arc::new(SimDisk::of(files));
    let error = match open_log(&disk, options, now) {
        Ok((.., recovered)) => {
            let disk = Arc::new(SimDisk::of(files));
            let (found, again) = held(&disk, options, now);
            if found == *truth {
                return "nothing";
            }
            // Only what no batch behind it vouches for may go without being called damage: the end
            // of the log, and then the log is not said to have been closed.
            assert!(
                !recovered.end.closed,
                "silence: {}",
                found.difference(std::slice::from_ref(truth))
            );
            assert_eq!(again.end, recovered.end);
            return "the end";
        }
        Err(error) => error,
    };
    let OpenError::Damaged(damage) = error else { return "an error" };
    assert!(!damage.is_empty() && damage.to_string().len() > 10);
    let disk = Arc::new(SimDisk::of(files));
    let options = keep_rest(options);
    let (found, recovered) = held(&disk, &options, now);
    assert_eq!(recovered.damage, *damage);
    nothing_invented(&found, truth, &recovered);
    // What is gone is known from now on, and no damage any more.
    let disk = Arc::new(disk.restart());
    let refuse = LogOptions { on_damage: stonechat::store::OnDamage::Refuse, ..options };
    let (again, recovered) = held(&disk, &refuse, now);
    assert!(recovered.damage.is_empty(), "{} was {damage}", recovered.damage);
    assert_eq!(again, found, "{}", again.difference(std::slice::from_ref(&found)));
    "damage"
}

/// Everything that is there was there, byte by byte.
fn nothing_invented(found: &Held, truth: &Held, recovered: &stonechat::store::Recovered) {
    let known: Vec<_> = truth.sessions.values().flat_map(|s| s.entries.values()).collect();
    for (number, s) in &found.sessions {
        for (order, entry) in &s.entries {
            // Its end may be what is gone: then it is delivered once more.
            let of = truth.sessions.get(number).and_then(|s| s.entries.get(order));
            let Some(of) = of else { continue };
            if let (Some(a), Some(b)) = (&entry.message, &of.message) {
                assert_eq!(a, b, "session {number}, entry {order}: {} known", known.len());
            }
        }
    }
    // What is missing is missed: in the session's own count, or because the session is gone.
    for (number, s) in &truth.sessions {
        let there = found.sessions.get(number);
        let missing = |order: &&u64| there.is_none_or(|t| !t.entries.contains_key(order));
        let missing = s.entries.keys().filter(missing).count();
        let holes = !recovered.damage.holes.is_empty()
            || !recovered.damage.missing_segments.is_empty()
            || !recovered.damage.bad_headers.is_empty();
        let named = recovered.damage.sessions.iter().any(|loss| loss.session == *number);
        assert!(missing == 0 || named || holes, "session {number} misses {missing}");
    }
}

fn spoil(seed: u64, how: impl Fn(&mut World, &mut Files)) -> &'static str {
    let (mut world, files, truth) = closed(seed, 30 + seed as usize % 90);
    let mut spoiled = files;
    how(&mut world, &mut spoiled);
    check(&spoiled, &world.options, world.now, &truth)
}

fn file_and_place(world: &mut World, files: &Files) -> (String, usize) {
    let name = files.keys().nth(world.rng.below(files.len())).unwrap().clone();
    let len = files[&name].len();
    // Mostly where something stands.
    let used = files[&name].iter().rposition(|b| *b != 0).map_or(len, |at| at + 1);
    let at = if world.rng.percent(90) { world.rng.below(used) } else { world.rng.below(len) };
    (name, at)
}

/// Runs, and checks that the test met what it is about.
fn all(few: u64, how: impl Fn(&mut World, &mut Files) + Copy) {
    let met = std::cell::RefCell::new(BTreeMap::<_, usize>::new());
    for_seeds(few, &[], |seed| {
        *met.borrow_mut().entry(spoil(seed, how)).or_default() += 1;
    });
    let met = met.into_inner();
    assert!(met.len() > 1 || few < 50, "{met:?}");
    println!("{met:?}");
}

#[test]
fn a_bit() {
    all(400, |world, files| {
        let (name, at) = file_and_place(world, files);
        files.get_mut(&name).unwrap()[at] ^= 1 << world.rng.below(8);
    });
}

#[test]
fn a_block_of_zeros() {
    all(250, |world, files| {
        let (name, at) = file_and_place(world, files);
        let file = files.get_mut(&name).unwrap();
        let from = at / 4096 * 4096;
        let to = (from + 4096).min(file.len());
        file[from..to].fill(0);
    });
}

#[test]
fn a_block_of_anything() {
    all(150, |world, files| {
        let (name, at) = file_and_place(world, files);
        let file = files.get_mut(&name).unwrap();
        let to = (at + 700).min(file.len());
        file[at..to].iter_mut().for_each(|byte| *byte = world.rng.next() as u8);
    });
}

#[test]
fn a_file_is_gone() {
    all(100, |world, files| {
        let (name, _) = file_and_place(world, files);
        files.remove(&name);
    });
}

#[test]
fn a_file_is_cut_off() {
    all(100, |world, files| {
        let (name, at) = file_and_place(world, files);
        files.get_mut(&name).unwrap().truncate(at);
    });
}

#[test]
fn files_that_do_not_belong() {
    let (mut world, files, _) = closed(3, 120);
    let first = files.keys().next().unwrap().clone();
    let mut copied = files.clone();
    copied.insert("0000000999.log".into(), files[&first].clone());
    let disk = Arc::new(SimDisk::of(&copied));
    let error = open_log(&disk, &world.options, world.now).err().unwrap();
    assert!(matches!(error, OpenError::Duplicate { segment: 999, .. }), "{error}");

    let (_, others, _) = closed(4, 10);
    let foreign = others.values().next().unwrap().clone();
    let mut mixed = files.clone();
    mixed.insert("0000000001.log".into(), foreign);
    let disk = Arc::new(SimDisk::of(&mixed));
    let error = open_log(&disk, &world.options, world.now).err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");

    let mut newer = files;
    let file = newer.get_mut(&first).unwrap();
    file[8] = 3;
    let crc = crc32c::crc32c(&file[..32]).to_le_bytes();
    file[32..36].copy_from_slice(&crc);
    let disk = Arc::new(SimDisk::of(&newer));
    let error = open_log(&disk, &world.options, world.now).err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 3, .. }), "{error}");
    world.now += 1;
}
