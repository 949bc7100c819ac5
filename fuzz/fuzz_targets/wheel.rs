//! Bytes become deadlines that are put into the timer wheel, dropped, taken out of it and let pass, in it and in a heap.
//!
//! A further crate root around `src`, as the models are, so that nothing inside need be public.

#![no_main]

// All of the engine is here, and the wheel alone is used.
#[allow(dead_code, unused_imports, missing_docs)]
#[path = "../../src"]
mod src {
    pub(crate) mod cause;
    pub(crate) mod error;
    pub(crate) mod local;
    pub(crate) mod monitor;
    pub(crate) mod raw;
    pub(crate) mod sync;
    pub(crate) mod tuning;
}
use src::{cause, error, local, monitor, raw, sync, tuning};

use libfuzzer_sys::fuzz_target;
use raw::dropped::Dropped;
use raw::entry::{Kind, Parent};
use raw::node::{self, Node, Timed};
use raw::nursery::SlotAt;
use raw::state::{Pins, State};
use raw::time::Time;
use raw::wheel::{Armed, Wheel};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ptr;

/// Deadlines in the wheel at a time.
const MOST: usize = 512;

struct World {
    wheel: Wheel,
    heap: BinaryHeap<Reverse<u64>>,
    /// The deadline of each node that is in the wheel.
    armed: BTreeMap<usize, u64>,
    now: u64,
    /// Whether one was dropped: `earliest` may be what it was due at.
    was_dropped: bool,
}

fuzz_target!(|bytes: &[u8]| {
    let mut world = World {
        wheel: Wheel::new(),
        heap: BinaryHeap::new(),
        armed: BTreeMap::new(),
        now: 0,
        was_dropped: false,
    };
    let (steps, _) = bytes.as_chunks::<3>();
    for step in steps {
        world.play(*step);
        let earliest = world
            .heap
            .peek()
            .map_or(Time::NEVER.bits(), |first| first.0);
        let told = world.wheel.earliest().bits();
        assert!(told == earliest || world.was_dropped && told < earliest);
    }
    world.expire(Time::LAST.bits());
    assert!(world.armed.is_empty() && world.heap.is_empty());
});

impl World {
    fn play(&mut self, [kind, a, b]: [u8; 3]) {
        // A power of two, and a little less or more: where the digits of two moments begin to differ.
        let span = (1_u64 << (a % 64)).wrapping_add(u64::from(b).wrapping_sub(128));
        match kind % 10 {
            0..=2 => self.insert(self.now.saturating_add(span)),
            // What is late already.
            3 => self.insert(self.now.saturating_sub(span)),
            // What is there already.
            4 => {
                let same = self.armed.values().nth(usize::from(b)).copied();
                self.insert(same.unwrap_or(self.now));
            }
            5 => self.remove(usize::from(a), usize::from(b)),
            // Exactly to the next, or to a nanosecond before it.
            6 => {
                let next = self.heap.peek().map_or(self.now, |first| first.0);
                self.expire(self.now.max(next.saturating_sub(u64::from(b % 2))));
            }
            7 => self.drop_armed(usize::from(a), usize::from(b)),
            8 => self.drop_spilled(self.now.saturating_add(span)),
            _ => self.expire(self.now.saturating_add(span)),
        }
    }

    fn insert(&mut self, deadline: u64) {
        let deadline = deadline.min(Time::LAST.bits());
        if self.armed.len() >= MOST {
            return;
        }
        let timed = allocate(deadline, Pins::ARMED);
        // SAFETY: it is new, and its ARMED pin is ours.
        unsafe { self.wheel.insert(timed) };
        self.armed.insert(timed.expose_provenance(), deadline);
        self.heap.push(Reverse(deadline));
    }

    fn expire(&mut self, now: u64) {
        let now = now.min(Time::LAST.bits());
        self.now = self.now.max(now);
        let due = self.wheel.expire(Time::from_word(now as usize));
        let mut expected = Vec::new();
        while self.heap.peek().is_some_and(|first| first.0 <= now) {
            expected.extend(self.heap.pop().map(|first| first.0));
        }
        // The earliest first.
        assert_eq!(self.take(due), expected);
        // Else whoever serves would never sleep.
        assert!(self.wheel.earliest().bits() > self.now);
    }

