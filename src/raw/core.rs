//! The timers of one engine: its clock, its nursery and its wheel, whoever drives them, and when that one is to be woken.
//!
//! ```text
//!  armers: nursery ─► next_wake later than mine? wake            undertakers: disarm, or leave to be swept
//!                                 │
//!  who has the turn:  collect ─► wheel ─► due ─► (turn.rs marks and tells)
//!  who sleeps:        next_wake = earliest ─► ASLEEP ─► look again ─► sleep
//! ```
//!
//! The *turn* (`turn_word`) is the right to use the wheel.
//!
//! `next_wake` and the nursery are a store-buffer pair, all SeqCst: an armer publishes its deadline, then looks at
//! `next_wake`; who is about to sleep publishes that, then looks at the nursery. `next_wake` is written by that one alone,
//! until the end of the timers, so no armer relies on a wake that another has yet to make (R11). A loop may sleep while
//! another thread takes a turn: that neither takes back what the loop was told nor hides a deadline from it.
//!
//! Called by `bury`, `turn` and `timers`.

use super::drive::{Drive, Upper};
use super::dropped::Dropped;
use super::entry::Kind;
use super::moves::Moves;
use super::node::Timed;
use super::nursery::Nursery;
use super::parker::{Announced, Parker};
use super::time::Time;
use super::turn_word::{Begun, TurnWord};
use super::wheel::{Armed, Wheel};
use crate::sync::{self, AtomicUsize, Ordering, UnsafeCell, contain, model_fence};
use crate::tuning;
use std::fmt;
use std::time::Duration;

const STARTED: usize = 1 << 0;
const STOPPED: usize = 1 << 1;

/// The timers of one engine.
pub(crate) struct Core {
    drive: Drive,
    nursery: Nursery,
    wheel: UnsafeCell<Wheel>,
    /// The earliest deadline in the wheel, after the last turn.
    wheel_earliest: AtomicUsize,
    moves: Moves,
    pub(crate) turn: TurnWord,
    /// Until when whoever serves will not look; `PAST` while a thread that serves does.
    next_wake: AtomicUsize,
    status: AtomicUsize,
    /// The process, by the forks that led to it, in which a thread was started to serve.
    started_in: AtomicUsize,
    /// One more than the process in which a thread serves; 0: none ever did.
    served_in: AtomicUsize,
    parker: Parker,
    /// How many trees use these timers, of an engine of one's own.
    roots: AtomicUsize,
    pub(crate) upper: Upper,
}

// SAFETY: the wheel is used by whoever has the turn, one thread at a time (R10); the rest is shared by its own means.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

/// What an armer that came too late is to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// End the node: the timers are stopped.
    Stopped,
    /// Take a turn: the clock was moved past the deadline meanwhile.
    Due,
}

impl Core {
    pub(crate) fn new(drive: Drive, upper: Upper) -> Self {
        sync::count_forks();
        let started = !matches!(drive, Drive::Thread(_));
        Self {
            drive,
            nursery: Nursery::new(),
            wheel: UnsafeCell::new(Wheel::new()),
            wheel_earliest: AtomicUsize::new(Time::NEVER.word()),
            moves: Moves::new(),
            turn: TurnWord::new(),
            next_wake: AtomicUsize::new(Time::PAST.word()),
            status: AtomicUsize::new(if started { STARTED } else { 0 }),
            started_in: AtomicUsize::new(0),
            served_in: AtomicUsize::new(0),
            parker: Parker::new(),
            roots: AtomicUsize::new(0),
            upper,
        }
    }

