//! Memory goes back to the system: after a crowd has gone, and what only the start needed.
//!
//! What lives here: when that is worth its while, and the calls into the C library. Invariant:
//! nothing of it is on the way of a message: a timer looks at two numbers every few seconds. Only
//! when many connections have ended, and few end any more, are shards and allocator asked; the
//! program's own pages are let go once, before there is anybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at};

use super::mailbox::{Sender, ToShard};
use super::totals::Totals;

/// How often it is looked whether there is something to give back.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What fewer connections leave behind is not worth it.
const ENDED_MIN: u64 = 256;
/// It is quiet when fewer than one in so many of them have ended since the last look.
const QUIET_PART: u64 = 8;

/// Gives back what crowds and the start leave behind, as long as there are shards.
pub(crate) async fn give_back(shards: Vec<Sender>, totals: Arc<Totals>) {
    let mut timer = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    let mut crowd = Crowd::default();
    loop {
        timer.tick().await;
        if !crowd.has_gone(totals.ended_connections()) {
            continue;
        }
        let mut blocks = vec![take_cached_blocks()];
        for shard in &shards {
            let (done, wait) = oneshot::channel();
            if shard.send(ToShard::Shrink(done)).is_err() {
                return;
            }
            let Ok(cached) = wait.await else { return };
            blocks.push(cached);
        }
        drop_and_trim(blocks);
        tracing::debug!("memory of connections that have ended goes back to the system");
    }
}

/// Who has gone, since memory was given back.
#[derive(Debug, Default)]
struct Crowd {
    /// connections ended at the last look
    seen: u64,
    /// and when memory was given back
    settled: u64,
}

impl Crowd {
    /// Whether many have gone, and it is quiet now. `ended`: all that ever ended.
    fn has_gone(&mut self, ended: u64) -> bool {
        let (new, all) = (ended - self.seen, ended - self.settled);
        self.seen = ended;
        let gone = all >= ENDED_MIN && new * QUIET_PART < all;
        if gone {
            self.settled = ended;
        }
        gone
    }
}

/// Small blocks that glibc keeps for each thread, by size: so many bytes, in such steps.
const CACHED_BYTES: std::ops::RangeInclusive<usize> = 24..=1032;
const CACHED_STEP_BYTES: usize = 16;
/// And how many of each.
const CACHED_EACH: usize = 7;

/// Then so many large ones, which nobody touches: they fill the holes and reach beyond the end of
/// what the thread's heap has in use. While the last of them is there, all that is free lies in
/// front of something, and goes back; the end of a heap does not (measured: 2 MB of a shard).
const LARGE_BLOCKS: usize = 256;
/// Below what glibc maps one by one.
const LARGE_BLOCK_BYTES: usize = 120 << 10;

/// Blocks of memory, for nothing but to be dropped.
pub(crate) type Blocks = Vec<Vec<u8>>;

/// The free blocks that the allocator keeps for this thread. After a crowd they are strewn over all
/// the memory that it had, and each keeps a page from going back (measured: up to 3 MB for a
/// shard). Dropped here they would be kept again: a thread that ends after it has dropped them
/// leaves none behind.
pub(crate) fn take_cached_blocks() -> Blocks {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Vec::new();
    }
    let sizes = CACHED_BYTES.step_by(CACHED_STEP_BYTES);
    let mut blocks = Vec::with_capacity(sizes.clone().count() * CACHED_EACH);
    for size in sizes {
        blocks.extend((0..CACHED_EACH).map(|_| Vec::with_capacity(size)));
    }
    for _ in 0..LARGE_BLOCKS {
        let mut block = Vec::new();
        if block.try_reserve_exact(LARGE_BLOCK_BYTES).is_ok() {
            blocks.push(block);
        }
    }
    blocks
}

