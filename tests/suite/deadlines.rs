//! A deadline ends its context at the instant it was set for, by itself, and never before. What is exact is proved on a
//! clock that is moved by hand; of the machine's clock only that nothing comes early, and that it comes.

use crate::common::{
    Drops, LONG, MS, NS, PATIENCE, Reason, Rng, Waiter, ahead_of, assert_canceled, assert_expired,
    assert_live, eventually, in_time, manual, poll, reason, run_all, scaled, timed_and_told,
    when_told,
};
use crossbeam_channel::{RecvTimeoutError, TryRecvError, select};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use ripcord::{CancelGuard, Context, Done, Engine, Error, ManualClock};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const CENTURIES: Duration = Duration::from_secs(292 * 365 * 86_400);

/// The instant the library counts its nanoseconds from: a manual clock that is moved as far as it goes stands 2^63 - 2 of
/// them after it. With it a test can stand just before a border of the wheel, whose slots are powers of two of them.
fn epoch() -> Instant {
    let (_engine, clock) = manual();
    clock.advance(Duration::MAX);
    clock.now() - Duration::from_nanos((1 << 63) - 2)
}

/// Moves the clock until the lowest `bits` bits of its time are zero, less `before`.
fn stand_before_border(clock: &ManualClock, epoch: Instant, bits: u32, before: u64) {
    let now = (clock.now() - epoch).as_nanos() as u64;
    let border = ((now + before) | ((1 << bits) - 1)) + 1;
    clock.advance(Duration::from_nanos(border - before - now));
}

/// It is live a nanosecond before its time and done at it.
#[track_caller]
fn assert_exact(clock: &ManualClock, root: &Context, after: Duration) {
    let at = clock.now() + after;
    let (by_timeout, _timeout_guard) = root.with_timeout(after);
    let (by_instant, _instant_guard) = root.with_deadline(at);
    for ctx in [&by_timeout, &by_instant] {
        assert_eq!(ctx.deadline(), Some(at));
        assert_eq!(ctx.remaining(), Some(after));
    }
    clock.advance(after - NS);
    for ctx in [&by_timeout, &by_instant] {
        assert!(!ctx.is_done(), "{after:?} came early");
        assert_eq!(ctx.remaining(), Some(NS));
    }
    clock.advance(NS);
    for ctx in [&by_timeout, &by_instant] {
        assert_expired(ctx, None);
        assert_eq!(ctx.deadline(), Some(at));
        assert_eq!(ctx.remaining(), Some(Duration::ZERO));
    }
    assert_eq!(clock.now(), at);
}

#[test]
fn a_deadline_of_any_magnitude_fires_at_its_nanosecond_and_not_before() {
    for exponent in 0..=18 {
        for factor in [1, 2, 3, 7, 9] {
            let (engine, clock) = manual();
            let nanos = 10_u64.pow(exponent).saturating_mul(factor);
            let after = Duration::from_nanos(nanos).min(100 * YEAR);
            assert_exact(&clock, &engine.background(), after);
        }
    }
    for power in 0..=61 {
        for nanos in [(1_u64 << power) - 1, 1 << power, (1 << power) + 1] {
            if nanos > 0 {
                let (engine, clock) = manual();
                assert_exact(&clock, &engine.background(), Duration::from_nanos(nanos));
            }
        }
    }
    let (engine, clock) = manual();
    assert_exact(&clock, &engine.background(), 100 * YEAR);
    assert_exact(&clock, &engine.background(), 100 * YEAR);
}

#[test]
fn a_deadline_next_to_a_border_of_the_wheel_fires_at_its_nanosecond() {
    let epoch = epoch();
    // Slots are 2^16 ns wide at the bottom, and each of eight levels has 64 of them.
    for bits in (0..8).map(|level| 16 + 6 * level).chain([17, 21, 24, 27]) {
        for before in [0, 1, 2, 65_535, 65_536, 65_537] {
            let (engine, clock) = manual();
            let root = engine.background();
            stand_before_border(&clock, epoch, bits, before);
            let near = [
                before.saturating_sub(1),
                before,
                before + 1,
                before + 65_536,
            ];
            let later = (1 << bits) + before;
            let mut nanos: Vec<_> = near
                .into_iter()
                .chain([later - 1, later, later + 1])
                .collect();
            nanos.retain(|nanos| *nanos > 0);
            nanos.sort_unstable();
            let armed: Vec<_> = nanos
                .iter()
                .rev()
                .map(|nanos| (*nanos, root.with_timeout(Duration::from_nanos(*nanos))))
                .collect();
            let start = clock.now();
            let stops = nanos.iter().flat_map(|nanos| [nanos - 1, *nanos]);
            for stop in stops {
                clock.advance(
                    (start + Duration::from_nanos(stop))
                        - clock.now().min(start + Duration::from_nanos(stop)),
                );
                let now = (clock.now() - start).as_nanos() as u64;
                for (nanos, (ctx, _)) in &armed {
                    assert_eq!(
                        ctx.is_done(),
                        *nanos <= now,
                        "{nanos} ns from {before} ns before a border of 2^{bits}, at {now} ns"
                    );
                }
            }
        }
    }
}

/// The nursery tells deadlines apart by ticks of that many nanoseconds.
const TICK: u64 = 1 << 24;
/// Ticks wrap around after 19.5 hours.
const WRAP: u64 = 1 << 46;
const DAY: u64 = 86_400_000_000_000;

/// Ticks before and after a tick's first nanosecond and its last, wraps of ticks and parts of them, and far more.
fn magnitudes() -> Vec<u64> {
    let wraps = (1..=4).map(|quarters| quarters * (WRAP / 4));
    let more = [TICK, 9 * WRAP / 8, 2 * WRAP, DAY, 10 * DAY, 365 * DAY];
    wraps.chain(more).collect()
}

/// Arms deadlines that many nanoseconds ahead, and moves the clock from stop to stop: at each what is due is done. `busy`:
/// something falls due with every stop, so that the nursery is looked through.
#[track_caller]
fn assert_exact_at(dues: &[u64], stops: &[u64], before_border: u64, busy: bool, epoch: Instant) {
    let (engine, clock) = manual();
    let root = engine.background();
    stand_before_border(&clock, epoch, TICK.ilog2(), before_border);
    let arm = |after| root.with_timeout(Duration::from_nanos(after));
    let armed: Vec<_> = dues.iter().map(|due| (*due, arm(*due))).collect();
    let mut now = 0;
    for stop in stops {
        let (soon, _soon_guard) = arm(if busy { 1 } else { u64::MAX });
        clock.advance(Duration::from_nanos(stop - now));
        assert_eq!(soon.is_done(), busy && *stop > now);
        now = *stop;
        for (due, (ctx, _)) in &armed {
            assert_eq!(
                ctx.is_done(),
                *due <= now,
                "{due} ns from {before_border} ns before a tick, at {now} ns of {stops:?}"
            );
        }
    }
}

