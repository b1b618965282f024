//! Opening a log: what it holds, what is wrong with it, and making it ready to go on.
//!
//! May use: everything of the store. Invariants: opening again after a crash at any moment of this
//! gives the same result; nothing is changed on disk before it is decided that the broker starts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::{BatchHeader, HEADER_BYTES, SegmentHeader, seed};
use super::content::Timeline;
use super::counts::Pace;
use super::damage::{Damage, Losses, SessionLoss};
use super::disk::Disk;
use super::encode::Encoder;
use super::index::{Index, SessionState};
use super::log::{Clock, Current, Log, LogCounts, LogError, LogOptions, Sync, Use};
use super::queue::Place;
use super::read::Records;
use super::record::{DropReason, Owner, SessionNumber, WillRecord};
use super::replay::{OpenError, Replay, SegmentFile, io_error};
use super::spare::{SPARE_NAME, Spare};
use super::staging::Taken;
use super::state::{Shared, State, segment_name};
use super::stored::{Numbers, Stored};
use super::wire::Reader as Bytes;
use crate::broker::{Message, Time};
use crate::codec::{PacketId, QoS, SubscriptionOptions};

/// What to do when something that was synced is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Do not start: say what is gone.
    Refuse,
    /// Say what is gone, and go on with the rest. The next start finds nothing wrong.
    KeepRest,
}

/// A wall clock that shows less than this (2020-01-01) was never set.
const WALL_SET_MS: u64 = 1_577_836_800_000;

/// A delivery that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredDelivery {
    /// its number in the session
    pub order: u64,
    /// under this identifier
    pub packet_id: PacketId,
    /// its QoS
    pub qos: QoS,
    /// PUBREC came: PUBREL is repeated, and there is no message any more
    pub released: bool,
}

/// A session that was found.
#[derive(Clone, Debug)]
pub struct RecoveredSession {
    /// its number
    pub number: SessionNumber,
    /// the client's identifier
    pub client_id: Box<str>,
    /// whose it is
    pub owner: Owner,
    /// Session Expiry Interval in seconds
    pub expiry_s: u32,
    /// for how long it has been without a connection; 0 if `was_connected`: when that ended nobody
    /// knows, so it ends now
    pub offline_ms: u64,
    /// it had a connection when the log ended
    pub was_connected: bool,
    /// filter, options, Subscription Identifier
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions, Option<u32>)>,
    /// its Will
    pub will: Option<WillRecord>,
    /// QoS 2 identifiers of the client's that are in use
    pub inbound: Vec<PacketId>,
    /// in the order of their entries
    pub in_flight: Vec<RecoveredDelivery>,
    /// the first entry that waits and is not in flight
    pub first_order: Option<u64>,
    /// the number for the session's next entry
    pub next_order: u64,
    /// how many entries wait, those in flight left out
    pub queued: usize,
    /// `Message::cost_bytes` of their messages
    pub queued_bytes: usize,
}

/// How the log ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// the broker had closed it: nothing can be missing at its end
    pub closed: bool,
    /// the last batch that counts
    pub batch: u64,
    /// batches stood behind a torn one; none of them was ever synced
    pub cut: bool,
}

/// What a log held.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// in the order of their numbers
    pub sessions: Vec<RecoveredSession>,
    /// version and message; expired ones are left out
    pub retained: Vec<(u64, Message)>,
    /// go on counting above these
    pub numbers: Numbers,
    /// entries of publications that were never sealed: the publisher repeats those
    pub unsealed: usize,
    /// how long nothing was written, as far as the clocks can be believed
    pub outage_ms: u64,
    /// how the log ended
    pub end: LogEnd,
    /// what is gone
    pub damage: Damage,
}

/// What `Log::new` goes on with.
pub struct Resume<D: Disk> {
    disk: Arc<D>,
    options: LogOptions,
    id: u128,
    current: Current<D::File>,
    spare: Spare<D::File>,
    last: (u64, u32),
    entries: u32,
    first: u32,
    /// records that make the loss of what is gone known, and how many
    repair: (Vec<u8>, u32),
    last_message: u64,
}

/// An opened log: `state` goes behind a lock, then `Log::new` and `Reader::new` get ways to it.
pub struct Opened<D: Disk> {
    /// for the brokers
    pub recovered: Recovered,
    /// what committer and reader share
    pub state: State<D::File>,
    /// for `Log::new`
    pub resume: Resume<D>,
}

