//! What was synced once is spoiled: bits, blocks, whole files. Either nothing that counts is
//! touched, or what is gone is named; never silence, never a panic, never wrong bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cleaning::{commit, queued, start};
use crate::disk::SimDisk;
use crate::for_seeds;
use crate::model::Held;
use crate::world::{World, client_id, clock, held, keep_rest, open_log};
use stonechat::store::{
    Damage, LogOptions, OpenError, Owner, Record, SessionNumber, Sync, inspect,
};

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
    let damage = &recovered.damage;
    let mut all_missing = 0;
    // What is missing is missed: in the session's own count, or among those that nothing tells of.
    for (number, s) in &truth.sessions {
        let there = found.sessions.get(number);
        let missing = |order: &&u64| there.is_none_or(|t| !t.entries.contains_key(order));
        // Of what was released nothing but PUBREL is left: that is no message.
        let messages = s.entries.iter().filter(|(_, entry)| entry.message.is_some());
        let missing = messages.map(|(order, _)| order).filter(missing).count();
        let named = damage.sessions.iter().find(|loss| loss.session == *number);
        let told = named.map_or(0, |loss| loss.messages) + damage.unnamed;
        // The end of the log may be torn as well, if it is not said to have been closed.
        assert!(
            missing as u64 <= told || damage.is_uncounted || !recovered.end.closed,
            "session {number} misses {missing}: {damage}"
        );
        all_missing += missing as u64;
    }
    let is_all = !damage.is_uncounted && recovered.end.closed;
    assert!(all_missing <= damage.messages() || !is_all, "{all_missing}: {damage}");
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
    file[8] = 4;
    let crc = crc32c::crc32c(&file[..32]).to_le_bytes();
    file[32..36].copy_from_slice(&crc);
    let disk = Arc::new(SimDisk::of(&newer));
    let error = open_log(&disk, &world.options, world.now).err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 4, .. }), "{error}");
    world.now += 1;
}

const QUIET: u64 = 1;
const BUSY: u64 = 2;
/// What the quiet session loses.
const LOST: u64 = 3;

fn session(number: u64) -> Record {
    Record::Session {
        session: SessionNumber(number),
        client_id: client_id(number),
        expiry_s: 1000,
        owner: Owner::default(),
    }
}

fn entry(number: u64, order: u64) -> Record {
    let mut record = queued(order);
    if let Record::Queued { session, .. } = &mut record {
        *session = SessionNumber(number);
    }
    record
}

/// Where the log ends.
fn end(world: &World) -> (String, usize) {
    let files = world.disk.files();
    let end = |file: &Vec<u8>| file.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    files.iter().map(|(name, file)| (name.clone(), end(file))).rfind(|(_, at)| *at > 128).unwrap()
}

/// A log whose first batches are a quiet session's, and where they end; then so many that are not,
/// of five messages each.
fn quiet_and_busy(segment_bytes: u64, busy: u64) -> (World, (String, usize), (String, usize)) {
    let mut world = start(segment_bytes);
    world.pending.extend([session(BUSY), entry(QUIET, 0), entry(BUSY, 0)]);
    commit(&mut world);
    let from = end(&world);
    world.pending.extend((1..=LOST).map(|order| entry(QUIET, order)));
    commit(&mut world);
    let to = end(&world);
    for batch in 0..busy {
        world.pending.extend((0..5).map(|n| entry(BUSY, 1 + 5 * batch + n)));
        commit(&mut world);
    }
    (world, from, to)
}

fn damage_of(world: &World, files: &Files) -> Damage {
    let disk = Arc::new(SimDisk::of(files));
    let verified = inspect::verify(&disk, clock(world.now, world.now)).unwrap().unwrap();
    assert!(!verified.recovered.damage.holes.is_empty());
    verified.recovered.damage
}

fn zeros(world: &World, at: &(String, usize), bytes: usize) -> Files {
    let mut files = world.disk.files();
    files.get_mut(&at.0).unwrap()[at.1..at.1 + bytes].fill(0);
    files
}

/// What the sessions lost, and what is gone besides.
fn losses(damage: &Damage) -> (u64, u64, u64) {
    let of = |session| damage.sessions.iter().find(|loss| loss.session == session);
    let of = |session| of(session).map_or(0, |loss| loss.messages);
    assert!(!damage.is_uncounted && of(QUIET) + of(BUSY) + damage.unnamed == damage.messages());
    (of(QUIET), of(BUSY), damage.unnamed)
}

