//! Every answer that there is, compared.

use super::callbacks::PATIENCE;
use super::clock::Clocks;
use super::futures::Wait;
use super::ledger::Ledger;
use super::ops::Op;
use super::play::{Held, KEYS, UNSET, World};
use super::reference::{At, End, Why};
use super::values::Seen;
use ripcord::{Context, EngineStopped, Error, Light};
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

impl World {
    pub(super) fn compare(&mut self, step: usize, op: Op) {
        let in_batches = self
            .batches
            .iter()
            .flat_map(|of| of.ats.iter().zip(&*of.batch));
        let held = self.contexts.iter().map(|held| (&held.at, &held.ctx));
        for (at, ctx) in held.chain(in_batches) {
            self.tree.observe(*at, end_of(ctx));
        }
        let kept = self.tree.kept();
        let counts = self.tree.child_counts(&kept);
        for held in &self.contexts {
            let what = || format!("context {:?} after step {step}, {op:?}", held.at);
            self.look(&held.ctx, held.at, &held.seen);
            let (least, most) = held.at.node.map_or((0, 0), |id| counts[id]);
            let range = least..=most;
            let count = self.child_count(&held.ctx, &range);
            assert!(
                range.contains(&count),
                "{count} children, {range:?}: {}",
                what()
            );
        }
        for of in &self.batches {
            for (at, ctx) in of.ats.iter().zip(&of.batch) {
                self.look(ctx, *at, &of.seen);
            }
        }
        let of = &self.contexts[step % self.contexts.len()];
        self.look_closely(of);
        if let Some(newest) = self.contexts.last() {
            self.look_closely(newest);
        }
        for (is_over, at) in &self.channels {
            if self.tree.is_done(*at) || kept.is_certain(*at) {
                assert_eq!(is_over(), self.tree.is_done(*at), "a channel of {at:?}");
            }
        }
        self.waits.iter().for_each(Wait::compare);
        self.callbacks.compare();
        for (engine, (_, clock)) in self.engines.iter().enumerate() {
            assert_eq!(clock.now(), self.tree.clocks.now(engine + 1));
        }
        let held = self.contexts.iter().map(|held| &held.seen);
        let in_batches = self.batches.iter().filter(|of| !of.batch.is_empty());
        let held = held.chain(in_batches.map(|of| &of.seen));
        self.kept_values.check(&self.values, held);
    }

    /// While a callback's thread lets go of a context, it may be told by the registrations of its parent.
    fn child_count(&self, ctx: &Context, expected: &RangeInclusive<usize>) -> usize {
        let began = Instant::now();
        loop {
            let count = ctx.child_count();
            let may_pass = self.callbacks.may_be_at_work() && began.elapsed() < PATIENCE;
            if expected.contains(&count) || !may_pass {
                return count;
            }
            thread::yield_now();
        }
    }

    /// All that is quickly asked.
    fn look(&self, ctx: &Context, at: At, seen: &Seen) {
        assert_eq!(ctx.deadline(), self.tree.deadline(at), "deadline of {at:?}");
        check_remaining(ctx, at, &self.tree.clocks);
        for (number, key) in KEYS.iter().enumerate() {
            let value = ctx.value(key).map(super::ledger::Token::number);
            assert_eq!(value, seen.get(number), "value {number} of {at:?}");
        }
        assert!(ctx.value(&UNSET).is_none());
    }

    /// What is slow, or starts something.
    fn look_closely(&self, of: &Held) {
        let error = self.tree.ends(of.at).first().map(|end| end.error);
        of.line.check(&of.ctx.to_string(), &self.tree.clocks);
        assert_eq!(of.ctx.wait_timeout(Duration::ZERO), error);
        assert_eq!(
            of.ctx.blocking_sleep(Duration::ZERO),
            error.map_or(Ok(()), Err)
        );
        let channel = of.ctx.done_channel();
        let is_over = channel.try_recv().is_err_and(|no| no.is_disconnected());
        assert_eq!(is_over, error.is_some());
        if let Some(error) = error {
            assert_eq!(of.ctx.wait(), error);
            assert_eq!(of.ctx.wait_timeout(Duration::MAX), Some(error));
            assert_eq!(of.ctx.blocking_sleep(Duration::MAX), Err(error));
        }
    }

    pub(super) fn check_light(&self, under: &Held, after: Duration) {
        let early = Instant::now();
        let light = Light::under(&under.ctx, after);
        let late = Instant::now();
        let deadline = light.deadline().expect("no span is for ever");
        let limit = self.tree.deadline(under.at);
        let within = |at: Instant| limit.map_or(at + after, |limit| limit.min(at + after));
        assert!(within(early) <= deadline && deadline <= within(late));
        let early = Instant::now();
        let error = light.err();
        match self.tree.ends(under.at).first() {
            Some(end) => assert_eq!(error, Some(end.error)),
            None if deadline <= early => assert_eq!(error, Some(Error::DeadlineExceeded)),
            None if deadline > Instant::now() => assert_eq!(error, None),
            None => {}
        }
        light.cancel();
        let error = light.err();
        assert!(error.is_some() && light.is_done());
        light.cancel();
        assert_eq!(light.check().err(), error, "the first end stays");
    }

    /// All goes, and with it all that was made.
    pub(super) fn end(mut self) {
        self.end_callbacks();
        self.compare(0, Op::DropGuard { which: 0 });
        let Self {
            contexts,
            guards,
            handles,
            batches,
            waits,
            channels,
            mut callbacks,
            engines,
            causes,
            values,
            futures,
            ..
        } = self;
        drop((engines, guards, waits, batches, handles, channels));
        callbacks.finish();
        drop(contexts);
        assert!(values.is_settled(), "values dropped when all is gone");
        assert!(futures.is_settled(), "futures dropped when all is gone");
        // The thread that ran the last callback may just be letting go of its context.
        eventually_settled(&causes);
    }
}

fn eventually_settled(causes: &Ledger) {
    let began = Instant::now();
    while !causes.is_settled() {
        assert!(
            began.elapsed() < PATIENCE,
            "causes dropped when all is gone"
        );
        thread::yield_now();
    }
}

/// How the engine says it ended, all its answers in agreement.
fn end_of(ctx: &Context) -> Option<End> {
    let error = ctx.err();
    assert_eq!(ctx.is_done(), error.is_some());
    assert_eq!(ctx.check().err(), error);
    let cause = ctx.cause();
    assert_eq!(cause.is_some(), error.is_some(), "err and cause");
    let cause = cause?;
    let why = if let Some(token) = cause.downcast_ref::<super::ledger::Token>() {
        Why::Counted(token.number())
    } else if cause.downcast_ref::<EngineStopped>().is_some() {
        Why::Stopped
    } else {
        Why::Error(*cause.downcast_ref::<Error>().expect("no other is given"))
    };
    error.map(|error| End { error, why })
}

fn check_remaining(ctx: &Context, at: At, clocks: &Clocks) {
    let deadline = ctx.deadline();
    let left = |now| deadline.map(|at| at.saturating_duration_since(now));
    let early = left(clocks.now(at.engine));
    let remaining = ctx.remaining();
    let late = left(clocks.now(at.engine));
    assert!(late <= remaining && remaining <= early, "{remaining:?}");
}