/// Opens the log on `disk`, or makes one.
///
/// # Errors
/// If it is damaged and `on_damage` says so, is no log of this program's, or the disk fails.
pub fn open<D: Disk>(
    disk: Arc<D>,
    options: &LogOptions,
    clock: Clock,
) -> Result<Opened<D>, OpenError> {
    let Some(mut replay) = Replay::new(Arc::clone(&disk), options.hash_seed)? else {
        return make(disk, options);
    };
    let (recovered, repair) = recover(&mut replay, &disk, clock)?;
    if options.on_damage == OnDamage::Refuse && !recovered.damage.is_empty() {
        return Err(OpenError::Damaged(Box::new(recovered.damage)));
    }
    let (current, spare) = tidy(&mut replay, &disk, options)?;
    let Replay { segments, mut state, last, id, .. } = replay;
    // If older ones are missing, that is known from here on.
    let first = segments.first().map_or(current.number, |segment| segment.number);
    for SegmentFile { number, file, bytes, .. } in segments {
        if number <= current.number {
            state.add_file(number, file, bytes);
        }
    }
    state.add_file(current.number, Arc::clone(&current.file), current.bytes);
    let last_message = state.index.numbers.message;
    let entries = last.entries.unwrap_or(0);
    let (options, last) = (*options, (last.number, last.crc));
    let resume =
        Resume { disk, options, id, current, spare, last, entries, first, repair, last_message };
    Ok(Opened { recovered, state, resume })
}

/// A log of one empty segment.
fn make<D: Disk>(disk: Arc<D>, options: &LogOptions) -> Result<Opened<D>, OpenError> {
    let id = options.log_id;
    let bytes = options.segment_bytes;
    let file = make_segment(&*disk, 1, id, bytes)?;
    let mut state = State::new(options.hash_seed);
    state.index.end_replay();
    state.add_file(1, Arc::clone(&file), bytes);
    let current = Current { number: 1, file, bytes, tail: HEADER_BYTES as u64 };
    let resume = Resume {
        disk,
        options: *options,
        id,
        current,
        spare: Spare::None,
        last: (0, 0),
        entries: 0,
        first: 1,
        repair: (Vec::new(), 0),
        last_message: 0,
    };
    Ok(Opened { recovered: Recovered::default(), state, resume })
}

fn make_segment<D: Disk>(
    disk: &D,
    number: u32,
    log: u128,
    bytes: u64,
) -> Result<Arc<D::File>, OpenError> {
    let made = || {
        let names = disk.list()?;
        if names.iter().any(|(name, _)| name == SPARE_NAME) {
            disk.remove(SPARE_NAME)?;
        }
        let file = disk.create(SPARE_NAME)?;
        disk.allocate(&file, bytes)?;
        disk.write_at(&file, &SegmentHeader { segment: number, log }.encode(), 0)?;
        disk.sync(&file)?;
        disk.rename(SPARE_NAME, &segment_name(number))?;
        disk.sync_directory()?;
        Ok(Arc::new(file))
    };
    made().map_err(io_error(format!("making {}", segment_name(number))))
}

/// Reads all, and says what is in force. Changes nothing on disk.
pub(super) fn recover<D: Disk>(
    replay: &mut Replay<D>,
    disk: &Arc<D>,
    clock: Clock,
) -> Result<(Recovered, (Vec<u8>, u32)), OpenError> {
    replay.run()?;
    replay.state.index.end_replay();
    let outage_ms = outage_ms(&replay.last, clock);
    let log_now = replay.last.time_ms.saturating_add(outage_ms);
    let offset_ms = (log_now as i64).saturating_sub_unsigned(clock.now.0);
    replay.state.timeline = Timeline { offset_ms };
    let mut recovered = Recovered {
        numbers: replay.state.index.numbers,
        outage_ms,
        end: LogEnd { closed: replay.closed, batch: replay.last.number, cut: replay.cut },
        ..Recovered::default()
    };
    let mut repair = (Vec::new(), 0);
    let mut unsealed = BTreeMap::new();
    recovered.unsealed = drop_unsealed(&mut replay.state.index, &mut unsealed, &mut repair);
    let next = replay.missing_next;
    take_out_the_lost(&mut replay.state.index, &mut replay.damage, unsealed, next, &mut repair);
    let expired = read_small(replay, disk, log_now, &mut recovered)?;
    clear_expired(&mut replay.state.index, &expired, &mut repair);
    recovered.damage = replay.damage.clone();
    for loss in &mut recovered.damage.sessions {
        let of = recovered.sessions.iter().find(|s| s.number.0 == loss.session);
        loss.client_id = of.map(|s| s.client_id.to_string());
    }
    Ok((recovered, repair))
}