/// Drops `blocks`, and returns free pages. On a thread of its own: it takes some milliseconds, and
/// no shard is to wait.
fn drop_and_trim(mut blocks: Vec<Blocks>) {
    let ends: Vec<_> = blocks.iter_mut().filter_map(Blocks::pop).collect();
    let _ = std::thread::Builder::new().name("memory".to_owned()).spawn(move || {
        let dropped = std::thread::Builder::new().spawn(move || drop(std::hint::black_box(blocks)));
        let _ = dropped.map(std::thread::JoinHandle::join);
        ask(Ask::Trim);
        drop(std::hint::black_box(ends));
    });
}

/// Keeps the allocator from learning by itself: once a large block was freed (the log makes some),
/// glibc would keep up to twice its size at the end of each heap for ever.
pub(crate) fn set_up() {
    ask(Ask::SetUp);
}

/// The pages of the program and its libraries that are as in their files: code and constants.
#[derive(Debug)]
pub(crate) struct Program(Vec<Pages>);

/// An address and a length in bytes.
type Pages = (usize, usize);

impl Program {
    /// Where they are. To be called at the start, before there are threads that may load further
    /// libraries: what is there now stays there until the end, and nothing is written to it.
    pub(crate) fn find() -> Self {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        Self(unwritten_pages_of_files(&maps))
    }

    /// Lets go of them once the start is over: what of it is needed from here on comes back from
    /// the system's cache, a few pages at a time, and what only the start needed does not.
    pub(crate) fn forget(&self) {
        for (address, bytes) in &self.0 {
            ask(Ask::Forget(*address, *bytes));
        }
    }
}

/// The private mappings of files, of what `/proc/PID/smaps` shows, that cannot be written to, and
/// never were: those that the loader wrote addresses into have pages of their own (anonymous ones).
fn unwritten_pages_of_files(smaps: &str) -> Vec<Pages> {
    let mut found = Vec::new();
    let (mut mapping, mut unwritten) = (None, 0);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:" | "Swap:"), Some("0")) => unwritten += 1,
            // The last line of each mapping.
            (Some("VmFlags:"), _) if unwritten == 2 => found.extend(mapping.take()),
            (Some(first), _) if !first.ends_with(':') => {
                (mapping, unwritten) = (read_only_pages(line), 0);
            }
            _ => {}
        }
    }
    found
}

/// The pages that the first line of a mapping speaks of, if it is of a file and read-only.
fn read_only_pages(line: &str) -> Option<Pages> {
    let mut words = line.split_ascii_whitespace();
    let (from, until) = words.next()?.split_once('-')?;
    let (rights, inode) = (words.next()?, words.nth(2)?);
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (from, until) = (address(from)?, address(until)?);
    let is_one = matches!(rights, "r-xp" | "r--p") && inode != "0" && from < until;
    is_one.then(|| (from, until - from))
}

/// So much that is free at the end of a heap goes back at once. Less would come and go with every
/// few large messages, and each page of it costs a fault then (measured: with 512 KiB, payloads of
/// 64 KiB took twice the processor time).
const FREE_END_BYTES: i32 = 4 << 20;
/// Blocks of so many bytes are mapped, and go back, one by one.
const MAPPED_BYTES: i32 = 2 << 20;

enum Ask {
    Trim,
    SetUp,
    /// pages that are as in their file: an address and a length in bytes
    Forget(usize, usize),
}

