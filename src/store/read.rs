//! Reading queued messages back.
//!
//! May use: the state (briefly), the disk. Runs on any thread but the committer's, and waits for
//! the disk without holding the state. Invariant: what it returns is what was stored, checked by
//! the record's own checksum, number and order; what cannot be read is named, never guessed.

use std::io;
use std::sync::Arc;

use super::content::Timeline;
use super::disk::Disk;
use super::queue::{Place, QueueEntry};
use super::record::SessionNumber;
use super::state::Shared;
use super::stored::Stored;
use super::wire::Reader as Bytes;
use crate::broker::Message;
use crate::codec::{PacketId, QoS};

/// How much is read at a time.
const WINDOW_BYTES: usize = 128 << 10;
/// No record is longer: an MQTT packet has 28 bits for its length, and the rest is small.
const RECORD_BYTES_MAX: usize = (1 << 28) + (1 << 20);
/// What of a record has to be there so that its length can be read.
const PREFIX_BYTES: usize = 16;

/// An entry with its message.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// its number in the session
    pub order: u64,
    /// the message
    pub message: Message,
    /// with this QoS
    pub qos: QoS,
    /// with this RETAIN flag
    pub retain: bool,
    /// Subscription Identifiers
    pub subscription_ids: Box<[u32]>,
    /// `$share/ShareName/filter` that it came by
    pub group: Option<Arc<str>>,
    /// it was in flight under this identifier
    pub packet_id: Option<PacketId>,
}

/// The answer to [`Reader::load`].
#[derive(Debug, Default)]
pub struct LoadedEntries {
    /// in order
    pub entries: Vec<Loaded>,
    /// entries that cannot be read: to be dropped (`DropReason::Unreadable`) and counted
    pub unreadable: Vec<u64>,
    /// where to go on; `None`: there was nothing more when it was looked up
    pub next_order: Option<u64>,
}

/// A piece of a file in memory.
struct Window<F> {
    file: Option<Arc<F>>,
    segment: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl<F> Window<F> {
    fn new() -> Self {
        Self { file: None, segment: 0, start: 0, bytes: Vec::new() }
    }

    fn get(&self, place: Place) -> Option<&[u8]> {
        let offset = u64::from(place.offset).checked_sub(self.start)?;
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        (self.segment == place.segment).then_some(rest)
    }

    /// Reads at least `need` bytes at `place`, if the file has them.
    fn fill<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        file: &Arc<F>,
        place: Place,
        need: usize,
    ) -> io::Result<()> {
        self.bytes.resize(need.max(WINDOW_BYTES), 0);
        let mut done = 0;
        while done < self.bytes.len() {
            let offset = u64::from(place.offset) + done as u64;
            match disk.read_at(file, &mut self.bytes[done..], offset)? {
                0 => break,
                n => done += n,
            }
        }
        self.bytes.truncate(done);
        (self.segment, self.start) = (place.segment, u64::from(place.offset));
        self.file = Some(Arc::clone(file));
        Ok(())
    }
}

/// Reads single records. Two windows: entries are in one part of the log, their messages often in
/// another.
pub(super) struct Records<F> {
    windows: [Window<F>; 2],
}

impl<F> Records<F> {
    pub(super) fn new() -> Self {
        Self { windows: [Window::new(), Window::new()] }
    }

    /// The bytes of the record at `place`, through window `of`.
    pub(super) fn get<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        file: &Arc<F>,
        place: Place,
        of: usize,
    ) -> io::Result<Option<&[u8]>> {
        let other = 1 - of;
        let in_other = self.windows[other].get(place).is_some_and(|b| record_len(b).is_ok());
        if in_other {
            return Ok(self.windows[other].get(place).and_then(whole_record));
        }
        for _ in 0..2 {
            let there = self.windows[of].get(place).unwrap_or_default();
            match record_len(there) {
                Ok(_) => break,
                Err(need) => self.windows[of].fill(disk, file, place, need)?,
            }
        }
        Ok(self.windows[of].get(place).and_then(whole_record))
    }

    /// Forgets what it has of a file, so that the file may be used again.
    fn clear(&mut self) {
        for window in &mut self.windows {
            window.file = None;
            window.segment = 0;
            window.bytes.clear();
            window.bytes.shrink_to(WINDOW_BYTES);
        }
    }
}