/// How long the log was not written: as the wall clock says, if it was set then and now, and did
/// not go back.
fn outage_ms(last: &BatchHeader, clock: Clock) -> u64 {
    if last.wall_ms < WALL_SET_MS { 0 } else { clock.wall_ms.saturating_sub(last.wall_ms) }
}

/// Takes out of the index what no seal came for. What follows such an entry in the log may outlive
/// it there, so its end is written down. `by_session`: how many were each session's.
fn drop_unsealed(
    index: &mut Index,
    by_session: &mut BTreeMap<u64, u64>,
    repair: &mut (Vec<u8>, u32),
) -> usize {
    let entries = index.unsealed();
    for &(session, order) in &entries {
        *by_session.entry(session).or_default() += 1;
        let dropped = Stored::Dropped { session, order, why: DropReason::Unsealed };
        dropped.put(&mut repair.0);
        index.apply(&dropped, Place::NONE, 0);
    }
    index.end_batch();
    repair.1 += entries.len() as u32;
    entries.len()
}

/// Clears retained messages that expired: no broker hears of them, so none would ever clear them.
fn clear_expired(index: &mut Index, expired: &[(u64, String)], repair: &mut (Vec<u8>, u32)) {
    for (version, topic) in expired {
        let cleared = Stored::Retained { version: *version, message: 0, topic };
        cleared.put(&mut repair.0);
        index.apply(&cleared, Place::NONE, 0);
    }
    index.end_batch();
    repair.1 += expired.len() as u32;
}

/// Finds what cannot be delivered because parts of it are gone, names it in `damage`, takes it out
/// of the index, and adds the records to `written` that say so for ever. `unsealed`: entries, by
/// session, whose seal is missing.
fn take_out_the_lost(
    index: &mut Index,
    damage: &mut Damage,
    mut unsealed: BTreeMap<u64, u64>,
    missing_next: Option<u32>,
    written: &mut (Vec<u8>, u32),
) {
    let mut lost: BTreeMap<u64, SessionLoss> = BTreeMap::new();
    let mut repair = Vec::new();
    let losses = match index.losses.take() {
        Some(losses) => losses,
        None => {
            unsealed.clear(); // publishers send those again
            Losses::default()
        }
    };
    let mut unmet: BTreeMap<u64, u64> = losses.missing().collect();
    let mut headless = BTreeMap::new();
    for (&session, s) in &index.sessions {
        let whole = s.base.is_none();
        let broken: Vec<u64> = broken_entries(index, s).collect();
        // Entries that were never met are among those that are counted as such.
        let met = broken.iter().filter(|order| s.queue.get(**order).is_some()).count() as u64;
        let known = broken.len() as u64 - met;
        let messages = if whole { s.queue.len() as u64 } else { met };
        let messages = messages + known.max(unmet.remove(&session).unwrap_or(0));
        // A hole may have taken the seal.
        let messages = messages + unsealed.remove(&session).unwrap_or(0);
        if known > 0 {
            headless.insert(session, known);
        }
        if whole {
            repair.push(Stored::SessionEnd { session });
        } else {
            let drop = |order| Stored::Dropped { session, order, why: DropReason::Unreadable };
            repair.extend(broken.into_iter().map(drop));
        }
        if whole || messages > 0 {
            lost.insert(session, SessionLoss { session, client_id: None, messages, whole });
        }
    }
    damage.unnamed = losses.unnamed(|session| headless.get(&session).copied().unwrap_or(0));
    damage.is_uncounted = losses.is_uncounted();
    // Nothing but their counts is left of these.
    for (session, messages) in unmet {
        lost.insert(session, SessionLoss { session, client_id: None, messages, whole: true });
    }
    damage.sessions = lost.into_values().collect();
    let retained = lost_retained(index);
    for (topic, version) in &retained {
        repair.push(Stored::Retained { version: *version, message: 0, topic });
    }
    for hole in &damage.holes {
        repair.push(Stored::Accepted { first: hole.first_batch, last: hole.last_batch });
    }
    // One that the log was to go on in is made anew: losing it again is new damage.
    let missing = damage.missing_segments.iter().filter(|segment| Some(**segment) != missing_next);
    for &segment in missing {
        repair.push(Stored::AcceptedSegment { segment });
    }
    for stored in &repair {
        stored.put(&mut written.0);
        index.apply(stored, Place::NONE, 0);
    }
    index.end_batch();
    damage.retained = retained.iter().map(|(topic, _)| topic.to_string()).collect();
    written.1 += repair.len() as u32;
}