#[test]
fn deadlines_about_a_tick_apart_fire_at_their_nanosecond_however_the_clock_is_moved() {
    let epoch = epoch();
    let steps: Vec<_> = magnitudes()
        .into_iter()
        .flat_map(|step| [step - 1, step, step + 1])
        .collect();
    for (index, ahead) in magnitudes().into_iter().enumerate() {
        // Counted from a tick's first nanosecond: a nanosecond less than whole ticks from there is in the tick before.
        let before_border = [0, 1, TICK / 2][index % 3];
        let dues: Vec<_> = [
            -2 * TICK as i64,
            -(TICK as i64),
            0,
            TICK as i64,
            2 * TICK as i64,
        ]
        .into_iter()
        .flat_map(|ticks| [-1, 0, 1].map(|off| ahead.saturating_add_signed(ticks + off)))
        .map(|due| due + before_border)
        .filter(|due| *due > 0)
        .collect();
        let last = *dues.last().expect("there are some");
        for busy in [false, true] {
            let exact: Vec<_> = dues.iter().flat_map(|due| [due - 1, *due]).collect();
            assert_exact_at(&dues, &sorted(exact), before_border, busy, epoch);
            assert_exact_at(&dues, &[last - 1, last], before_border, busy, epoch);
            assert_exact_at(&dues, &[last + WRAP], before_border, busy, epoch);
            for step in &steps {
                let count = last / step + 1;
                if count <= scaled(200) as u64 {
                    let stops: Vec<_> = (1..=count).map(|count| count * step).collect();
                    assert_exact_at(&dues, &stops, before_border, busy, epoch);
                }
            }
        }
    }
}

fn sorted(mut nanos: Vec<u64>) -> Vec<u64> {
    nanos.sort_unstable();
    nanos
}

#[test]
fn a_deadline_armed_long_after_the_clock_moved_on_fires_at_its_nanosecond() {
    let (engine, clock) = manual();
    let root = engine.background();
    // One far ahead stays armed all the while, so the wheel is never empty.
    let (far, _far_guard) = root.with_timeout(200 * YEAR);
    for power in 0..57 {
        clock.advance(Duration::from_nanos(1 << power));
        assert_exact(&clock, &root, Duration::from_nanos(1 << (power / 2)));
    }
    assert_live(&far);
    clock.advance(far.remaining().expect("it has a deadline") - NS);
    assert_live(&far);
    clock.advance(NS);
    assert_expired(&far, None);
}

#[test]
fn deadlines_armed_out_of_order_fire_in_order_one_by_one() {
    let (engine, clock) = manual();
    let root = engine.background();
    let start = clock.now();
    let mut rng = Rng::new(11);
    let mut nanos: Vec<u64> = (0..scaled(3_000))
        .map(|_| rng.number() >> (8 + rng.below(50)))
        .map(|nanos| nanos.max(1))
        .collect();
    let armed: Vec<_> = nanos
        .iter()
        .map(|nanos| (*nanos, root.with_timeout(Duration::from_nanos(*nanos))))
        .collect();
    nanos.sort_unstable();
    nanos.dedup();
    let mut by_time = armed;
    by_time.sort_by_key(|(nanos, _)| *nanos);
    let mut fired = 0;
    for nanos in nanos {
        let at = start + Duration::from_nanos(nanos);
        clock.advance((at - clock.now()).saturating_sub(NS));
        assert!(!by_time[fired].1.0.is_done(), "{nanos} ns came early");
        clock.advance(at - clock.now());
        while fired < by_time.len() && by_time[fired].0 == nanos {
            assert_eq!(by_time[fired].1.0.err(), Some(Error::DeadlineExceeded));
            fired += 1;
        }
        assert!(
            by_time
                .get(fired)
                .is_none_or(|(_, (ctx, _))| !ctx.is_done())
        );
    }
    assert_eq!(fired, by_time.len());
}

#[test]
fn what_one_step_of_the_clock_makes_due_is_told_earliest_first() {
    let (engine, clock) = manual();
    let root = engine.background();
    let mut rng = Rng::new(12);
    let told = Arc::new(Mutex::new(Vec::new()));
    let _waiting: Vec<_> = (0..scaled(3_000))
        .map(|_| {
            let nanos = 1 + (rng.number() >> (20 + rng.below(40)));
            let (ctx, guard) = root.with_timeout(Duration::from_nanos(nanos));
            let told = told.clone();
            let done = when_told(&ctx, move || {
                told.lock().expect("nobody panics with it").push(nanos);
            });
            (done, ctx, guard)
        })
        .collect();
    clock.advance(LONG * 24 * 365);
    let told = told.lock().expect("nobody panics with it");
    assert_eq!(told.len(), scaled(3_000));
    assert!(told.is_sorted(), "told out of order");
}

#[test]
fn many_equal_deadlines_fire_together() {
    let (engine, clock) = manual();
    let root = engine.background();
    let at = clock.now() + LONG;
    let armed: Vec<_> = (0..scaled(10_000))
        .map(|_| root.with_deadline(at))
        .collect();
    let waiters: Vec<_> = armed.iter().map(|(ctx, _)| Waiter::on(ctx)).collect();
    clock.advance(LONG - NS);
    assert!(armed.iter().all(|(ctx, _)| !ctx.is_done()));
    clock.advance(NS);
    assert!(armed.iter().all(|(ctx, _)| ctx.is_done()));
    assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
    assert_eq!(root.child_count(), 0);
}

#[test]
fn a_step_over_many_deadlines_fires_them_all() {
    for step in [NS, MS, LONG, YEAR, 100 * YEAR] {
        let (engine, clock) = manual();
        let root = engine.background();
        let armed: Vec<_> = (0..60)
            .map(|power| root.with_timeout(Duration::from_nanos(1 << power)))
            .collect();
        clock.advance(step);
        for (power, (ctx, _)) in armed.iter().enumerate() {
            let due = Duration::from_nanos(1 << power) <= step;
            assert_eq!(ctx.is_done(), due, "2^{power} ns after {step:?}");
        }
    }
}

