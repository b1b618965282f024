//! Lines on their way to the thread that writes them.
//!
//! May use: one lock, held to copy a line or to take all of them, never while anything is written.
//! Invariants: who logs never waits for who reads the log; lines are written whole and in order; at
//! most `LINES_MAX` wait or are being written, and those beyond are dropped and counted.
//!
//! A line is written at once if none was for a moment; while many come, all that came in a moment
//! are written together. To wake a thread for each line costs more than to make it: that was a
//! tenth of the processor time of clients that connect one after the other, with a line for each.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the writing thread, or that it writes.
pub(super) const LINES_MAX: usize = 4096;
/// How long the writing thread rests after it has written.
const REST: Duration = Duration::from_millis(10);
/// How long the end waits for a reader that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// lines in `bytes`, and those that are being written
    lines: usize,
    /// nobody has told the thread of new lines yet
    thread_waits: bool,
    /// all is said
    over: bool,
    /// and written
    done: bool,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// there are lines, or it is over
    news: Condvar,
    /// the thread has ended
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines are put.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

/// Ends the thread when it is dropped, once it has written what waits.
#[derive(Debug)]
pub(super) struct Worker(Arc<Shared>);

impl Queue {
    /// A queue, and the thread that writes from it to `out`.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Worker)> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&own, out))?;
        Ok((Self(Arc::clone(&shared)), Worker(shared)))
    }

    /// Lines that found no room, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }
}

impl Write for &Queue {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut pending = self.0.lock();
        if pending.lines >= LINES_MAX || pending.over {
            pending.dropped += 1;
            return Ok(line.len());
        }
        pending.lines += 1;
        pending.bytes.extend_from_slice(line);
        let wake = std::mem::take(&mut pending.thread_waits);
        drop(pending);
        if wake {
            self.0.news.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// The thread: writes what there is, rests, and waits for more.
fn write_all(shared: &Shared, mut out: impl Write) {
    let mut bytes = Vec::new();
    loop {
        let mut pending = shared.lock();
        while pending.bytes.is_empty() && !pending.over {
            pending.thread_waits = true;
            pending = shared.news.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        if pending.bytes.is_empty() {
            pending.done = true;
            drop(pending);
            return shared.done.notify_all();
        }
        std::mem::swap(&mut pending.bytes, &mut bytes);
        let lines = pending.lines;
        drop(pending);
        // A log that cannot be written has nowhere to say so.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES_MAX);
        let mut pending = shared.lock();
        pending.lines -= lines;
        // Not woken by lines: they are what it rests for.
        let rests = |pending: &mut Pending| !pending.over;
        drop(shared.news.wait_timeout_while(pending, REST, rests));
    }
}

/// What is kept of the memory that many lines took.
const KEPT_BYTES_MAX: usize = 16 << 10;

impl Drop for Worker {
    fn drop(&mut self) {
        let mut pending = self.0.lock();
        pending.over = true;
        pending.thread_waits = false;
        self.0.news.notify_all();
        let waits = |pending: &mut Pending| !pending.done;
        drop(self.0.done.wait_timeout_while(pending, LAST_WORDS, waits));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Hands on what is written, and waits until somebody takes it.
    struct Slow(mpsc::SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Queue, Worker, mpsc::Receiver<Vec<u8>>) {
        let (send, taken) = mpsc::sync_channel(0);
        let (queue, worker) = Queue::start(Slow(send)).unwrap();
        (queue, worker, taken)
    }

    #[test]
    fn lines_leave_whole_and_in_order_and_all_of_them_before_the_end() {
        let (queue, worker, taken) = slow();
        let reader = std::thread::spawn(move || taken.iter().flatten().collect::<Vec<u8>>());
        let lines: Vec<String> = (0..2_000).map(|n| format!("line {n}\n")).collect();
        for line in &lines {
            (&queue).write_all(line.as_bytes()).unwrap();
        }
        drop(worker);
        assert_eq!(String::from_utf8(reader.join().unwrap()).unwrap(), lines.concat());
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_line_does_not_wait_for_others() {
        let (queue, _worker, taken) = slow();
        for line in [b"one\n", b"two\n"] {
            (&queue).write_all(line).unwrap();
            assert_eq!(taken.recv().unwrap(), line);
        }
    }

    #[test]
    fn what_a_stuck_reader_has_no_room_for_is_dropped_and_counted() {
        let (queue, worker, taken) = slow();
        for _ in 0..LINES_MAX + 7 {
            (&queue).write_all(b"line\n").unwrap();
        }
        assert_eq!(queue.dropped(), 7, "those that are being written count too");
        let reader = std::thread::spawn(move || taken.iter().map(|b| b.len()).sum::<usize>());
        drop(worker);
        assert_eq!(reader.join().unwrap(), LINES_MAX * b"line\n".len());
        (&queue).write_all(b"late\n").unwrap();
        assert_eq!(queue.dropped(), 8);
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let (queue, worker, taken) = slow();
        (&queue).write_all(b"line\n").unwrap();
        drop(worker); // nobody takes it
        drop(taken);
    }
}