/// Topics, and versions, of retained messages that are gone.
fn lost_retained(index: &Index) -> Vec<(Box<str>, u64)> {
    let gone = |number: u64| number > 0 && !index.has_message(number);
    let retained = index.retained.iter().filter(|(_, r)| gone(r.message));
    let mut retained: Vec<_> = retained.map(|(topic, r)| (topic.clone(), r.version)).collect();
    retained.sort_unstable();
    retained
}

/// Entries without their message, and deliveries that lack a part.
fn broken_entries<'i>(index: &'i Index, s: &'i SessionState) -> impl Iterator<Item = u64> + 'i {
    let queued = s.queue.iter().filter(|e| !index.has_message(e.message)).map(|e| e.order);
    let under_way = s.under_way.iter().filter(|(order, u)| {
        u.packet_id == 0 || u.released.is_none() && s.queue.get(**order).is_none()
    });
    let under_way = under_way.map(|(order, _)| *order);
    let whole =
        move |order: &u64| s.queue.get(*order).is_none_or(|entry| index.has_message(entry.message));
    queued.chain(under_way.filter(whole))
}

/// Something that is read from its place.
enum Wanted {
    Base,
    Will,
    Subscription,
    Delivery(u64),
    Retained(u64),
}

/// Reads what the broker keeps in memory: sessions, and retained messages. Returns version and
/// topic of those that expired.
fn read_small<D: Disk>(
    replay: &Replay<D>,
    disk: &Arc<D>,
    log_now: u64,
    recovered: &mut Recovered,
) -> Result<Vec<(u64, String)>, OpenError> {
    let index = &replay.state.index;
    let mut expired = Vec::new();
    let mut wanted = Vec::new();
    let mut numbers: Vec<u64> = index.sessions.keys().copied().collect();
    numbers.sort_unstable();
    for (at, number) in numbers.iter().enumerate() {
        let Some(s) = index.sessions.get(number) else { continue };
        wanted.push((s.base, at, Wanted::Base));
        wanted.extend((!s.will.is_none()).then_some((s.will, at, Wanted::Will)));
        wanted.extend(s.subscriptions.values().map(|place| (*place, at, Wanted::Subscription)));
        let unreleased = s.under_way.keys().filter_map(|order| s.queue.get(*order));
        wanted.extend(unreleased.map(|e| (e.place, at, Wanted::Delivery(e.order))));
        recovered.sessions.push(session_of(index, *number, s, log_now));
    }
    for retained in index.retained.values().filter(|r| r.message > 0) {
        let place = index.messages.get(retained.message).unwrap_or_default().place;
        wanted.push((place, 0, Wanted::Retained(retained.version)));
    }
    wanted.sort_unstable_by_key(|(place, ..)| *place);
    let (mut records, mut scratch) = (Records::new(), Vec::new());
    for (place, at, what) in wanted {
        let segment = replay.segments.binary_search_by_key(&place.segment, |s| s.number);
        let Some(segment) = segment.ok().map(|at| &replay.segments[at]) else { continue };
        let bytes = records.get(&**disk, &segment.file, place, 0);
        let bytes = bytes.map_err(io_error(format!("reading {}", segment_name(place.segment))))?;
        let stored = bytes.and_then(|bytes| Stored::read(&mut Bytes::new(bytes)).ok());
        let timeline = replay.state.timeline;
        match (stored, what) {
            (Some(stored), Wanted::Retained(version)) => match &stored {
                Stored::Message { content, .. } if content.is_expired(log_now) => {
                    expired.push((version, content.topic_str().to_owned()));
                }
                _ => add_retained(&stored, version, timeline, recovered, &mut scratch),
            },
            (Some(stored), what) => {
                add_to_session(&stored, &what, timeline, &mut recovered.sessions[at], &mut scratch);
            }
            (None, _) => {
                let error = std::io::ErrorKind::InvalidData.into();
                return Err(io_error("a record changed while the log was read")(error));
            }
        }
    }
    recovered.retained.sort_unstable_by_key(|(version, _)| *version);
    expired.sort_unstable();
    Ok(expired)
}