/// What is done to a set of deadlines on an engine whose clock is moved by hand.
#[derive(Clone, Debug)]
enum Step {
    Arm(u64),
    ArmUnder(usize, u64),
    Cancel(usize),
    Drop(usize),
    Advance(u64),
    /// To that many nanoseconds from the earliest deadline.
    ToNext(i64),
}

fn nanos() -> impl Strategy<Value = u64> {
    let power_near = (0_u32..58, -2_i64..=2)
        .prop_map(|(power, off)| (1_u64 << power).saturating_add_signed(off).max(1));
    let below_power = (any::<u64>(), 6_u32..60).prop_map(|(bits, shift)| (bits >> shift).max(1));
    let slots = (1_u64..200, 0_u32..4, -1_i64..=1)
        .prop_map(|(count, level, off)| (count << (16 + 6 * level)).saturating_add_signed(off));
    let ticks = (0_u64..20, -2_i64..=2, -1_i64..=1).prop_map(|(quarters, ticks, off)| {
        (quarters * (WRAP / 4))
            .saturating_add_signed(ticks * TICK as i64 + off)
            .max(1)
    });
    let days = (1_u64..1_000).prop_map(|days| days * DAY);
    prop_oneof![
        power_near,
        below_power,
        slots,
        ticks,
        days,
        Just(1_000_000),
        Just(1)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => nanos().prop_map(Step::Arm),
        2 => (any::<usize>(), nanos()).prop_map(|(under, nanos)| Step::ArmUnder(under, nanos)),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Drop),
        2 => nanos().prop_map(Step::Advance),
        2 => (-1_i64..=1).prop_map(Step::ToNext),
    ]
}

/// One deadline as the reference has it.
struct Expected {
    parent: Option<usize>,
    due: u64,
    err: Option<Error>,
    /// Nobody has a handle of it.
    dropped: bool,
}

/// Deadlines in a heap, obviously right: the earliest is popped while it is due.
#[derive(Default)]
struct Reference {
    now: u64,
    contexts: Vec<Expected>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// What was told, as (time, context), by the last step.
    told: Vec<(u64, usize)>,
}

impl Reference {
    fn arm(&mut self, parent: Option<usize>, nanos: u64) {
        let (inherited, err) = parent.map_or((u64::MAX, None), |at| {
            (self.contexts[at].due, self.contexts[at].err)
        });
        let own = self.now + nanos;
        if own < inherited && err.is_none() {
            self.heap.push(Reverse((own, self.contexts.len())));
        }
        self.contexts.push(Expected {
            parent,
            due: own.min(inherited),
            err,
            dropped: false,
        });
    }

    /// Ends a context and all below it, which come after it in the list.
    fn end(&mut self, at: usize, err: Error) {
        for index in at..self.contexts.len() {
            let below = index == at
                || self.contexts[index]
                    .parent
                    .is_some_and(|parent| parent >= at && self.contexts[parent].err.is_some());
            if below && self.contexts[index].err.is_none() {
                self.contexts[index].err = Some(err);
                self.told.push((self.now, index));
            }
        }
    }

    fn advance(&mut self, nanos: u64) {
        let to = self.now + nanos;
        while let Some(Reverse((due, at))) = self.heap.peek().copied()
            && due <= to
        {
            self.heap.pop();
            self.now = due;
            self.end(at, Error::DeadlineExceeded);
        }
        self.now = to;
    }

    fn next(&self) -> Option<u64> {
        let live = |Reverse((_, at)): &&Reverse<(u64, usize)>| self.contexts[*at].err.is_none();
        self.heap
            .iter()
            .filter(live)
            .map(|Reverse((due, _))| *due)
            .min()
    }
}

/// A context of the engine, and the `Done` that says when it is told.
struct Actual {
    handles: Option<(Context, CancelGuard)>,
    done: Option<Done>,
}

fn play(steps: Vec<Step>) {
    play_beside(0, steps);
}

/// Beside so many deadlines that none of the steps comes to.
fn play_beside(others: usize, steps: Vec<Step>) {
    let (engine, clock) = manual();
    let root = engine.background();
    let _others: Vec<_> = (0..others).map(|_| root.with_timeout(CENTURIES)).collect();
    let start = clock.now();
    let told: Arc<Mutex<Vec<usize>>> = Arc::default();
    let mut reference = Reference::default();
    let mut actual: Vec<Actual> = Vec::new();
    let limit = CENTURIES.as_nanos() as u64 / 2;
    for step in steps {
        reference.told.clear();
        let live_handle = |actual: &[Actual], pick: usize| {
            let kept: Vec<_> = (0..actual.len())
                .filter(|at| actual[*at].handles.is_some())
                .collect();
            (!kept.is_empty()).then(|| kept[pick % kept.len()])
        };
        let (parent, armed) = match step {
            Step::Arm(nanos) => (None, Some(nanos)),
            Step::ArmUnder(pick, nanos) => (live_handle(&actual, pick), Some(nanos)),
            _ => (None, None),
        };
        if let Some(nanos) = armed {
            let nanos = nanos.min(limit);
            let index = actual.len();
            reference.arm(parent, nanos);
            let under = parent
                .and_then(|at| actual[at].handles.as_ref())
                .map_or(&root, |(ctx, _)| ctx);
            let handles = under.with_timeout(Duration::from_nanos(nanos));
            let told = told.clone();
            let done = when_told(&handles.0, move || {
                told.lock().expect("nobody panics with it").push(index);
            });
            actual.push(Actual {
                handles: Some(handles),
                done: Some(done),
            });
        }
        match step {
            Step::Cancel(pick) => {
                if let Some(at) = live_handle(&actual, pick) {
                    reference.end(at, Error::Canceled);
                    actual[at].handles.as_ref().expect("just found").1.cancel();
                }
            }
            Step::Drop(pick) => {
                if let Some(at) = live_handle(&actual, pick) {
                    let (ctx, guard) = actual[at].handles.take().expect("just found");
                    drop((ctx, guard.disarm()));
                    // Every other one keeps its `Done`, and so its deadline.
                    if pick % 2 == 0 {
                        actual[at].done = None;
                        reference.contexts[at].dropped = true;
                    }
                }
            }
            Step::Advance(nanos) => {
                let nanos = nanos.min(limit.saturating_sub(reference.now) / 2);
                reference.advance(nanos);
                clock.advance(Duration::from_nanos(nanos));
            }
            Step::ToNext(off) => {
                let next = reference.next().unwrap_or(reference.now);
                let nanos = (next - reference.now).saturating_add_signed(off);
                reference.advance(nanos);
                clock.advance(Duration::from_nanos(nanos));
            }
            Step::Arm(_) | Step::ArmUnder(..) => {}
        }
        assert_eq!(clock.now(), start + Duration::from_nanos(reference.now));
        for (index, (actual, expected)) in actual.iter_mut().zip(&reference.contexts).enumerate() {
            if let Some((ctx, _)) = &actual.handles {
                assert_eq!(ctx.err(), expected.err, "context {index}");
                let due = start + Duration::from_nanos(expected.due);
                assert_eq!(ctx.deadline(), Some(due), "context {index}");
            }
        }
        let heard = std::mem::take(&mut *told.lock().expect("nobody panics with it"));
        let mut expected: Vec<_> = reference
            .told
            .iter()
            .map(|(_, index)| *index)
            .filter(|index| !reference.contexts[*index].dropped)
            .collect();
        let mut sorted = heard.clone();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "told once each");
    }
    for (actual, expected) in actual.iter_mut().zip(&reference.contexts) {
        if let Some(done) = &mut actual.done {
            let ready = expected.err.map_or(Poll::Pending, Poll::Ready);
            assert_eq!(poll(done, Waker::noop()), ready);
        }
    }
    drop(actual);
    assert_eq!(root.child_count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(scaled(512)).unwrap_or(1)))]

    #[test]
    fn short_histories_of_deadlines_agree_with_a_heap(steps in vec(step(), 0..30)) {
        play(steps);
    }

    #[test]
    fn histories_of_deadlines_agree_with_a_heap(steps in vec(step(), 0..250)) {
        play(steps);
    }
}

