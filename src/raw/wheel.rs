//! The hierarchical timing wheel: deadlines that were not over before they came near.
//!
//! ```text
//!  level 0: 64 slots of 65 µs │ level 1: 64 of 4.2 ms │ level 2: 64 of 268 ms │ … │ level 7: 16 of 2.3 years · 2^6
//!  a deadline's level: that of the highest digit (6 bits) in which it differs from `base`; its slot: that digit
//! ```
//!
//! Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7. A slot says where to look, not
//! when: it knows the least deadline in it, and what is due is compared in nanoseconds. `base` never passes a slot that
//! holds something, so all of a lower level is earlier than all of a higher one.
//!
//! A slot's chain goes both ways, so what was dropped is taken out in one step, however much is in the wheel.
//!
//! Pure bookkeeping: it knows no clock, no thread and no atomic. Called by `core`, by whoever has the turn.

use super::dropped::{Dropped, Generation, Place};
use super::node::Timed;
use super::state::Pins;
use super::time::Time;
use std::ptr;

const LEVELS: usize = 8;
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
/// log2 of the nanoseconds of a slot at the bottom.
const FINEST: u32 = 16;

/// A private chain of armed nodes, through their `next` word. Whoever has the chain has their ARMED pins.
#[derive(Debug)]
pub(crate) struct Armed {
    first: *mut Timed,
}

impl Armed {
    pub(crate) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// The ARMED pin of the node is the caller's, and passes.
    unsafe fn push(&mut self, timed: *mut Timed) {
        // SAFETY: the caller's promise; the word goes with the pin.
        unsafe { Timed::at(timed).set_next(self.first) };
        self.first = timed;
    }

    pub(crate) fn pop(&mut self) -> Option<*mut Timed> {
        let timed = self.first;
        if timed.is_null() {
            return None;
        }
        // SAFETY: pinned while it is on the chain (R10).
        self.first = unsafe { Timed::at(timed).next() };
        Some(timed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = *mut Timed> + '_ {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let timed = next;
            if timed.is_null() {
                return None;
            }
            // SAFETY: pinned while it is on the chain (R10).
            next = unsafe { Timed::at(timed).next() };
            Some(timed)
        })
    }

    /// All of it, with the pin that the chain has.
    pub(crate) fn into_pins(mut self) -> impl Iterator<Item = (*mut Timed, Pins)> {
        std::iter::from_fn(move || self.pop().map(|timed| (timed, Pins::ARMED)))
    }

    /// The earliest deadline first. By merging runs of doubling length: no recursion, no allocation.
    fn sort(&mut self) {
        let mut length = 1;
        loop {
            let mut rest = Self {
                first: std::mem::replace(&mut self.first, ptr::null_mut()),
            };
            let mut last = ptr::null_mut();
            let mut merges = 0;
            while !rest.first.is_null() {
                merges += 1;
                let mut left = rest.split(length);
                let mut right = rest.split(length);
                while let Some(timed) = Self::pop_earlier(&mut left, &mut right) {
                    self.append(last, timed);
                    last = timed;
                }
            }
            if merges <= 1 {
                return;
            }
            length *= 2;
        }
    }

    /// The first `length` of the chain, which keeps the rest.
    fn split(&mut self, length: usize) -> Self {
        let run = Self { first: self.first };
        let mut last = ptr::null_mut();
        for _ in 0..length {
            match self.pop() {
                Some(timed) => last = timed,
                None => break,
            }
        }
        Self::end(last);
        run
    }

    fn end(last: *mut Timed) {
        if !last.is_null() {
            // SAFETY: pinned while it is on the chain (R10).
            unsafe { Timed::at(last).set_next(ptr::null_mut()) };
        }
    }

    fn append(&mut self, last: *mut Timed, timed: *mut Timed) {
        Self::end(timed);
        if last.is_null() {
            self.first = timed;
        } else {
            // SAFETY: pinned while it is on the chain (R10).
            unsafe { Timed::at(last).set_next(timed) };
        }
    }

    fn pop_earlier(left: &mut Self, right: &mut Self) -> Option<*mut Timed> {
        if right.first.is_null() || (!left.first.is_null() && left.due() <= right.due()) {
            left.pop()
        } else {
            right.pop()
        }
    }

    /// When the first is due.
    fn due(&self) -> Time {
        deadline(self.first)
    }
}