fn add_retained(
    stored: &Stored<'_>,
    version: u64,
    timeline: Timeline,
    recovered: &mut Recovered,
    scratch: &mut Vec<u8>,
) {
    let Stored::Message { number, content } = stored else { return };
    if let Some(message) = content.build(*number, timeline, scratch) {
        recovered.retained.push((version, message));
    }
}

fn add_to_session(
    stored: &Stored<'_>,
    what: &Wanted,
    timeline: Timeline,
    to: &mut RecoveredSession,
    scratch: &mut Vec<u8>,
) {
    match (*stored, what) {
        (Stored::Session { client_id, owner, .. }, Wanted::Base) => {
            to.client_id = client_id.into();
            to.owner = owner.owner();
        }
        (Stored::Will { delay_s, expiry_s, content, .. }, Wanted::Will) => {
            let message = content.build(0, timeline, scratch);
            to.will = message.map(|message| WillRecord { message, delay_s, expiry_s });
        }
        (Stored::Subscribed { filter, options, id, .. }, Wanted::Subscription) => {
            to.subscriptions.push((filter.into(), options, id));
        }
        (Stored::Queued(entry), Wanted::Delivery(order)) => {
            let delivery = to.in_flight.iter_mut().find(|delivery| delivery.order == *order);
            if let Some(delivery) = delivery {
                delivery.qos = entry.qos;
            }
        }
        _ => {}
    }
}

/// What the index alone knows of a session.
fn session_of(index: &Index, number: u64, s: &SessionState, log_now: u64) -> RecoveredSession {
    let in_flight = s.under_way.iter().filter_map(|(&order, under_way)| {
        Some(RecoveredDelivery {
            order,
            packet_id: PacketId::new(under_way.packet_id)?,
            qos: QoS::ExactlyOnce,
            released: !under_way.released.is_none(),
        })
    });
    let waiting = || s.queue.iter().filter(|entry| !s.under_way.contains_key(&entry.order));
    let cost = |message| index.messages.get(message).map_or(0, |slot| slot.bytes as usize);
    RecoveredSession {
        number: SessionNumber(number),
        client_id: Box::default(),
        owner: Owner::default(),
        expiry_s: s.expiry_s,
        offline_ms: log_now.saturating_sub(s.offline_ms.unwrap_or(log_now)),
        was_connected: s.offline_ms.is_none(),
        subscriptions: Vec::with_capacity(s.subscriptions.len()),
        will: None,
        inbound: s.inbound.keys().filter_map(|id| PacketId::new(*id)).collect(),
        in_flight: in_flight.collect(),
        first_order: waiting().next().map(|entry| entry.order),
        next_order: s.next_order,
        queued: waiting().count(),
        queued_bytes: waiting().map(|entry| Message::cost_of(cost(entry.message))).sum(),
    }
}

/// The segment to go on in, and the spare.
type Ends<F> = (Current<F>, Spare<F>);

