//! The stage that a run is played on: where the broker is now, how far the play has got, and what
//! went wrong. The actors are threads; they wait here for what happens, never for time to pass.
//!
//! Invariant: a link that ends waits for the broker's next life; if there is none, that is a fault.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stonechat::codec::{Connect, Packet};

use crate::support::PATIENCE;
use crate::support::client::{Client, Heard};

/// How far the play has got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Act {
    /// receivers subscribe, before anything is published
    Rehearsal,
    /// everybody publishes
    Publishing,
    /// publishers send nothing new, and wait for what is still to be acknowledged
    Closing,
    /// all is acknowledged: receivers take what is left
    Draining,
    /// what nobody may get any more is looked for
    Epilogue,
}

/// All that the actors wait for.
pub(crate) struct State {
    pub(crate) act: Act,
    /// counts the starts of the broker; the address is none while it is down
    life: u64,
    address: Option<SocketAddr>,
    /// counts everything whose order matters
    tick: u64,
    /// messages that were acknowledged
    pub(crate) acknowledged: u64,
    /// messages that have arrived somewhere
    pub(crate) arrived: u64,
    /// receivers that have all their subscriptions
    pub(crate) subscribed: usize,
    /// actors that have done what this act wants of them
    pub(crate) done: usize,
    fault: Option<String>,
}

impl State {
    fn how_far(&self) -> (Act, u64, u64, u64, usize) {
        (self.act, self.life, self.acknowledged, self.arrived, self.done)
    }
}

pub(crate) struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

/// A connection, and in which life of the broker it was made.
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) life: u64,
    /// Session Present
    pub(crate) present: bool,
}

/// The play is over because something went wrong: said already, so nothing more is to be done.
#[derive(Debug)]
pub(crate) struct Over;

impl Stage {
    pub(crate) fn new() -> Self {
        let state = State {
            act: Act::Rehearsal,
            life: 0,
            address: None,
            tick: 0,
            acknowledged: 0,
            arrived: 0,
            subscribed: 0,
            done: 0,
            fault: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that others may wait for.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.notify_all();
        value
    }

    /// Counts something that happens often: not everybody who waits looks at once.
    pub(crate) fn count(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let notify = (state.acknowledged + state.arrived).is_multiple_of(16);
        drop(state);
        if notify {
            self.changed.notify_all();
        }
    }

    /// The next number: what gets it comes after everything that has a lower one.
    pub(crate) fn tick(&self) -> u64 {
        let mut state = self.lock();
        state.tick += 1;
        state.tick
    }

    pub(crate) fn act(&self) -> Act {
        self.lock().act
    }

    /// Waits until `found` finds in the state what it looks for.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        found: impl Fn(&State) -> Option<T>,
    ) -> Result<T, Over> {
        let mut state = self.lock();
        let mut seen = state.how_far();
        let mut until = Instant::now() + PATIENCE;
        loop {
            // As long as anything moves, nobody waits in vain.
            if seen != state.how_far() {
                seen = state.how_far();
                until = Instant::now() + PATIENCE;
            }
            if state.fault.is_some() {
                return Err(Over);
            }
            if let Some(value) = found(&state) {
                return Ok(value);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (act, life, ..) = seen;
                let fault = format!(
                    "{what}: waited for in vain in {act:?}, life {life}: {} acknowledged, {} \
                     arrived, {} subscribed, {} done",
                    state.acknowledged, state.arrived, state.subscribed, state.done
                );
                state.fault = Some(fault);
                self.changed.notify_all();
                return Err(Over);
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The same, while the broker lives; false if its life ended first.
    pub(crate) fn wait_in_life(
        &self,
        life: u64,
        what: &str,
        found: impl Fn(&State) -> Option<()>,
    ) -> Result<bool, Over> {
        self.wait(what, |state| {
            let lives = state.life == life && state.address.is_some();
            if lives { found(state).map(|()| true) } else { Some(false) }
        })
    }

    /// The broker is up.
    pub(crate) fn up(&self, address: SocketAddr) {
        self.change(|state| {
            state.life += 1;
            state.address = Some(address);
        });
    }

    /// The broker is gone.
    pub(crate) fn down(&self) {
        self.change(|state| state.address = None);
    }

    pub(crate) fn fail(&self, why: String) {
        self.change(|state| {
            state.fault.get_or_insert(why);
        });
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// Plays a part; what it finds wrong, by panicking, ends the play.
    pub(crate) fn play(&self, who: &str, part: impl FnOnce() -> Result<(), Over>) {
        if let Err(why) = catch_unwind(AssertUnwindSafe(part)) {
            let text = why.downcast_ref::<String>().map(String::as_str);
            let text = text.or(why.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            self.fail(format!("{who}: {text}"));
        }
    }

    /// Connects in a life later than `after`, as often as it takes.
    pub(crate) fn connect(
        &self,
        mut after: u64,
        connect: impl Fn() -> Connect<'static>,
    ) -> Result<Link, Over> {
        loop {
            let (address, life) = self.wait("the broker", |state| {
                state.address.filter(|_| state.life > after).map(|address| (address, state.life))
            })?;
            if let Some((client, present)) = open(address, connect()) {
                return Ok(Link { client, life, present });
            }
            after = life;
        }
    }
}

/// Connects; `None` if the broker dies meanwhile.
pub(crate) fn open(address: SocketAddr, connect: Connect<'_>) -> Option<(Client, bool)> {
    let socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut client = Client::over(socket, connect.version);
    client.try_send(&Packet::Connect(Box::new(connect)));
    match client.hear() {
        Heard::ConnAck { present, code: 0, .. } => Some((client, present)),
        Heard::End => None,
        other => panic!("CONNECT was answered with {other:?}"),
    }
}