#[test]
fn histories_with_thousands_of_deadlines_agree_with_a_heap() {
    histories_beside(0);
}

#[test]
fn histories_with_more_deadlines_than_the_nursery_holds_agree_with_a_heap() {
    histories_beside(140_000);
}

fn histories_beside(others: usize) {
    for seed in 0..scaled(4) {
        let mut rng = Rng::new(seed as u64);
        let mut steps: Vec<_> = (0..4_000)
            .map(|_| Step::Arm(1 + (rng.number() >> (10 + rng.below(40)))))
            .collect();
        for _ in 0..60 {
            steps.push(match rng.below(4) {
                0 => Step::Advance(rng.number() >> (10 + rng.below(40))),
                1 => Step::Cancel(rng.below(4_000)),
                2 => Step::Drop(rng.below(4_000)),
                _ => Step::ToNext(rng.below(3) as i64 - 1),
            });
        }
        in_time(move || play_beside(others, steps));
    }
}

#[test]
fn a_deadline_is_given_back_as_it_was_asked_for() {
    let (engine, clock) = manual();
    let background = Context::background();
    for (root, now) in [
        (background, Instant::now()),
        (engine.background(), clock.now()),
    ] {
        for nanos in [0, 1, 999, 65_537, 1_000_000_007, (1 << 62) + 1] {
            let at = now + LONG + Duration::from_nanos(nanos);
            let (ctx, _guard) = root.with_deadline(at);
            assert_eq!(ctx.deadline(), Some(at));
            let past = now - Duration::from_nanos(nanos.min(1 << 40));
            let (ctx, _guard) = root.with_deadline(past);
            assert_eq!(ctx.deadline(), Some(past));
            assert_expired(&ctx, None);
        }
    }
}

#[test]
fn what_has_no_deadline_says_so() {
    let (engine, _clock) = manual();
    let (ctx, _guard) = engine.background().with_cancel();
    for ctx in [
        Context::background(),
        Context::todo(),
        engine.background(),
        ctx,
    ] {
        assert_eq!(ctx.deadline(), None);
        assert_eq!(ctx.remaining(), None);
    }
}

#[test]
fn what_remains_shrinks_to_nothing_and_stays_there() {
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    assert_eq!(ctx.remaining(), Some(LONG));
    clock.advance(LONG / 4);
    assert_eq!(ctx.remaining(), Some(LONG / 4 * 3));
    clock.advance(LONG);
    assert_eq!(ctx.remaining(), Some(Duration::ZERO));
    let (ctx, guard) = engine.background().with_timeout(LONG);
    guard.cancel();
    assert_eq!(
        ctx.remaining(),
        Some(LONG),
        "how it ended does not change when it would have"
    );
    let (ctx, _guard) = Context::background().with_timeout(LONG);
    assert!(
        ctx.remaining()
            .is_some_and(|left| left <= LONG && left > LONG / 2)
    );
}

#[test]
fn a_deadline_that_has_passed_gives_a_context_done_on_return() {
    let (engine, clock) = manual();
    for root in [Context::background(), engine.background()] {
        let now = if root.deadline().is_none() {
            clock.now()
        } else {
            Instant::now()
        };
        for past in [now, now - NS, now - LONG] {
            let (ctx, _guard) = root.with_deadline(past);
            assert_expired(&ctx, None);
            let (ctx, _guard) = root.with_deadline_cause(past, Reason(1));
            assert_expired(&ctx, Some(Reason(1)));
            let (child, _child_guard) = ctx.with_cancel();
            assert_expired(&child, Some(Reason(1)));
        }
        let (ctx, guard) = root.with_timeout(Duration::ZERO);
        assert_expired(&ctx, None);
        guard.cancel_with(Reason(2));
        assert_expired(&ctx, None);
        let (ctx, _guard) = root.with_timeout_cause(Duration::ZERO, Reason(3));
        assert_expired(&ctx, Some(Reason(3)));
        assert_eq!(root.child_count(), 0);
    }
}

#[test]
fn an_instant_centuries_back_has_passed() {
    let now = Instant::now();
    for back in [100 * YEAR, CENTURIES, 2 * CENTURIES] {
        if let Some(at) = now.checked_sub(back) {
            let (ctx, _guard) = Context::background().with_deadline(at);
            assert_expired(&ctx, None);
        }
    }
}

