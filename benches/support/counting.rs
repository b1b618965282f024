//! A global allocator that counts what its thread allocates, for benches and tests that bound it.
//!
//! May use: `std` alone. Invariant: it hands every call on to the system's allocator unchanged; the
//! counts are the calling thread's own, so that nothing beside it (a test harness, a timer) shows.
//! The only `unsafe` of the benches: an allocator cannot be written without.
#![expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; each call goes to System as it is"
)]
#![allow(dead_code, reason = "each bench uses a part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts, then asks [`System`].
pub(crate) struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(calls: u64, grown_bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = CALLS.try_with(|n| n.set(n.get() + calls));
    let _ = LIVE_BYTES.try_with(|n| n.set(n.get() + grown_bytes));
}

// SAFETY: every method hands its arguments to `System`, whose contract is the same, and returns
// what it returned. Counting touches two thread-local integers and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        count(1, new_bytes as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(old, layout, new_bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(old, layout) }
    }
}

/// How often this thread has asked for memory: new, or grown.
pub(crate) fn allocations() -> u64 {
    CALLS.with(Cell::get)
}

/// The bytes that this thread has asked for and not given back (an allocator's own overhead, 8 to
/// 16 bytes each, left out).
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.with(Cell::get)
}