/// Makes the disk say what was decided: nothing counts behind the tail, and only what is needed is
/// there. Returns the segment to go on in, and the spare.
fn tidy<D: Disk>(
    replay: &mut Replay<D>,
    disk: &Arc<D>,
    options: &LogOptions,
) -> Result<Ends<D::File>, OpenError> {
    // What is of an older version goes on as the one that is written.
    for segment in replay.segments.iter().filter(|s| !s.header_is_good || s.is_old) {
        let header = SegmentHeader { segment: segment.number, log: replay.id };
        let written = disk.write_at(&segment.file, &header.encode(), 0);
        let written = written.and_then(|()| disk.sync(&segment.file));
        written.map_err(io_error("writing a segment's header"))?;
    }
    // The process may have ended between the last batch of a segment and its sync, and before a new
    // segment's name was safe: what follows there must not be safer than what it stands behind.
    let full = replay.tail.at.checked_sub(1).and_then(|at| replay.segments.get(at));
    let synced = full.map_or(Ok(()), |segment| disk.sync(&segment.file));
    let synced = synced.and_then(|()| disk.sync_directory());
    synced.map_err(io_error("syncing what was written before"))?;
    let current = match replay.missing_next {
        Some(number) => {
            let file = make_segment(&**disk, number, replay.id, options.segment_bytes)?;
            Current { number, file, bytes: options.segment_bytes, tail: HEADER_BYTES as u64 }
        }
        None => {
            clear_tail(replay, disk)?;
            let segment = &replay.segments[replay.tail.at];
            let (number, file) = (segment.number, Arc::clone(&segment.file));
            let tail = replay.tail.offset as u64;
            Current { number, file, bytes: segment.bytes, tail }
        }
    };
    let mut spare = Spare::None;
    // Newest first, each safely gone before the next: else one in the middle would seem missing.
    for segment in replay.segments.iter().rev().filter(|s| s.number > current.number) {
        let name = segment_name(segment.number);
        if !replay.cut && segment.number == current.number + 1 {
            spare = Spare::Ready { file: Arc::clone(&segment.file), bytes: segment.bytes };
            continue;
        }
        let removed = disk.remove(&name).and_then(|()| disk.sync_directory());
        removed.map_err(io_error(format!("removing {name}")))?;
    }
    let leftover = disk.list().map_err(io_error("listing the log's files"))?;
    let leftover = leftover.into_iter().map(|(name, _)| name).filter(|name| name == SPARE_NAME);
    for name in replay.unneeded.iter().map(|number| segment_name(*number)).chain(leftover) {
        disk.remove(&name).map_err(io_error(format!("removing {name}")))?;
    }
    Ok((current, spare))
}

/// Overwrites what stands behind the tail, if it could ever be taken for batches that count; and
/// makes everything before it safe, for the process may have ended without a sync.
fn clear_tail<D: Disk>(replay: &mut Replay<D>, disk: &Arc<D>) -> Result<(), OpenError> {
    let tail = replay.tail;
    let segment_seed = seed(replay.id, replay.segments[tail.at].number);
    let cut = replay.cut;
    let rest = replay.tail_bytes()?;
    let torn = cut || BatchHeader::parse(rest, segment_seed).is_some();
    let zeros = vec![0; if torn { rest.len() } else { 0 }];
    let segment = &replay.segments[tail.at];
    let written = if zeros.is_empty() {
        Ok(())
    } else {
        disk.write_at(&segment.file, &zeros, tail.offset as u64)
    };
    let written = written.and_then(|()| disk.sync(&segment.file));
    written.map_err(io_error(format!("writing {}", segment_name(segment.number))))
}

impl<D: Disk, S: Shared<D::File>> Log<D, S> {
    /// Goes on with an opened log; `shared` is a way to its state. After damage that was accepted,
    /// writes down what is gone.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn new(resume: Resume<D>, shared: S, clock: Clock) -> Result<Self, LogError> {
        let Resume {
            disk,
            options,
            id,
            current,
            spare,
            last,
            entries,
            first,
            repair,
            last_message,
        } = resume;
        let mut log = Self {
            disk,
            shared,
            options,
            id,
            current,
            spare,
            last,
            synced: last.0,
            entries,
            pace: Pace::default(),
            oldest: first,
            first,
            cleaned: (0, 0),
            encoder: Encoder::new(options.hash_seed),
            poisoned: None,
            full: false,
            freeing_bytes_max: 0,
            refused: 0,
            busy: false,
            cleans: false,
            counts: LogCounts::default(),
            free_lately: Cell::new(None),
            now: clock.now,
        };
        log.encoder.last_message = last_message;
        log.set_log_bytes_max(options.log_bytes_max);
        if repair.1 > 0 {
            log.begin_batch();
            log.encoder.put_all(&repair.0);
            log.append(clock, Use::Opening)?;
            log.sync()?;
            log.apply_last();
        } else {
            log.commit(&Taken::default(), clock, Sync::Now)?;
        }
        Ok(log)
    }

    /// The process's time now, on the log's clock: for tests and tools.
    pub fn log_ms(&self, now: Time) -> u64 {
        self.shared.with(|state| state.timeline.log_ms(now))
    }
}