/// How long the record at the front is, if all of it is there; else how many bytes are needed, as
/// far as one can tell.
fn record_len(bytes: &[u8]) -> Result<usize, usize> {
    let mut r = Bytes::new(bytes);
    let len = match r.u8().and_then(|_| r.varint()) {
        Ok(len) => usize::try_from(len).unwrap_or(usize::MAX),
        Err(_) => return Err(PREFIX_BYTES),
    };
    let whole = (bytes.len() - r.left()).saturating_add(len);
    if whole <= bytes.len() { Ok(whole) } else { Err(whole.min(RECORD_BYTES_MAX)) }
}

fn whole_record(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..record_len(bytes).ok()?)
}

/// What the index says about an entry that is to be read.
struct Wanted<F> {
    entry: QueueEntry,
    entry_file: Option<Arc<F>>,
    message: Place,
    message_file: Option<Arc<F>>,
    packet_id: Option<PacketId>,
}

/// See the module.
pub struct Reader<D: Disk, S: Shared<D::File>> {
    disk: Arc<D>,
    shared: S,
    records: Records<D::File>,
    scratch: Vec<u8>,
}

impl<D: Disk, S: Shared<D::File>> Reader<D, S> {
    /// Reads the log that `shared` is about.
    pub fn new(disk: Arc<D>, shared: S) -> Self {
        Self { disk, shared, records: Records::new(), scratch: Vec::new() }
    }

    /// The session's entries from `from_order` on, those in flight included: at most `count_max`,
    /// and not many more bytes than `bytes_max`, but at least one. Entries that were released
    /// (PUBREC came) have no message any more and are left out.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn load(
        &mut self,
        session: SessionNumber,
        from_order: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> io::Result<LoadedEntries> {
        let mut loaded = LoadedEntries::default();
        let (wanted, timeline) =
            self.look_up(session, from_order, count_max, bytes_max, &mut loaded.next_order);
        for wanted in &wanted {
            match self.read(session, wanted, timeline)? {
                Some(entry) => loaded.entries.push(entry),
                None => loaded.unreadable.push(wanted.entry.order),
            }
        }
        self.records.clear();
        Ok(loaded)
    }

    fn look_up(
        &self,
        session: SessionNumber,
        from_order: u64,
        count_max: usize,
        bytes_max: usize,
        next_order: &mut Option<u64>,
    ) -> (Vec<Wanted<D::File>>, Timeline) {
        self.shared.with(|state| {
            let file = |place: Place| state.files.get(&place.segment).map(|f| f.file.clone());
            let (mut wanted, mut bytes) = (Vec::new(), 0);
            if let Some(s) = state.index.sessions.get(&session.0) {
                for entry in s.queue.from(from_order) {
                    if wanted.len() >= count_max || bytes >= bytes_max && !wanted.is_empty() {
                        *next_order = Some(entry.order);
                        break;
                    }
                    let slot = state.index.messages.get(entry.message).unwrap_or_default();
                    bytes += Message::cost_of(slot.bytes as usize);
                    let under_way = s.under_way.get(&entry.order);
                    wanted.push(Wanted {
                        entry,
                        entry_file: file(entry.place),
                        message: slot.place,
                        message_file: file(slot.place),
                        packet_id: under_way.and_then(|u| PacketId::new(u.packet_id)),
                    });
                }
            }
            (wanted, state.timeline)
        })
    }

    fn read(
        &mut self,
        session: SessionNumber,
        wanted: &Wanted<D::File>,
        timeline: Timeline,
    ) -> io::Result<Option<Loaded>> {
        let Self { disk, records, scratch, .. } = self;
        let (Some(entry_file), Some(message_file)) = (&wanted.entry_file, &wanted.message_file)
        else {
            return Ok(None);
        };
        let QueueEntry { order, place, message: number } = wanted.entry;
        let bytes = records.get(&**disk, entry_file, place, 0)?;
        let Some(Ok(Stored::Queued(entry))) = bytes.map(|b| Stored::read(&mut Bytes::new(b)))
        else {
            return Ok(None);
        };
        if (entry.session, entry.order, entry.message) != (session.0, order, number) {
            return Ok(None);
        }
        let (qos, retain, subscription_ids) = (entry.qos, entry.retain, entry.subscription_ids());
        let group = entry.group.map(Arc::from);
        let bytes = records.get(&**disk, message_file, wanted.message, 1)?;
        let message = match bytes.map(|bytes| Stored::read(&mut Bytes::new(bytes))) {
            Some(Ok(Stored::Message { number: n, content })) if n == number => {
                content.build(number, timeline, scratch)
            }
            _ => None,
        };
        let packet_id = wanted.packet_id;
        Ok(message.map(|message| Loaded {
            order,
            message,
            qos,
            retain,
            subscription_ids,
            group,
            packet_id,
        }))
    }
}