#[test]
fn a_deadline_too_far_ahead_is_none_of_its_own() {
    let (engine, clock) = manual();
    let now = clock.now();
    for root in [Context::background(), engine.background()] {
        let mut far = vec![root.with_timeout(Duration::MAX)];
        far.push(root.with_timeout_cause(Duration::MAX, Reason(1)));
        for after in [
            Duration::from_nanos(u64::MAX),
            293 * YEAR + 80 * 24 * LONG,
            10_000 * YEAR,
        ] {
            far.push(root.with_timeout(after));
            far.extend(now.checked_add(after).map(|at| root.with_deadline(at)));
        }
        for (ctx, guard) in far {
            assert_eq!(ctx.deadline(), None);
            assert_eq!(ctx.remaining(), None);
            assert_live(&ctx);
            guard.cancel();
            assert_canceled(&ctx, None);
        }
        let (parent, _parent_guard) = root.with_timeout(LONG);
        let (child, _child_guard) = parent.with_timeout(Duration::MAX);
        assert_eq!(child.deadline(), parent.deadline());
        let at = clock.now() + LONG;
        let (parent, _parent_guard) = engine.background().with_deadline_cause(at, Reason(1));
        let (child, _child_guard) = parent.with_timeout_cause(Duration::MAX, Reason(2));
        assert_eq!(child.deadline(), Some(at));
        clock.advance(LONG);
        assert_expired(&child, Some(Reason(1)));
    }
}

#[test]
fn a_clock_moved_to_the_end_of_time_stands_there() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (far, _far_guard) = root.with_timeout(290 * YEAR);
    let (never, _never_guard) = root.with_timeout(Duration::MAX);
    for _ in 0..3 {
        clock.advance(Duration::MAX);
    }
    let end = clock.now();
    clock.advance(LONG);
    assert_eq!(clock.now(), end);
    assert_expired(&far, None);
    assert_live(&never);
    let (late, _late_guard) = root.with_timeout(NS);
    let (now, _now_guard) = root.with_deadline(end);
    assert_expired(&now, None);
    drop(late);
}

#[test]
fn a_child_has_the_earlier_deadline_of_its_own_and_its_parents() {
    let (engine, clock) = manual();
    let root = engine.background();
    let start = clock.now();
    let seconds = Duration::from_secs;
    let (parent, _parent_guard) = root.with_timeout_cause(seconds(10), Reason(10));
    let (earlier, _earlier_guard) = parent.with_timeout_cause(seconds(5), Reason(5));
    let (same, _same_guard) = parent.with_timeout_cause(seconds(10), Reason(100));
    let (later, _later_guard) = parent.with_deadline_cause(start + seconds(20), Reason(20));
    let (below, _below_guard) = earlier.with_timeout_cause(seconds(7), Reason(7));
    let (plain, _plain_guard) = parent.with_cancel();
    let at = |ctx: &Context| ctx.deadline().map(|at| at - start);
    assert_eq!(at(&earlier), Some(seconds(5)));
    assert_eq!(at(&below), Some(seconds(5)));
    for ctx in [&same, &later, &plain] {
        assert_eq!(at(ctx), Some(seconds(10)));
    }
    clock.advance(seconds(5));
    assert_expired(&earlier, Some(Reason(5)));
    assert_expired(&below, Some(Reason(5)));
    for ctx in [&parent, &same, &later, &plain] {
        assert_live(ctx);
    }
    assert_eq!(parent.child_count(), 3);
    clock.advance(seconds(5));
    for ctx in [&parent, &same, &later, &plain] {
        assert_expired(ctx, Some(Reason(10)));
    }
    assert_eq!(root.child_count(), 0);
    clock.advance(seconds(60));
    assert_expired(&later, Some(Reason(10)));
}

#[test]
fn the_first_reason_stays_whether_it_is_a_cancel_or_a_deadline() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (canceled, guard) = root.with_timeout_cause(LONG, Reason(1));
    guard.cancel_with(Reason(2));
    let (expired, expired_guard) = root.with_timeout_cause(LONG, Reason(3));
    let (plain, plain_guard) = root.with_timeout_cause(LONG, Reason(4));
    plain_guard.cancel();
    clock.advance(LONG);
    expired_guard.cancel_with(Reason(5));
    for _ in 0..2 {
        assert_canceled(&canceled, Some(Reason(2)));
        assert_expired(&expired, Some(Reason(3)));
        assert_canceled(&plain, None);
        clock.advance(LONG);
    }
}

#[test]
fn what_is_derived_from_a_done_context_takes_its_end_whatever_deadline_it_is_given() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (canceled, guard) = root.with_cancel();
    guard.cancel_with(Reason(1));
    let (expired, _expired_guard) = root.with_timeout_cause(NS, Reason(2));
    clock.advance(NS);
    let now = clock.now();
    for parent in [&canceled, &expired] {
        let children = [
            parent.with_timeout(Duration::ZERO),
            parent.with_timeout(LONG),
            parent.with_timeout(Duration::MAX),
            parent.with_timeout_cause(Duration::ZERO, Reason(3)),
            parent.with_timeout_cause(LONG, Reason(3)),
            parent.with_deadline(now - LONG),
            parent.with_deadline_cause(now + LONG, Reason(3)),
        ];
        for (child, _guard) in &children {
            assert_eq!(child.err(), parent.err());
            assert_eq!(reason(child), reason(parent));
        }
    }
}

#[test]
fn an_expired_context_is_off_its_parent_at_once_and_a_dropped_one_never_fires() {
    let (engine, clock) = manual();
    let (parent, _parent_guard) = engine.background().with_cancel();
    let (first, first_guard) = parent.with_timeout(MS);
    let (second, second_guard) = parent.with_timeout(MS);
    let (third, third_guard) = parent.with_timeout(2 * MS);
    assert_eq!(parent.child_count(), 3);
    drop((second, second_guard.disarm()));
    assert_eq!(parent.child_count(), 2);
    clock.advance(MS);
    assert_eq!(parent.child_count(), 1);
    drop(third_guard);
    assert_eq!(parent.child_count(), 0);
    clock.advance(MS);
    assert_canceled(&third, None);
    assert_expired(&first, None);
    drop(first_guard);
    assert_live(&parent);
}

#[test]
fn the_deadline_ends_a_context_of_which_only_a_wait_is_left() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_timeout(MS);
    let (child, child_guard) = ctx.with_cancel();
    let mut waiters = [Waiter::on(&ctx), Waiter::on(&child)];
    drop((ctx, guard.disarm(), child, child_guard.disarm()));
    drop(engine);
    clock.advance(MS);
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), Poll::Ready(Error::DeadlineExceeded));
    }
}