fn deadline(timed: *mut Timed) -> Time {
    // SAFETY: `Wheel` and `Armed` ask for what they have the pins of (R10).
    unsafe { Timed::at(timed) }.node().deadline()
}

#[derive(Debug)]
struct Slot {
    armed: Armed,
    /// The earliest in it, once there is one.
    earliest: Time,
}

#[derive(Debug)]
struct Level {
    occupied: u64,
    slots: [Slot; SLOTS],
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    levels: Box<[Level]>,
    base: Time,
    generation: Generation,
}

const fn shift(level: usize) -> u32 {
    FINEST + DIGIT * level as u32
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let slot = |_| Slot {
            armed: Armed::new(),
            earliest: Time::NEVER,
        };
        let level = |_: usize| Level {
            occupied: 0,
            slots: std::array::from_fn(slot),
        };
        Self {
            // Level by level: all of them at once are more than a small stack has room for.
            levels: (0..LEVELS).map(level).collect(),
            base: Time::PAST,
            generation: Generation::FIRST,
        }
    }

    /// An empty one, to go on in its place: nobody comes to what is in it any more.
    pub(crate) fn next_generation(&self) -> Self {
        Self {
            generation: self.generation.next(),
            ..Self::new()
        }
    }

    fn place(&self, deadline: Time) -> (usize, usize) {
        // What was due before `base` is looked at with what is due then.
        let deadline = deadline.max(self.base).bits();
        let differs = (deadline ^ self.base.bits()) >> FINEST;
        let level = differs.checked_ilog2().unwrap_or(0) / DIGIT;
        let slot = deadline >> shift(level as usize);
        (level as usize, slot as usize % SLOTS)
    }

    /// The slot that comes first of those that hold something, and when it begins.
    fn first(&self) -> Option<(usize, usize, Time)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        let above = shift(level) + DIGIT;
        let begins = self.base.bits().checked_shr(above).unwrap_or(0);
        let begins = begins.checked_shl(above).unwrap_or(0) | (slot as u64) << shift(level);
        Some((level, slot, Time::from_word(begins as usize)))
    }

    fn take(&mut self, level: usize, slot: usize) -> Armed {
        let level = &mut self.levels[level];
        level.occupied &= !(1 << slot);
        std::mem::replace(&mut level.slots[slot].armed, Armed::new())
    }

    /// No later than the earliest deadline; earlier, where that one was dropped, and then until it would have come.
    pub(crate) fn earliest(&self) -> Time {
        self.first().map_or(Time::NEVER, |(level, slot, _)| {
            self.levels[level].slots[slot].earliest
        })
    }

    /// Everything that is due at `now`, the earliest first. Amortised, each node is moved at most once a level, and once a
    /// call in the last 65 µs before it is due.
    pub(crate) fn expire(&mut self, now: Time) -> Armed {
        let mut due = Armed::new();
        let mut rest = Armed::new();
        while let Some((level, slot, begins)) = self.first()
            && begins <= now
        {
            let mut armed = self.take(level, slot);
            while let Some(timed) = armed.pop() {
                // SAFETY: it was in the wheel, which has the pin (R10).
                unsafe {
                    if deadline(timed) <= now {
                        Timed::at(timed).in_wheel.set(Place::OUT);
                        due.push(timed);
                    } else {
                        rest.push(timed);
                    }
                }
            }
        }
        self.base = self.base.max(now);
        while let Some(timed) = rest.pop() {
            // SAFETY: as above.
            unsafe { self.insert(timed) };
        }
        due.sort();
        due
    }

    /// Everything that `of` says yes to. A step for each node.
    pub(crate) fn remove(&mut self, of: impl Fn(*mut Timed) -> bool) -> Armed {
        let mut removed = Armed::new();
        for level in 0..LEVELS {
            for slot in 0..SLOTS {
                let mut armed = self.take(level, slot);
                while let Some(timed) = armed.pop() {
                    if of(timed) {
                        // SAFETY: it was in the wheel, which has the pin (R10).
                        unsafe {
                            Timed::at(timed).in_wheel.set(Place::OUT);
                            removed.push(timed);
                        }
                    } else {
                        // The slot it came from, for `base` stays: of what is put back nothing is met again.
                        // SAFETY: as above.
                        unsafe { self.insert(timed) };
                    }
                }
            }
        }
        removed
    }
}

