//! What is polled: waits, sleeps, and futures run under a context; and who is to be woken.

use super::clock::EngineId;
use super::ledger::Token;
use super::ops::Op;
use super::play::{World, pick};
use super::reference::At;
use ripcord::{Done, Error, Run, Sleep};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake};
use std::time::Instant;

pub(crate) struct Wait {
    what: What,
    on: At,
    /// Whether it is over: who waits has been told.
    is_over: bool,
    /// The waker it was polled with last, if it was.
    waker: Option<Arc<Wakes>>,
    /// What became of the wakers before.
    before: Vec<Arc<Wakes>>,
    woken: usize,
}

enum What {
    Done(Done),
    /// When it is due, which may be never; and how its time has come.
    Sleep(Sleep, Option<Instant>, Option<Result<(), Error>>),
    Run(Pin<Box<Run<Steps>>>, Known),
}

/// A future that is ready when it has been polled that often.
struct Steps {
    left: usize,
    polls: Arc<AtomicUsize>,
    token: Token,
}

/// What is known of one.
struct Known {
    left: usize,
    polls: Arc<AtomicUsize>,
    number: usize,
}

impl Future for Steps {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<usize> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        match self.left.checked_sub(1) {
            None => Poll::Ready(self.token.number()),
            Some(left) => {
                self.left = left;
                Poll::Pending
            }
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl World {
    pub(super) fn play_future(&mut self, op: Op) {
        match op {
            Op::Wait { on, poll } => {
                let on = self.context(on);
                self.wait(What::Done(on.ctx.done()), on.at, poll);
            }
            Op::Sleep { on, span, poll } => {
                let on = self.context(on);
                let engine = on.at.engine;
                let span = self.distant(engine, span);
                let due = self.tree.clocks.after(engine, span);
                let now = self.tree.clocks.now(engine);
                let result = due.and_then(|due| {
                    if due <= now {
                        Some(Ok(()))
                    } else {
                        let stopped = self.tree.clocks.is_stopped(engine);
                        stopped.then_some(Err(Error::Canceled))
                    }
                });
                self.wait(What::Sleep(on.ctx.sleep(span), due, result), on.at, poll);
            }
            Op::Run { on, polls } => {
                let on = self.context(on);
                let token = self.futures.issue();
                let known = Known {
                    left: usize::from(polls % 4),
                    polls: Arc::default(),
                    number: token.number(),
                };
                let run = Box::pin(on.ctx.run(Steps {
                    left: known.left,
                    polls: known.polls.clone(),
                    token,
                }));
                self.wait(What::Run(run, known), on.at, false);
            }
            Op::Poll { which, other_waker } => {
                if let Some(which) = pick(&self.waits, which) {
                    self.poll(which, other_waker);
                }
            }
            Op::DropWait { which } => {
                if let Some(which) = pick(&self.waits, which) {
                    self.drop_wait(which);
                }
            }
            _ => unreachable!("{op:?} is none of a future"),
        }
    }

    fn wait(&mut self, what: What, on: At, poll: bool) {
        let is_over = self.tree.is_done(on) || what.time_has_come().is_some();
        self.waits.push(Wait {
            what,
            on,
            is_over,
            waker: None,
            before: Vec::new(),
            woken: 0,
        });
        self.tree.acquire(on);
        if poll {
            self.poll(self.waits.len() - 1, true);
        }
    }

    fn poll(&mut self, which: usize, other_waker: bool) {
        let wait = &mut self.waits[which];
        if !wait.is_over && (other_waker || wait.waker.is_none()) {
            let new = Some(Arc::default());
            wait.before.extend(std::mem::replace(&mut wait.waker, new));
        }
        let error = self.tree.ends(wait.on).first().map(|end| end.error);
        let expected = match &mut wait.what {
            What::Run(_, known) if error.is_none() => {
                let left = known.left.checked_sub(1);
                known.left = left.unwrap_or(0);
                let polls = known.polls.load(Ordering::Relaxed);
                let answer = left.map_or(Poll::Ready(Ok(known.number)), |_| Poll::Pending);
                assert_eq!(wait.answer(), answer);
                let known = wait.what.known().expect("it is a run");
                assert_eq!(known.polls.load(Ordering::Relaxed), polls + 1);
                if left.is_none() {
                    assert_eq!(self.futures.drops(known.number), 1, "it has its output");
                    self.drop_wait(which);
                }
                return;
            }
            what => error
                .map(Err)
                .or_else(|| what.time_has_come().map(|result| result.map(|()| 0))),
        };
        let Some(expected) = expected else {
            assert_eq!(wait.answer(), Poll::Pending);
            return;
        };
        let polls = wait.what.polls();
        for _ in 0..2 {
            assert_eq!(wait.answer(), Poll::Ready(expected));
        }
        assert_eq!(wait.what.polls(), polls, "polled under a done context");
        if let Some(known) = wait.what.known() {
            assert_eq!(
                self.futures.drops(known.number),
                1,
                "dropped before the error"
            );
        }
        // What was ready may have let its context go already: no longer to be counted on.
        self.drop_wait(which);
    }

    fn drop_wait(&mut self, which: usize) {
        let wait = self.waits.swap_remove(which);
        wait.compare();
        let number = wait.what.known().map(|known| known.number);
        let wakers: Vec<_> = wait.waker.iter().chain(&wait.before).cloned().collect();
        let on = wait.on;
        drop(wait);
        if let Some(number) = number {
            assert_eq!(self.futures.drops(number), 1, "it owns its future");
        }
        for waker in &wakers {
            assert_eq!(Arc::strong_count(waker), 1, "a waker is still held");
        }
        self.tree.release(on);
    }

    /// The time has come for sleeps, but for those whose context is done.
    pub(super) fn after_advance(&mut self, engine: EngineId) {
        let now = self.tree.clocks.now(engine);
        let is_stopped = self.tree.clocks.is_stopped(engine);
        for wait in self
            .waits
            .iter_mut()
            .filter(|wait| wait.on.engine == engine)
        {
            if let What::Sleep(_, Some(due), result @ None) = &mut wait.what
                && *due <= now
                && !is_stopped
            {
                *result = Some(Ok(()));
            }
        }
        self.settle();
    }

    /// Those that still sleep, and not for ever, are over.
    pub(super) fn after_shutdown(&mut self, engine: EngineId) {
        for wait in self
            .waits
            .iter_mut()
            .filter(|wait| wait.on.engine == engine)
        {
            if let What::Sleep(_, Some(_), result @ None) = &mut wait.what {
                *result = Some(Err(Error::Canceled));
            }
        }
        self.settle();
    }

    pub(super) fn settle_waits(&mut self) {
        for wait in &mut self.waits {
            let is_over = self.tree.is_done(wait.on) || wait.what.time_has_come().is_some();
            if is_over && !wait.is_over {
                wait.is_over = true;
                wait.woken += usize::from(wait.waker.is_some());
            }
        }
    }
}

impl What {
    fn time_has_come(&self) -> Option<Result<(), Error>> {
        match self {
            Self::Sleep(_, _, result) => *result,
            Self::Done(_) | Self::Run(..) => None,
        }
    }

    fn known(&self) -> Option<&Known> {
        match self {
            Self::Run(_, known) => Some(known),
            Self::Done(_) | Self::Sleep(..) => None,
        }
    }

    fn polls(&self) -> usize {
        self.known()
            .map_or(0, |known| known.polls.load(Ordering::Relaxed))
    }
}

impl Wait {
    fn answer(&mut self) -> Poll<Result<usize, Error>> {
        let waker = self.waker.clone().unwrap_or_default().into();
        let mut task = TaskContext::from_waker(&waker);
        match &mut self.what {
            What::Done(done) => Pin::new(done).poll(&mut task).map(Err),
            What::Sleep(sleep, ..) => Pin::new(sleep)
                .poll(&mut task)
                .map(|result| result.map(|()| 0)),
            What::Run(run, _) => run.as_mut().poll(&mut task),
        }
    }

    pub(super) fn compare(&self) {
        let wakes = self.waker.as_ref().map_or(0, |waker| waker.count());
        assert_eq!(wakes, self.woken, "wakes of a wait on {:?}", self.on);
        let stale = self.before.iter().map(|waker| waker.count()).sum::<usize>();
        assert_eq!(stale, 0, "wakes of wakers that were replaced");
    }
}