#[test]
fn a_task_woken_by_a_deadline_sees_nothing_live_that_is_due_or_below() {
    let (engine, clock) = manual();
    let root = engine.background();
    let mut family = vec![root.with_timeout(LONG)];
    let (never, _never_guard) = root.with_cancel();
    for index in 1..40 {
        let (ctx, guard) = root.with_timeout(index * MS);
        let (child, child_guard) = ctx.with_cancel();
        let (merged, merged_guard) = Context::merge([&never, &child]);
        family.extend([(ctx, guard), (child, child_guard), (merged, merged_guard)]);
    }
    let live = Arc::new(Mutex::new(Vec::new()));
    let _waiting: Vec<_> = family
        .iter()
        .map(|(ctx, _)| {
            let all: Vec<_> = family.iter().map(|(ctx, _)| ctx.clone()).collect();
            let live = live.clone();
            when_told(ctx, move || {
                let count = all.iter().filter(|ctx| !ctx.is_done()).count();
                live.lock().expect("nobody panics with it").push(count);
            })
        })
        .collect();
    clock.advance(LONG);
    assert_eq!(
        *live.lock().expect("nobody panics with it"),
        vec![0; family.len()]
    );
}

#[test]
fn the_cause_of_a_deadline_is_dropped_once_whether_it_is_used_or_not() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (done, done_guard) = root.with_cancel();
    done_guard.cancel();
    let drops = Drops::default();
    let ends: [fn(&ManualClock, &CancelGuard); 3] = [
        |clock, _| clock.advance(MS),
        |_, guard| guard.cancel(),
        |_, _| {},
    ];
    let mut made = 0;
    for end in ends {
        for parent in [&root, &done] {
            for after in [Duration::ZERO, MS, LONG, Duration::MAX] {
                let (ctx, guard) = parent.with_timeout_cause(after, drops.error());
                let (child, child_guard) =
                    ctx.with_timeout_cause(2 * after.min(LONG), drops.error());
                end(&clock, &guard);
                let kept = child.cause();
                drop((ctx, guard, child, child_guard));
                drop(kept);
                made += 2;
            }
        }
    }
    // A record that was being timed when it was dropped may go with the next turns, or with the engine.
    drop((root, engine, clock));
    assert_eq!(drops.count(), made);
}

#[test]
fn a_cause_is_kept_by_whoever_asked_for_it() {
    let (engine, clock) = manual();
    let drops = Drops::default();
    let (ctx, guard) = engine.background().with_timeout_cause(MS, drops.error());
    clock.advance(MS);
    let cause = ctx.cause().expect("it is done");
    drop((ctx, guard, engine, clock));
    assert_eq!(drops.count(), 0);
    assert_eq!(cause.to_string(), "counted");
    drop(cause);
    assert_eq!(drops.count(), 1);
}

/// Engines whose deadlines come by themselves.
fn with_threads() -> [Context; 2] {
    let own = Engine::builder().build().expect("a thread can be started");
    [Context::background(), own.background()]
}

#[test]
fn a_deadline_on_the_machines_clock_comes_without_anybody_polling_and_never_early() {
    in_time(|| {
        for root in with_threads() {
            for after in [
                NS,
                Duration::from_micros(1),
                Duration::from_micros(70),
                MS,
                20 * MS,
            ] {
                let asked = Instant::now();
                let (ctx, _guard) = root.with_timeout_cause(after, Reason(1));
                let (child, _child_guard) = ctx.with_cancel();
                let at = ctx.deadline().expect("it has one");
                assert!(at >= asked + after);
                assert_eq!(child.wait(), Error::DeadlineExceeded);
                assert!(Instant::now() >= at, "early");
                assert_expired(&ctx, Some(Reason(1)));
                assert_expired(&child, Some(Reason(1)));
            }
        }
    });
}

#[test]
fn wakers_channels_and_blocked_threads_are_told_by_the_timer_thread_and_never_early() {
    in_time(|| {
        for root in with_threads() {
            let (told, is_told) = crossbeam_channel::bounded(1);
            let (ctx, _guard, _done) = timed_and_told(&root, 20 * MS, move || {
                let _ = told.send(Instant::now());
            });
            let at = ctx.deadline().expect("it has one");
            let channel = ctx.done_channel();
            let (_work, queue) = crossbeam_channel::bounded::<u32>(0);
            let selected = thread::spawn(move || {
                select! {
                    recv(channel) -> told => assert!(told.is_err()),
                    recv(queue) -> _ => unreachable!("nothing is sent"),
                }
                Instant::now()
            });
            let blocked = thread::spawn({
                let ctx = ctx.clone();
                move || (ctx.wait(), Instant::now())
            });
            assert!(is_told.recv_timeout(PATIENCE).expect("it is woken") >= at);
            assert!(selected.join().expect("the selecting thread") >= at);
            let (error, then) = blocked.join().expect("the blocked thread");
            assert_eq!(error, Error::DeadlineExceeded);
            assert!(then >= at);
        }
    });
}

#[test]
fn thousands_of_deadlines_on_the_machines_clock_all_come_and_none_early() {
    in_time(|| {
        for root in with_threads() {
            let early = run_all(4, |thread| {
                let mut rng = Rng::new(thread as u64);
                let armed: Vec<_> = (0..scaled(2_000))
                    .map(|_| root.with_timeout(Duration::from_micros(1 + rng.number() % 50_000)))
                    .collect();
                let mut early = 0;
                for (ctx, _) in &armed {
                    ctx.wait();
                    let at = ctx.deadline().expect("it has one");
                    early += usize::from(Instant::now() < at);
                }
                early
            });
            assert_eq!(early, [0; 4]);
        }
    });
}

#[test]
fn an_earlier_deadline_armed_while_the_timer_thread_sleeps_is_not_kept_waiting() {
    in_time(|| {
        for root in with_threads() {
            let (far, _far_guard) = root.with_timeout(LONG);
            for _ in 0..50 {
                let (near, _near_guard) = root.with_timeout(MS);
                assert_eq!(near.wait(), Error::DeadlineExceeded);
            }
            assert_live(&far);
        }
    });
}

#[test]
fn a_deadline_against_a_cancel_leaves_one_answer() {
    in_time(|| {
        let (engine, clock) = manual();
        let root = engine.background();
        for _ in 0..scaled(500) {
            let drops = Drops::default();
            let (ctx, guard) = root.with_timeout_cause(MS, drops.error());
            let (child, _child_guard) = ctx.with_cancel();
            let waiter = Waiter::on(&child);
            run_all(2, |thread| match thread {
                0 => clock.advance(MS),
                _ => guard.cancel_with(Reason(1)),
            });
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(child.err(), ctx.err());
            let by_cancel = reason(&ctx) == Some(Reason(1));
            assert_eq!(reason(&child), reason(&ctx));
            let error = if by_cancel {
                Error::Canceled
            } else {
                Error::DeadlineExceeded
            };
            assert_eq!(ctx.err(), Some(error));
            drop((ctx, guard, child, _child_guard, waiter));
            assert!(drops.count() <= 1);
        }
    });
}