impl Wheel {
    /// # Safety
    ///
    /// The ARMED pin of the node is the caller's, and passes.
    pub(crate) unsafe fn insert(&mut self, timed: *mut Timed) {
        let deadline = deadline(timed);
        let (level, slot) = self.place(deadline);
        let level = &mut self.levels[level];
        let into = &mut level.slots[slot];
        let second = into.armed.first;
        into.earliest = if second.is_null() {
            deadline
        } else {
            into.earliest.min(deadline)
        };
        level.occupied |= 1 << slot;
        let behind = |before| Place::behind(before, self.generation);
        // SAFETY: the caller's promise; what is in the wheel is pinned by it (R10).
        unsafe {
            into.armed.push(timed);
            Timed::at(timed).in_wheel.set(behind(ptr::null_mut()));
            if !second.is_null() {
                Timed::at(second).in_wheel.set(behind(timed));
            }
        }
    }

    /// As [`insert`](Self::insert), of what found no slot of the nursery: left out, if it was dropped meanwhile.
    ///
    /// # Safety
    ///
    /// As [`insert`](Self::insert).
    pub(crate) unsafe fn insert_spilled(&mut self, timed: *mut Timed) {
        // SAFETY: the caller's promise.
        let this = unsafe { Timed::at(timed) };
        // What is pinned so is on a pile, or about to be.
        if this.node().state().load().links() == 0 {
            // SAFETY: the caller's promise.
            unsafe { self.insert(timed) };
        } else {
            // SAFETY: whoever has the wheel has the turn.
            unsafe { this.in_wheel.set(Place::LEFT_OUT) };
        }
    }

    /// Takes out what of it is in: a step for each.
    ///
    /// # Safety
    ///
    /// What had found no slot before it was dropped was inserted.
    pub(crate) unsafe fn leave_out(&mut self, dropped: &Dropped) {
        for timed in dropped.iter() {
            // SAFETY: pinned by the chain (R10).
            unsafe { self.unlink(timed) };
        }
    }

    /// # Safety
    ///
    /// The node is pinned.
    unsafe fn unlink(&mut self, timed: *mut Timed) {
        // SAFETY: the caller's promise; and what is in the wheel, as its neighbours are, is pinned by it (R10).
        unsafe {
            let this = Timed::at(timed);
            let place = this.in_wheel.get();
            // Of another generation are its neighbours too.
            if !place.is_in(self.generation) {
                return;
            }
            let next = this.next();
            if !next.is_null() {
                Timed::at(next).in_wheel.set(place);
            }
            let before = place.before();
            if before.is_null() {
                // The slot it was put into, for `base` has not passed that.
                let (level, slot) = self.place(deadline(timed));
                let level = &mut self.levels[level];
                level.slots[slot].armed.first = next;
                if next.is_null() {
                    level.occupied &= !(1 << slot);
                }
            } else {
                Timed::at(before).set_next(next);
            }
            this.in_wheel.set(Place::LEFT_OUT);
        }
    }
}