/// The next batch says what the session had, though nothing of the session's own follows.
#[test]
fn the_last_of_a_session_are_counted() {
    let (world, from, to) = quiet_and_busy(1 << 20, 2);
    let files = zeros(&world, &from, to.1 - from.1);
    assert_eq!(losses(&damage_of(&world, &files)), (LOST, 0, 0));
}

/// A hole that takes the next batches, too, takes what they say: then the number is told until the
/// session is counted again, behind the hole or when the log is closed.
#[test]
fn a_longer_hole_is_counted_and_then_named() {
    let (mut world, from, _) = quiet_and_busy(256 << 10, 6);
    let (quiet, busy, unnamed) = losses(&damage_of(&world, &zeros(&world, &from, 4096)));
    assert!((quiet, unnamed) == (0, LOST) && busy >= 5, "{busy}");
    for order in 0..200 {
        world.pending.push(entry(BUSY, 31 + order));
        commit(&mut world);
    }
    let (quiet, busy_then, unnamed) = losses(&damage_of(&world, &zeros(&world, &from, 4096)));
    assert_eq!((quiet, busy_then, unnamed), (LOST, busy, 0));

    let (mut world, from, _) = quiet_and_busy(256 << 10, 6);
    let clock = world.clock();
    world.log.take().unwrap().close(clock).unwrap();
    let (quiet, _, unnamed) = losses(&damage_of(&world, &zeros(&world, &from, 4096)));
    assert_eq!((quiet, unnamed), (LOST, 0));
}

/// A whole file is gone, with the last that was written for a session.
#[test]
fn a_lost_segment_is_counted_and_named() {
    let mut world = start(16 << 10);
    world.pending.extend([session(BUSY), entry(QUIET, 0)]);
    commit(&mut world);
    let mut quiet = 1;
    for order in 0..200 {
        if (60..=62).contains(&order) {
            assert_eq!(end(&world).0, "0000000002.log");
            world.pending.push(entry(QUIET, quiet));
            quiet += 1;
        }
        world.pending.push(entry(BUSY, order));
        commit(&mut world);
        while world.log().maintain(clock(0, 0), 1 << 20).unwrap() {}
    }
    let mut files = world.disk.files();
    let lost = files.remove("0000000002.log").unwrap();
    let busy = lost.windows(8).filter(|w| w == b"xxxxxxxx").count();
    let told = losses(&damage_of(&world, &files));
    assert!(busy > 0 && told.0 == 3 && told.1 > 20 && told.2 == 0, "{told:?}");
}

/// What the session's client acknowledged, or connected for, behind the hole is taken into account.
#[test]
fn what_follows_a_hole_is_believed() {
    let (mut world, from, to) = quiet_and_busy(1 << 20, 0);
    let len = to.1 - from.1;
    world.pending.push(Record::Acknowledged { session: SessionNumber(QUIET), order: 2 });
    commit(&mut world);
    assert_eq!(losses(&damage_of(&world, &zeros(&world, &from, len))), (LOST - 1, 0, 0));
    // All of it was acknowledged in the hole: it is not lost.
    let (mut world, from, _) = quiet_and_busy(1 << 20, 0);
    for order in 0..=LOST {
        world.pending.push(Record::Acknowledged { session: SessionNumber(QUIET), order });
    }
    commit(&mut world);
    let to = end(&world);
    let clock = world.clock();
    world.log.take().unwrap().close(clock).unwrap();
    assert_eq!(losses(&damage_of(&world, &zeros(&world, &from, to.1 - from.1))), (0, 0, 0));
    // A CONNECT says what was written, and so does the next entry.
    for record in [session(QUIET), entry(QUIET, LOST + 1)] {
        let (mut world, from, to) = quiet_and_busy(1 << 20, 0);
        // The batch behind has counts: it is gone as well.
        world.pending.push(entry(BUSY, 1));
        commit(&mut world);
        let len = end(&world).1 - from.1;
        assert!(end(&world).1 > to.1);
        world.pending.push(record);
        commit(&mut world);
        assert_eq!(losses(&damage_of(&world, &zeros(&world, &from, len))), (LOST, 1, 0));
    }
}