#[test]
fn deadlines_armed_while_the_clock_is_moved_past_them_all_fire() {
    in_time(|| {
        for _ in 0..scaled(200) {
            let (engine, clock) = manual();
            let root = engine.background();
            let at = clock.now() + MS;
            let armed = run_all(3, |thread| {
                if thread == 0 {
                    clock.advance(MS);
                    return Vec::new();
                }
                (0..20).map(|_| root.with_deadline(at)).collect()
            });
            for (ctx, _) in armed.iter().flatten() {
                eventually("a deadline that has passed fires", || ctx.is_done());
            }
        }
    });
}

#[test]
fn deadlines_dropped_while_the_clock_is_moved_past_them_leave_nothing() {
    in_time(|| {
        for _ in 0..scaled(200) {
            let (engine, clock) = manual();
            let root = engine.background();
            let drops = Drops::default();
            let armed: Vec<_> = (0..40)
                .map(|_| root.with_timeout_cause(MS, drops.error()))
                .collect();
            let armed = Mutex::new(armed);
            run_all(2, |thread| {
                if thread == 0 {
                    clock.advance(MS);
                } else {
                    drop(std::mem::take(
                        &mut *armed.lock().expect("nobody panics with it"),
                    ));
                }
            });
            assert_eq!(root.child_count(), 0);
            drop((root, engine, clock));
            assert_eq!(drops.count(), 40);
        }
    });
}

#[test]
fn a_select_over_the_done_channel_ends_with_the_deadline() {
    in_time(|| {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(LONG);
        let channel = ctx.done_channel();
        assert_eq!(channel.try_recv(), Err(TryRecvError::Empty));
        let short = channel.recv_timeout(MS);
        assert_eq!(
            short,
            Err(RecvTimeoutError::Timeout),
            "an hour by a clock that stands"
        );
        clock.advance(LONG);
        assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
        select! {
            recv(channel) -> told => assert!(told.is_err()),
            default => unreachable!("it is disconnected"),
        }
    });
}

#[test]
fn a_merged_context_that_is_born_done_has_the_earliest_deadline_of_all_its_parents() {
    let (done, done_guard) = Context::background().with_cancel();
    let (late, _late_guard) = Context::background().with_timeout(2 * LONG);
    let (early, _early_guard) = late.with_timeout(LONG);
    done_guard.cancel();
    for parents in [[&done, &early, &late], [&late, &done, &early]] {
        let (merged, _merged_guard) = Context::merge(parents);
        assert!(merged.is_done());
        assert_eq!(merged.deadline(), early.deadline());
    }
}

#[test]
fn a_merged_context_has_the_earliest_deadline_and_its_cause() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (plain, _plain_guard) = root.with_cancel();
    let (late, _late_guard) = root.with_timeout_cause(2 * LONG, Reason(2));
    let (early, _early_guard) = root.with_timeout_cause(LONG, Reason(1));
    for parents in [
        [&plain, &late, &early],
        [&early, &plain, &late],
        [&late, &early, &plain],
    ] {
        let (merged, _merged_guard) = Context::merge(parents);
        assert_eq!(merged.deadline(), early.deadline());
        let (sooner, _sooner_guard) = merged.with_timeout(LONG / 2);
        assert_eq!(sooner.remaining(), Some(LONG / 2));
    }
    let (merged, _merged_guard) = Context::merge([&plain, &late, &early]);
    clock.advance(LONG);
    assert_expired(&merged, Some(Reason(1)));
    assert_live(&plain);
}

#[test]
fn across_engines_each_parents_deadline_is_fired_by_its_own() {
    let ((one, one_clock), (two, two_clock)) = (manual(), manual());
    let (first, _first_guard) = one.background().with_timeout_cause(2 * LONG, Reason(1));
    let (second, _second_guard) = two.background().with_timeout_cause(LONG, Reason(2));
    for ends_by in [1, 2] {
        let (merged, _merged_guard) = Context::merge([&first, &second]);
        let waiter = Waiter::on(&merged);
        assert_eq!(merged.deadline(), first.deadline().min(second.deadline()));
        if ends_by == 1 {
            one_clock.advance(LONG / 2);
            assert_live(&merged);
            // Its own engine is that of the first parent.
            let (child, _child_guard) = merged.with_timeout(MS);
            two_clock.advance(MS);
            assert_live(&child);
            one_clock.advance(MS);
            assert_expired(&child, None);
            assert_live(&merged);
        } else {
            two_clock.advance(LONG - MS);
            assert_expired(&merged, Some(Reason(2)));
            assert_eq!(waiter.wakes(), 1);
        }
    }
    assert_live(&first);
}

#[test]
fn the_engine_of_a_merged_context_is_that_of_the_first_parent_that_is_not_the_plain_background() {
    let ((one, one_clock), (two, two_clock)) = (manual(), manual());
    let background = Context::background();
    let (of_one, of_two) = (one.background(), two.background());
    let (child_of_two, _guard) = of_two.with_cancel();
    for (parents, clock) in [
        ([&background, &of_one, &child_of_two], &one_clock),
        ([&of_two, &background, &of_one], &two_clock),
        ([&Context::todo(), &child_of_two, &of_one], &two_clock),
    ] {
        let (merged, _merged_guard) = Context::merge(parents);
        assert_live(&merged);
        for ctx in [merged.clone(), merged.without_cancel()] {
            let (timed, _timed_guard) = ctx.with_timeout(MS);
            clock.advance(MS);
            assert_expired(&timed, None);
        }
    }
}

#[test]
fn without_cancel_keeps_the_engine_and_drops_the_deadline() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_timeout(MS);
    let (deep, _deep_guard) = ctx.with_timeout(MS);
    guard.cancel();
    let free = deep.without_cancel();
    drop((engine, ctx, guard, deep));
    assert_eq!(free.deadline(), None);
    assert_live(&free);
    let (timed, _timed_guard) = free.with_timeout(LONG);
    assert_eq!(timed.deadline(), Some(clock.now() + LONG));
    clock.advance(LONG - NS);
    assert_live(&timed);
    clock.advance(NS);
    assert_expired(&timed, None);
    assert_live(&free);
    assert_eq!(free.child_count(), 0);
}