    /// Wait-free.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.drive.now()
    }

    pub(crate) fn is_looped(&self) -> bool {
        matches!(self.drive, Drive::Loop(_))
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.drive, Drive::Clock(_))
    }

    /// Moves a manual clock; never back, and no further than its range.
    pub(crate) fn move_clock(&self, by: Duration) {
        self.drive.move_clock(by);
    }

    /// One tree more: the first, or one that is made beside another.
    pub(crate) fn add_root(&self) {
        // ORDERING: Relaxed; whoever adds one has another, or is alone.
        self.roots.fetch_add(1, Ordering::Relaxed);
    }

    /// One tree less; the last stops the timers.
    pub(crate) fn remove_root(&self) {
        // ORDERING: AcqRel, so that who stops them comes after all that used them.
        if self.roots.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop();
        }
    }

    /// The name of the thread that is to serve these timers, if none has been started yet.
    #[inline]
    pub(crate) fn to_be_started(&self) -> Option<&str> {
        match &self.drive {
            // ORDERING: Acquire pairs with `set_started`, for `started_in`. A thread too many goes away by itself.
            Drive::Thread(name) if self.status.load(Ordering::Acquire) & STARTED == 0 => Some(name),
            _ => None,
        }
    }

    /// Started, where a thread serves, and not stopped. Wait-free.
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        // ORDERING: as `is_stopped` and `to_be_started`.
        self.status.load(Ordering::SeqCst) == STARTED
    }

    /// Before a thread is started to serve, or by one that a fork has brought into another process.
    pub(crate) fn set_start(&self) {
        self.started_in.store(sync::forks(), Ordering::Relaxed);
    }

    pub(crate) fn set_started(&self) {
        self.status.fetch_or(STARTED, Ordering::AcqRel);
    }

    /// Whether a thread fires what is due.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.drive, Drive::Thread(_)) && !self.is_stopped() && !self.is_orphaned()
    }

    /// Whether the thread that serves was left behind by a fork: of what is armed nothing ever fires, and who drops sweeps.
    #[inline]
    pub(crate) fn is_orphaned(&self) -> bool {
        matches!(self.drive, Drive::Thread(_))
            // ORDERING: Relaxed; whoever asks has seen STARTED, or is the thread that was started after it was stored.
            && self.started_in.load(Ordering::Relaxed) != sync::forks()
    }

    /// `false`: another thread of this process serves already.
    pub(crate) fn serve(&self) -> bool {
        let here = sync::forks() + 1;
        self.served_in.swap(here, Ordering::AcqRel) != here
    }

    pub(crate) fn is_stopped(&self) -> bool {
        // ORDERING: SeqCst with `stop` and `next_wake`.
        self.status.load(Ordering::SeqCst) & STOPPED != 0
    }

    /// From here on every turn ends what is armed. Wakes the thread that serves.
    pub(crate) fn stop(&self) {
        self.status.fetch_or(STOPPED, Ordering::SeqCst);
        if matches!(self.drive, Drive::Thread(_)) {
            self.parker.wake();
        }
    }

    fn wake(&self) {
        match &self.drive {
            Drive::Thread(_) => self.parker.wake(),
            Drive::Loop(Some(wake)) => {
                contain(wake);
            }
            Drive::Loop(None) | Drive::Clock(_) => {}
        }
    }

    /// Wakes the thread, where there is one, to empty slots that are full of what is far ahead: else all that comes now would go
    /// to the wheel. A loop is told of deadlines alone.
    #[cold]
    fn wake_to_empty(&self) {
        if let Drive::Thread(_) = &self.drive {
            self.parker.wake();
        }
    }

    /// Takes over the ARMED pin of a node; sees to it that it fires. Lock-free; a system call where whoever serves sleeps
    /// past its deadline.
    ///
    /// # Safety
    ///
    /// As [`Nursery::arm`].
    #[inline]
    pub(crate) unsafe fn arm(&self, timed: *mut Timed, now: Time) -> Option<Late> {
        // SAFETY: the caller has a handle (R8).
        let node = unsafe { Timed::at(timed) }.node();
        let deadline = node.deadline();
        // SAFETY: the caller's promise.
        unsafe { self.nursery.arm(timed, now, || self.wake_to_empty()) };
        model_fence();
        // A store-buffer pair with who stops them, and then collects; and not by `next_wake`, which is the sleeper's.
        if self.is_stopped() {
            if node.entry().kind() != Kind::Wait {
                return Some(Late::Stopped);
            }
        } else if deadline.word() < self.next_wake.load(Ordering::SeqCst) {
            if tuning::mutant("R11") {
                self.next_wake.store(deadline.word(), Ordering::SeqCst);
            }
            self.wake();
        }
        match &self.drive {
            // A store-buffer pair too: who moves the clock then looks at the nursery.
            Drive::Clock(clock) if deadline.word() <= clock.load(Ordering::SeqCst) => {
                Some(Late::Due)
            }
            _ => None,
        }
    }

    /// Takes the ARMED pin of a node back, if that can be done. Lock-free; where enough have been abandoned, they are swept
    /// out: whoever serves is woken for it, by a system call, or where none comes, this call does it.
    ///
    /// # Safety
    ///
    /// As [`Nursery::disarm`]; the node is ARMED.
    #[inline]
    pub(crate) unsafe fn disarm(&self, timed: *mut Timed) -> bool {
        // SAFETY: the caller's promise.
        let disarmed = unsafe { self.nursery.disarm(timed) };
        if !disarmed {
            // SAFETY: the caller's promise.
            unsafe { self.abandon(timed) };
        }
        disarmed || tuning::mutant("R10b")
    }

    /// # Safety
    ///
    /// As [`Nursery::abandon`].
    unsafe fn abandon(&self, timed: *mut Timed) {
        // SAFETY: the caller's promise.
        let abandoned = unsafe { self.nursery.abandon(timed) };
        // Again and again, for the first may be stopped before it wakes (R11).
        if !abandoned.is_multiple_of(tuning::ABANDONED) {
            return;
        }
        let comes = match &self.drive {
            Drive::Thread(_) => !self.is_orphaned(),
            // The loop has been told, if it can be; if as many again were dropped since, it is elsewhere.
            Drive::Loop(_) => abandoned < 2 * tuning::ABANDONED,
            Drive::Clock(_) => false,
        };
        if comes {
            self.wake();
        } else {
            (self.upper.tidy)(self);
        }
    }

    /// The turn; `false`: another has it, who is told to go round once more, or is not.
    pub(crate) fn begin_turn(&self, tells: bool) -> bool {
        let begun = self.turn.begin(tells);
        if begun == Begun::AfterFork {
            self.mend_after_fork();
        }
        begun != Begun::Theirs
    }

    /// Of a turn whose thread a fork left behind. Where that was at the wheel just then, what is in it stays armed for good,
    /// as does what it had taken out and not marked; what it was collecting from is looked at again.
    #[cold]
    fn mend_after_fork(&self) {
        self.nursery.distrust();
        if self.moves.is_under_way() {
            self.wheel.with_mut(|wheel| {
                // SAFETY: whoever has the turn has the wheel (R10).
                let wheel = unsafe { &mut *wheel };
                *wheel = wheel.next_generation();
                self.note(wheel);
            });
            self.moves.end();
        }
    }

    /// Lets the turn go; `false`: it is still the caller's, to go round once more.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn end_turn(&self) -> bool {
        self.turn.end()
    }

    /// What is due, the earliest first, with the ARMED pins.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn take_due(&self) -> Armed {
        // A turn may be another's than the loop's, which sleeps on until when it was told.
        if let Drive::Thread(_) = &self.drive {
            self.next_wake.store(Time::PAST.word(), Ordering::SeqCst);
        }
        model_fence();
        // SAFETY: the caller's promise.
        unsafe {
            self.take(|wheel| {
                let now = self.now();
                let near = now.after(Duration::from_nanos(tuning::NEAR));
                self.nursery.collect(near, wheel);
                wheel.expire(now)
            })
        }
    }

    /// What does not outlast the stop of the timers, with the ARMED pins.
    ///
    /// # Safety
    ///
    /// The caller has the turn; the timers are stopped.
    pub(crate) unsafe fn take_stopped(&self) -> Armed {
        model_fence();
        // SAFETY: the caller's promise; what is in the wheel is pinned by it (R10).
        unsafe {
            self.take(|wheel| {
                self.nursery.collect(Time::NEVER, wheel);
                wheel.remove(|timed| Timed::at(timed).node().entry().kind() != Kind::Wait)
            })
        }
    }

    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn take<R>(&self, take: impl FnOnce(&mut Wheel) -> R) -> R {
        self.moves.begin();
        let taken = self.wheel.with_mut(|wheel| {
            // SAFETY: whoever has the turn has the wheel (R10).
            let wheel = unsafe { &mut *wheel };
            let taken = take(wheel);
            self.note(wheel);
            taken
        });
        self.moves.end();
        taken
    }

    /// Whether so much was dropped that it is to be swept out though nothing else asks for a turn.
    pub(crate) fn is_littered(&self) -> bool {
        self.nursery.is_littered()
    }

    /// What was dropped when it was in no slot any more, out of the wheel.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    pub(crate) unsafe fn sweep(&self) -> Dropped {
        if !self.nursery.has_dropped() {
            return Dropped::new();
        }
        // SAFETY: the caller's promise.
        unsafe { self.take(|wheel| self.take_dropped(Time::PAST, wheel)) }
    }

    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn take_dropped(&self, horizon: Time, wheel: &mut Wheel) -> Dropped {
        let dropped = self.nursery.take_dropped();
        // After it, so that what had found no slot is in the wheel.
        self.nursery.collect(horizon, wheel);
        // SAFETY: collected above.
        unsafe { wheel.leave_out(&dropped) };
        dropped
    }

    fn note(&self, wheel: &Wheel) {
        self.wheel_earliest
            .store(wheel.earliest().word(), Ordering::SeqCst);
    }

    /// No later than any deadline that is armed; `PAST` where some were moved meanwhile, for one may have been overlooked.
    fn earliest(&self) -> Time {
        let read = || {
            let wheel = Time::from_word(self.wheel_earliest.load(Ordering::SeqCst));
            self.nursery.earliest().min(wheel)
        };
        self.moves.unmoved(read).unwrap_or(Time::PAST)
    }

    /// Says until when nobody will look, and answers with that: whoever arms below it wakes.
    pub(crate) fn publish_next_wake(&self) -> Time {
        loop {
            let earliest = self.earliest();
            self.next_wake.store(earliest.word(), Ordering::SeqCst);
            model_fence();
            if self.earliest() >= earliest {
                return earliest;
            }
        }
    }

    /// As the thread that serves: sleeps until something is due or was changed. Blocks.
    pub(crate) fn sleep(&self) {
        let announced: Announced = self.parker.announce();
        let until = self.publish_next_wake();
        if self.is_stopped() || self.is_littered() || self.nursery.is_crowded() {
            self.parker.rise();
        } else {
            self.parker.sleep(announced, until);
        }
    }

    /// Everything that was dropped and not swept: the end of the timers, of which the caller has the last count, so that all
    /// that was armed has been.
    pub(crate) fn drain(&self) -> Dropped {
        self.wheel.with_mut(|wheel| {
            // SAFETY: nobody else has the timers any more.
            unsafe { self.take_dropped(Time::NEVER, &mut *wheel) }
        })
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}
