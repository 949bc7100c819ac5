//! What tasks wait for at a channel.
//!
//! A task looks, takes a place in the queue, looks again, and awaits. Whoever puts a value in or takes one out tells the first in
//! the queue of the other side, which leaves it by that. A task that is told and goes away instead of looking passes that on:
//! [`Place`] where it is dropped, the task itself where it was ready and the context ended before the look. An end that is dropped
//! has all tasks look, for it may have been the last.
//!
//! Wakers are cloned, woken and dropped where nothing is locked: they may poll or drop the very task, which comes back here.

use crate::patterns::lock::lock;
use crate::sync::{AtomicUsize, Ordering, contain};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

#[derive(Default)]
struct Both {
    value: Queue,
    room: Queue,
}

#[derive(Clone, Default)]
pub(super) struct Events(Arc<Both>);

impl Events {
    pub(super) fn sent(&self) {
        self.0.value.tell_first();
    }

    pub(super) fn received(&self) {
        self.0.room.tell_first();
    }

    pub(super) fn value(&self) -> Place<'_> {
        self.0.value.place()
    }

    pub(super) fn room(&self) -> Place<'_> {
        self.0.room.place()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.value.tell_all();
        self.0.room.tell_all();
    }
}

/// The tasks that wait for the same, as they came.
#[derive(Default)]
struct Queue {
    /// How many there are, for those who have nobody to tell. Changed under the lock.
    length: AtomicUsize,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    /// By place. `None`: it has not been polled there.
    wakers: BTreeMap<u64, Option<Waker>>,
}

impl Queue {
    fn place(&self) -> Place<'_> {
        let mut tasks = lock(&self.tasks);
        let number = tasks.next;
        tasks.next += 1;
        tasks.wakers.insert(number, None);
        // ORDERING: AcqRel, with that of `is_empty`. Whichever comes second sees what was done before the first: the task what
        // is in the channel, or who has changed that the task. All that change it are RMWs, so none breaks the chain.
        self.length.fetch_add(1, Ordering::AcqRel);
        Place {
            queue: self,
            number,
            is_over: false,
        }
    }

    /// Asked after a change of the channel.
    fn is_empty(&self) -> bool {
        // ORDERING: an RMW though it changes nothing, as the counterpart of that of `place`.
        self.length.fetch_add(0, Ordering::AcqRel) == 0
    }

    fn tell_first(&self) {
        if self.is_empty() {
            return;
        }
        let first = {
            let mut tasks = lock(&self.tasks);
            let first = tasks.wakers.pop_first();
            self.left(usize::from(first.is_some()));
            first
        };
        if let Some((_, Some(waker))) = first {
            wake(waker);
        }
    }

    fn tell_all(&self) {
        if self.is_empty() {
            return;
        }
        let all = {
            let mut tasks = lock(&self.tasks);
            let all = std::mem::take(&mut tasks.wakers);
            self.left(all.len());
            all
        };
        all.into_values().flatten().for_each(wake);
    }

    /// Under the lock.
    fn left(&self, tasks: usize) {
        // ORDERING: Relaxed: who finds too many looks under the lock.
        self.length.fetch_sub(tasks, Ordering::Relaxed);
    }
}

/// A task's place in a queue. Ready when the task has been told; dropped after that without having been asked, it tells the next.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    number: u64,
    /// It was ready, or has left the queue.
    is_over: bool,
}

impl Future for Place<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let known = {
            let tasks = lock(&self.queue.tasks);
            let own = tasks.wakers.get(&self.number);
            own.map(|own| own.as_ref().is_some_and(|own| own.will_wake(cx.waker())))
        };
        let unused = match known {
            None => None,
            Some(true) => return Poll::Pending,
            Some(false) => {
                let new = cx.waker().clone();
                let mut tasks = lock(&self.queue.tasks);
                match tasks.wakers.get_mut(&self.number) {
                    Some(own) => {
                        let replaced = own.replace(new);
                        drop(tasks);
                        contain(|| drop(replaced));
                        return Poll::Pending;
                    }
                    None => Some(new),
                }
            }
        };
        self.is_over = true;
        contain(|| drop(unused));
        Poll::Ready(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let own = {
            let mut tasks = lock(&self.queue.tasks);
            let own = tasks.wakers.remove(&self.number);
            self.queue.left(usize::from(own.is_some()));
            own
        };
        match own {
            Some(waker) => {
                contain(|| drop(waker));
            }
            None => self.queue.tell_first(),
        }
    }
}

/// Wakes inside wakes on one thread. Where an executor is gone, a wake drops its task, and that tells the next: past this depth
/// they are woken one after the other, and not on the stack of the one before. Arbitrary.
const DEEPEST: usize = 16;

struct Waking {
    depth: Cell<usize>,
    left: RefCell<VecDeque<Waker>>,
}

thread_local! {
    static WAKING: Waking = const {
        Waking { depth: Cell::new(0), left: RefCell::new(VecDeque::new()) }
    };
}

/// A panic in it goes no further: it is not that of who put a value in or took one out, which is done by then.
fn wake(waker: Waker) {
    let mut waker = Some(waker);
    let waking = WAKING.try_with(|waking| {
        let depth = waking.depth.get();
        if depth > DEEPEST {
            waking.left.borrow_mut().extend(waker.take());
            return;
        }
        waking.depth.set(depth + 1);
        let mut next = waker.take();
        while let Some(waker) = next {
            contain(|| waker.wake());
            next = match depth {
                DEEPEST => waking.left.borrow_mut().pop_front(),
                _ => None,
            };
        }
        waking.depth.set(depth);
    });
    // The thread's locals are gone.
    if let (Err(_), Some(waker)) = (waking, waker) {
        contain(|| waker.wake());
    }
}