    /// Some that are in the wheel, at once.
    fn drop_armed(&mut self, first: usize, more: usize) {
        let nodes = self.armed.keys().skip(first).step_by(3).take(more % 8 + 1);
        let nodes: Vec<_> = nodes.copied().collect();
        let mut newest = ptr::null_mut();
        for node in &nodes {
            let timed: *mut Timed = ptr::with_exposed_provenance_mut(*node);
            // SAFETY: it is in the wheel, and nobody else has it.
            unsafe {
                Timed::at(timed).node().state().pin_link();
                Timed::at(timed).set_slot(SlotAt::above(newest));
            }
            newest = timed;
        }
        self.leave_out(newest, nodes.len());
        let gone: Vec<_> = nodes
            .iter()
            .filter_map(|node| self.armed.remove(node))
            .collect();
        let mut left = std::mem::take(&mut self.heap).into_vec();
        for deadline in gone {
            let at = left.iter().position(|one| one.0 == deadline);
            left.swap_remove(at.expect("what is in the wheel is in the heap"));
        }
        self.heap = left.into();
    }

    /// One that found no slot of the nursery, and was dropped before the wheel had it.
    fn drop_spilled(&mut self, deadline: u64) {
        let timed = allocate(deadline.min(Time::LAST.bits()), Pins::ARMED.and(Pins::LINK));
        // SAFETY: it is new, and its pins are ours.
        unsafe {
            self.wheel.insert_spilled(timed);
            Timed::at(timed).set_slot(SlotAt::above(ptr::null_mut()));
        }
        self.leave_out(timed, 1);
    }

    /// Frees what is on the pile of that one, which are so many, with the pins that the wheel has given back.
    fn leave_out(&mut self, newest: *mut Timed, count: usize) {
        let mut dropped = Dropped::new();
        // SAFETY: they are on no other pile; each is in the wheel, or was to be put there.
        unsafe {
            dropped.add(newest);
            self.wheel.leave_out(&dropped);
            let mut left_out = 0;
            for (timed, pins) in dropped.into_pins() {
                assert_eq!(pins, Pins::LINK.and(Pins::ARMED));
                node::free_leaf(timed.cast(), Kind::Deadline);
                left_out += 1;
            }
            assert_eq!(left_out, count);
        }
        self.was_dropped = true;
    }

    /// Every so many, by what they are due at.
    fn remove(&mut self, modulus: usize, rest: usize) {
        let goes = |deadline: u64| deadline as usize % (modulus % 8 + 1) == rest % 8;
        let armed = &self.armed;
        let removed = self
            .wheel
            .remove(|timed| goes(armed[&timed.expose_provenance()]));
        let mut removed = self.take(removed);
        removed.sort_unstable();
        let (mut gone, left): (Vec<_>, Vec<_>) = self
            .heap
            .drain()
            .map(|one| one.0)
            .partition(|one| goes(*one));
        gone.sort_unstable();
        assert_eq!(removed, gone);
        self.heap = left.into_iter().map(Reverse).collect();
    }

    /// Frees what the wheel has given back; answers with the deadlines, in its order.
    fn take(&mut self, mut chain: Armed) -> Vec<u64> {
        let mut deadlines = Vec::new();
        while let Some(timed) = chain.pop() {
            let deadline = self.armed.remove(&timed.expose_provenance());
            deadlines.push(deadline.expect("it was in the wheel, once"));
            // SAFETY: ARMED came with the chain, nothing else points to it, and nothing was ever listed on it.
            unsafe { node::free_leaf(timed.cast(), Kind::Deadline) };
        }
        deadlines
    }
}

fn allocate(deadline: u64, pins: Pins) -> *mut Timed {
    Node::allocate(
        Kind::Deadline,
        Parent::BACKGROUND,
        0,
        State::new(0, pins),
        ptr::null(),
        Time::from_word(deadline as usize),
    )
    .cast()
}