#[test]
fn looking_never_fires_a_deadline() {
    let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
    let (ctx, _guard) = engine.background().with_timeout(MS);
    let (child, _child_guard) = ctx.with_cancel();
    let at = ctx.deadline().expect("it has one");
    while Instant::now() < at {
        thread::sleep(MS);
    }
    let waiter = Waiter::on(&child);
    for ctx in [&ctx, &child] {
        assert_live(ctx);
        assert_eq!(ctx.remaining(), Some(Duration::ZERO));
        assert_eq!(ctx.done_channel().try_recv(), Err(TryRecvError::Empty));
    }
    assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
    assert_live(&ctx);
    assert_eq!(driver.turn(), 1);
    assert_expired(&ctx, None);
    assert_expired(&child, None);
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn an_io_error_made_of_a_deadline_is_a_timeout() {
    let (ctx, _guard) = Context::background().with_timeout(Duration::ZERO);
    let error = std::io::Error::from(ctx.check().expect_err("it is done"));
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let inside = error
        .get_ref()
        .and_then(|inside| inside.downcast_ref::<Error>());
    assert_eq!(inside, Some(&Error::DeadlineExceeded));
}

#[test]
fn a_waker_fired_by_a_deadline_may_use_the_whole_library() {
    in_time(|| {
        let (engine, clock) = manual();
        let clock = Arc::new(clock);
        let (parent, parent_guard) = engine.background().with_cancel();
        let (ctx, guard) = parent.with_timeout(MS);
        let (sibling, sibling_guard) = parent.with_timeout(LONG);
        let told = Arc::new(Mutex::new(Vec::new()));
        let handles = (guard.handle(), parent_guard.handle());
        let _done = when_told(&ctx, {
            let (parent, told) = (parent.clone(), told.clone());
            let (ctx, sibling) = (ctx.clone(), sibling.clone());
            let dropped = Mutex::new(Some((sibling.clone(), sibling_guard)));
            move || {
                let (nested, _nested_guard) = parent.with_timeout(LONG);
                let (born, _born_guard) = ctx.with_timeout(LONG);
                assert_live(&nested);
                assert_expired(&born, None);
                drop(dropped.lock().expect("nobody panics with it").take());
                assert_canceled(&sibling, None);
                handles.0.cancel_with(Reason(1));
                handles.1.cancel_with(Reason(2));
                assert_canceled(&nested, Some(Reason(2)));
                told.lock().expect("nobody panics with it").push(());
            }
        });
        clock.advance(MS);
        assert_eq!(
            told.lock().expect("nobody panics with it").len(),
            1,
            "an assertion failed"
        );
        assert_expired(&ctx, None);
        assert_canceled(&parent, Some(Reason(2)));
        drop(sibling);
    });
}

#[test]
fn a_panic_in_a_waker_a_deadline_fires_skips_nothing_and_goes_no_further() {
    in_time(|| {
        for root in with_threads() {
            let (panicking, _panics, _beside, waiter) = ahead_of(5 * MS, |after| {
                let at = Instant::now() + after;
                let panicking: Vec<_> = (0..3).map(|_| root.with_deadline(at)).collect();
                let panics: Vec<_> = panicking
                    .iter()
                    .map(|(ctx, _)| when_told(ctx, || panic!("a waker that a deadline fired")))
                    .collect();
                let beside = root.with_deadline(at);
                let waiter = Waiter::on(&beside.0);
                (!beside.0.is_done()).then_some((panicking, panics, beside, waiter))
            });
            for (ctx, _) in &panicking {
                assert_eq!(ctx.wait(), Error::DeadlineExceeded);
            }
            eventually("the one beside it is told", || waiter.wakes() == 1);
            let (later, _later_guard) = root.with_timeout(MS);
            assert_eq!(
                later.wait(),
                Error::DeadlineExceeded,
                "the timer thread lives"
            );
        }
        let (engine, clock) = manual();
        let root = engine.background();
        let (first, _first_guard) = root.with_timeout(MS);
        let (second, _second_guard) = root.with_timeout(2 * MS);
        let _panics = when_told(&first, || panic!("a waker that a deadline fired"));
        let waiter = Waiter::on(&second);
        clock.advance(LONG);
        assert_eq!(waiter.wakes(), 1);
    });
}

#[test]
fn a_causes_drop_that_panics_costs_nobody_anything() {
    struct Bomb;
    impl std::fmt::Debug for Bomb {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Bomb")
        }
    }
    impl std::fmt::Display for Bomb {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bomb")
        }
    }
    impl std::error::Error for Bomb {}
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the drop of a deadline's cause");
        }
    }
    let (engine, clock) = manual();
    let root = engine.background();
    let (done, done_guard) = root.with_cancel();
    done_guard.cancel();
    drop(done.with_timeout_cause(LONG, Bomb));
    drop(root.with_timeout_cause(Duration::ZERO, Bomb));
    drop(root.with_timeout_cause(Duration::MAX, Bomb));
    drop(root.with_timeout_cause(LONG, Bomb));
    let (fires, fires_guard) = root.with_timeout_cause(MS, Bomb);
    let (bystander, _bystander_guard) = root.with_timeout(MS);
    clock.advance(MS);
    let cause = fires.cause().map(|cause| cause.to_string());
    assert_eq!(cause.as_deref(), Some("bomb"));
    drop((fires, fires_guard));
    assert_expired(&bystander, None);
    assert_eq!(root.child_count(), 0);
}

#[test]
fn the_last_handle_may_go_inside_a_waker_its_deadline_fires() {
    in_time(|| {
        for root in with_threads() {
            let holder = Arc::new(Mutex::new(None));
            let (gone, is_gone) = crossbeam_channel::bounded(1);
            // The lock keeps the waker waiting until all is in its hands.
            let mut held = holder.lock().expect("nobody panics with it");
            let (ctx, guard, done) = timed_and_told(&root, MS, {
                let holder = holder.clone();
                move || {
                    drop(holder.lock().expect("nobody panics with it").take());
                    let _ = gone.send(());
                }
            });
            let (child, child_guard) = ctx.with_timeout(LONG);
            *held = Some((ctx, guard.disarm(), child, child_guard.disarm(), done));
            drop(held);
            is_gone.recv_timeout(PATIENCE).expect("the deadline fires");
            let (later, _later_guard) = root.with_timeout(MS);
            assert_eq!(later.wait(), Error::DeadlineExceeded);
        }
    });
}