/// Asks the allocator to return its free pages: by itself glibc only returns those at the end of
/// its heaps, and what a crowd leaves is in between.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn ask(what: Ask) {
    #[expect(
        unsafe_code,
        reason = "malloc_trim(3), mallopt(3) and madvise(2) have no safe wrapper. Sound: the first \
                  two may be called at any time from any thread, and touch free memory and the \
                  allocator's settings only. madvise is called with MADV_DONTNEED for private \
                  mappings of files that cannot be written to and never were, of the program and \
                  the libraries it started with: the system reads them from the file again."
    )]
    mod c {
        use std::ffi::c_int;
        unsafe extern "C" {
            /// Leaves `pad` bytes at the end of the main heap; says whether anything was returned.
            pub(super) safe fn malloc_trim(pad: usize) -> c_int;
            pub(super) safe fn mallopt(what: c_int, value: c_int) -> c_int;
            pub(super) safe fn madvise(address: usize, bytes: usize, advice: c_int) -> c_int;
        }
        pub(super) const MADV_DONTNEED: c_int = 4;
        pub(super) const M_TRIM_THRESHOLD: c_int = -1;
        pub(super) const M_MMAP_THRESHOLD: c_int = -3;
    }
    match what {
        Ask::Trim => _ = c::malloc_trim(0),
        Ask::Forget(address, bytes) => _ = c::madvise(address, bytes, c::MADV_DONTNEED),
        Ask::SetUp => {
            c::mallopt(c::M_TRIM_THRESHOLD, FREE_END_BYTES);
            c::mallopt(c::M_MMAP_THRESHOLD, MAPPED_BYTES);
        }
    }
}

/// Other allocators return free pages by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn ask(_: Ask) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_gone_once_it_is_quiet() {
        let mut crowd = Crowd::default();
        for (ended, gone) in [
            (0, false),
            (200, false),    // few
            (200, false),    // still few
            (10_000, false), // they are going
            (10_100, true),
            (10_100, false), // given back already
            (10_300, false),
            (10_400, false),
            (10_410, true),
        ] {
            assert_eq!(crowd.has_gone(ended), gone, "{ended}");
        }
    }

    #[test]
    fn only_what_was_never_written_is_forgotten() {
        const CLEAN: &str = "Anonymous: 0 kB\nSwap: 0 kB\nVmFlags: rd";
        for (head, tail, found) in [
            ("1000-3000 r-xp 00001000 fe:00 42 /usr/bin/x", CLEAN, true),
            ("1000-3000 r--p 00001000 fe:00 42 /usr/bin/x", CLEAN, true),
            ("1000-3000 rw-p 00001000 fe:00 42 /usr/bin/x", CLEAN, false),
            ("1000-3000 rwxp 00001000 fe:00 42 /usr/bin/x", CLEAN, false),
            ("1000-3000 r-xs 00001000 fe:00 42 /usr/bin/x", CLEAN, false),
            ("1000-3000 r-xp 00000000 00:00 0 [vdso]", CLEAN, false),
            ("3000-1000 r-xp 00001000 fe:00 42 /usr/bin/x", CLEAN, false),
            // What the loader wrote, here or on disk.
            ("1000-3000 r--p 0 fe:00 42 /x", "Anonymous: 8 kB\nSwap: 0 kB\nVmFlags: rd", false),
            ("1000-3000 r--p 0 fe:00 42 /x", "Anonymous: 0 kB\nSwap: 8 kB\nVmFlags: rd", false),
            // A system that does not say so.
            ("1000-3000 r--p 0 fe:00 42 /x", "Anonymous: 0 kB\nVmFlags: rd", false),
            ("1000-3000 r--p 0 fe:00 42 /x", "Anonymous: 0 kB\nSwap: 0 kB", false),
            ("", "", false),
        ] {
            let smaps = format!("{head}\nRss: 8 kB\n{tail}\n5000-6000 rw-p 0 00:00 0\n{CLEAN}\n");
            let expected = if found { vec![(0x1000, 0x2000)] } else { vec![] };
            assert_eq!(unwritten_pages_of_files(&smaps), expected, "{head} {tail}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_finds_itself() {
        let code = a_program_finds_itself as fn() as usize;
        let is_in = |(from, bytes): &Pages| (*from..from + bytes).contains(&code);
        assert!(Program::find().0.iter().any(is_in));
    }

    /// A steady coming and going has its turn now and then.
    #[test]
    fn constant_coming_and_going_is_given_back_after_a_while() {
        let mut crowd = Crowd::default();
        let looks: Vec<u64> = (1..=20).filter(|n| crowd.has_gone(n * 100)).collect();
        assert_eq!(looks, [9, 18]);
    }
}
