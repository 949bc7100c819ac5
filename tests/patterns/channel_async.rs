//! The same channels, awaited.

use crate::block_on;
use ripcord::channel::{self, RecvError, SendError};
use ripcord::{CancelGuard, Context, Error};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as TaskContext, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(waker))
}

#[test]
fn a_cancel_wakes_who_awaits_and_gives_the_value_back() {
    let (sender, receiver) = channel::bounded(1);
    let (ctx, guard) = Context::background().with_cancel();
    sender.try_send(1).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = TaskContext::from_waker(&waker);
    let mut sending = pin!(sender.send_async(&ctx, 2));
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    guard.cancel();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let refused = Poll::Ready(Err(SendError::Done(2, Error::Canceled)));
    assert_eq!(sending.poll(&mut cx), refused);
    assert_eq!(
        block_on(receiver.recv_async(&ctx)),
        Err(RecvError::Done(Error::Canceled))
    );
    assert_eq!(receiver.drain().collect::<Vec<_>>(), [1]);
}

#[test]
fn one_that_was_told_and_goes_away_leaves_it_to_the_next() {
    let (sender, receiver) = channel::unbounded();
    let ctx = Context::background();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = TaskContext::from_waker(&waker);
    let mut leaves = Box::pin(receiver.recv_async(&ctx));
    let mut stays = Box::pin(receiver.recv_async(&ctx));
    assert!(leaves.as_mut().poll(&mut cx).is_pending());
    assert!(stays.as_mut().poll(&mut cx).is_pending());
    sender.try_send(7).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    drop(leaves);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    assert_eq!(stays.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
}

/// Of a waker that cancels when a clone of it is dropped, once it is armed: who is told and looks drops its own. Stands for
/// another thread that cancels in that moment.
struct CancelsWhenDropped {
    armed: AtomicBool,
    guard: Mutex<Option<CancelGuard>>,
}

fn cancels_when_dropped(guard: CancelGuard) -> (Arc<CancelsWhenDropped>, Waker) {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: of `Arc::into_raw`, and the waker that is cloned holds a count.
            unsafe { Arc::increment_strong_count(data.cast::<CancelsWhenDropped>()) };
            RawWaker::new(data, &VTABLE)
        },
        // SAFETY: the waker is used up, and with it the count that it held.
        |data| drop(unsafe { Arc::from_raw(data.cast::<CancelsWhenDropped>()) }),
        |_| (),
        |data| {
            // SAFETY: as above.
            let shared = unsafe { Arc::from_raw(data.cast::<CancelsWhenDropped>()) };
            if shared.armed.load(Ordering::SeqCst) {
                drop(shared.guard.lock().unwrap().take());
            }
        },
    );
    let shared = Arc::new(CancelsWhenDropped {
        armed: AtomicBool::new(false),
        guard: Mutex::new(Some(guard)),
    });
    let data = Arc::into_raw(Arc::clone(&shared)).cast();
    // SAFETY: the functions keep to what a waker promises: a count for each, of what may be shared among threads.
    (shared, unsafe { Waker::new(data, &VTABLE) })
}

#[test]
fn a_receiver_told_and_then_cancelled_before_it_looks_leaves_it_to_the_next() {
    let (sender, receiver) = channel::unbounded();
    let (ctx, guard) = Context::background().with_cancel();
    let background = Context::background();
    let (cancels, first) = cancels_when_dropped(guard);
    let wakes = Arc::new(Wakes::default());
    let second = Waker::from(Arc::clone(&wakes));
    let mut leaves = pin!(receiver.recv_async(&ctx));
    let mut stays = pin!(receiver.recv_async(&background));
    assert!(poll(leaves.as_mut(), &first).is_pending());
    assert!(poll(stays.as_mut(), &second).is_pending());
    sender.try_send(7).unwrap();
    cancels.armed.store(true, Ordering::SeqCst);
    let left = poll(leaves.as_mut(), &first);
    assert_eq!(left, Poll::Ready(Err(RecvError::Done(Error::Canceled))));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(stays.as_mut(), &second), Poll::Ready(Ok(7)));
}

#[test]
fn a_sender_told_and_then_cancelled_before_it_looks_leaves_it_to_the_next() {
    let (sender, receiver) = channel::bounded(1);
    sender.try_send(0).unwrap();
    let (ctx, guard) = Context::background().with_cancel();
    let background = Context::background();
    let (cancels, first) = cancels_when_dropped(guard);
    let wakes = Arc::new(Wakes::default());
    let second = Waker::from(Arc::clone(&wakes));
    let mut leaves = pin!(sender.send_async(&ctx, 1));
    let mut stays = pin!(sender.send_async(&background, 2));
    assert!(poll(leaves.as_mut(), &first).is_pending());
    assert!(poll(stays.as_mut(), &second).is_pending());
    receiver.try_recv().unwrap();
    cancels.armed.store(true, Ordering::SeqCst);
    let left = poll(leaves.as_mut(), &first);
    assert_eq!(left, Poll::Ready(Err(SendError::Done(1, Error::Canceled))));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(stays.as_mut(), &second), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(2));
}

#[test]
fn tasks_and_threads_meet_at_one_channel_and_all_arrives() {
    const EACH: u64 = 500;
    let (sender, receiver) = channel::bounded(2);
    let thread = thread::spawn({
        let sender = sender.clone();
        move || (0..EACH).try_for_each(|n| sender.send(&Context::background(), n))
    });
    let sums = block_on(async move {
        let task = tokio::spawn(async move {
            for n in EACH..2 * EACH {
                sender.send_async(&Context::background(), n).await.unwrap();
            }
        });
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                tokio::spawn(async move {
                    let mut sum = 0;
                    while let Ok(n) = receiver.recv_async(&Context::background()).await {
                        sum += n;
                    }
                    sum
                })
            })
            .collect();
        task.await.unwrap();
        let mut sums = 0;
        for receiver in receivers {
            sums += receiver.await.unwrap();
        }
        sums
    });
    thread.join().unwrap().unwrap();
    assert_eq!(sums, (0..2 * EACH).sum::<u64>());
}

#[test]
fn who_awaits_is_told_when_the_other_side_is_gone() {
    let (sender, receiver) = channel::bounded::<u8>(1);
    let waiting = thread::spawn(move || block_on(receiver.recv_async(&Context::background())));
    drop(sender);
    assert_eq!(waiting.join().unwrap(), Err(RecvError::Disconnected));

    let (sender, receiver) = channel::bounded(1);
    sender.try_send(1).unwrap();
    let waiting = thread::spawn(move || block_on(sender.send_async(&Context::background(), 2)));
    drop(receiver);
    assert_eq!(waiting.join().unwrap(), Err(SendError::Disconnected(2)));
}

#[test]
fn tasks_cannot_meet_without_room_and_are_told_so() {
    let (sender, receiver) = channel::bounded(0);
    let ctx = Context::background();
    assert_eq!(
        block_on(sender.send_async(&ctx, 1)),
        Err(SendError::Rendezvous(1))
    );
    assert_eq!(
        block_on(receiver.recv_async(&ctx)),
        Err(RecvError::Rendezvous)
    );
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

#[test]
fn a_waker_that_panics_is_not_the_panic_of_who_sends_and_the_next_are_told() {
    let (sender, receiver) = channel::unbounded();
    let ctx = Context::background();
    let panics = Waker::from(Arc::new(PanicsWhenWoken));
    let mut receiving = Box::pin(receiver.recv_async(&ctx));
    assert!(poll(receiving.as_mut(), &panics).is_pending());
    assert_eq!(sender.try_send(1), Ok(()));
    drop(receiving);
    assert_eq!(receiver.try_recv(), Ok(1));

    let wakes = Arc::new(Wakes::default());
    let counts = Waker::from(Arc::clone(&wakes));
    let mut first = pin!(receiver.recv_async(&ctx));
    let mut second = pin!(receiver.recv_async(&ctx));
    assert!(poll(first.as_mut(), &panics).is_pending());
    assert!(poll(second.as_mut(), &counts).is_pending());
    drop(sender);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let disconnected = Poll::Ready(Err(RecvError::Disconnected));
    assert_eq!(poll(second.as_mut(), &counts), disconnected);
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task of an executor that was dropped: what its queue refuses goes with its last handle, inside the wake.
struct Orphan {
    running: Mutex<Running>,
    queue: mpsc::SyncSender<Arc<Orphan>>,
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        assert!(self.queue.send(Arc::clone(&self)).is_err());
    }
}

/// Polls it once, and leaves its waker alone to keep it.
fn orphan(running: impl Future<Output = ()> + Send + 'static) {
    let (queue, executor) = mpsc::sync_channel(1);
    let task = Arc::new(Orphan {
        running: Mutex::new(Box::pin(running)),
        queue,
    });
    drop(executor);
    let waker = Waker::from(Arc::clone(&task));
    let mut running = task.running.lock().unwrap();
    let polled = poll(running.as_mut(), &waker);
    assert!(polled.is_pending());
}

/// What `work` gives; a panic where it takes so long that it is stuck.
fn unless_stuck<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    // So little that no task may be woken on the stack of the one before.
    let small = thread::Builder::new().stack_size(256 << 10);
    let _thread = small.spawn(move || done.send(work())).unwrap();
    let result = is_done.recv_timeout(Duration::from_secs(20));
    result.expect("it is stuck, or it panicked")
}

#[test]
fn a_wake_may_drop_the_task_and_that_tells_the_next_however_many_there_are() {
    const TASKS: usize = 20_000;
    let (sender, receiver) = channel::unbounded();
    let receiver = Arc::new(receiver);
    for _ in 0..TASKS {
        let receiver = Arc::clone(&receiver);
        orphan(async move {
            let _ = receiver.recv_async(&Context::background()).await;
        });
    }
    assert_eq!(Arc::strong_count(&receiver), TASKS + 1);
    let sent = unless_stuck(move || sender.try_send(1));
    assert_eq!(sent, Ok(()));
    assert_eq!(Arc::strong_count(&receiver), 1, "each was told, and went");
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn the_last_end_may_drop_the_tasks_that_wait_at_the_other() {
    let (sender, receiver) = channel::bounded(1);
    sender.try_send(0).unwrap();
    let sender = Arc::new(sender);
    for n in 1..100 {
        let sender = Arc::clone(&sender);
        orphan(async move {
            let _ = sender.send_async(&Context::background(), n).await;
        });
    }
    unless_stuck(move || drop(receiver));
    assert_eq!(Arc::strong_count(&sender), 1);
}

/// A waker that polls what it wakes, at once.
struct Inline(Mutex<Running>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut running = self.0.lock().unwrap();
        let _ = poll(running.as_mut(), &waker);
    }
}

#[test]
fn a_wake_may_poll_the_task() {
    let (sender, receiver) = channel::unbounded();
    let (got, came) = mpsc::channel();
    let task = Arc::new(Inline(Mutex::new(Box::pin(async move {
        let ctx = Context::background();
        while let Ok(value) = receiver.recv_async(&ctx).await {
            got.send(value).unwrap();
        }
    }))));
    Arc::clone(&task).wake();
    unless_stuck(move || {
        for value in 0..3 {
            sender.try_send(value).unwrap();
        }
    });
    assert_eq!(came.iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn tasks_are_told_in_the_order_in_which_they_came() {
    let (sender, receiver) = channel::unbounded();
    let ctx = Context::background();
    let wakes: Vec<_> = (0..4).map(|_| Arc::new(Wakes::default())).collect();
    let mut waiting: Vec<_> = wakes
        .iter()
        .map(|wakes| {
            let waker = Waker::from(Arc::clone(wakes));
            let mut receiving = Box::pin(receiver.recv_async(&ctx));
            let polled = poll(receiving.as_mut(), &waker);
            assert!(polled.is_pending());
            receiving
        })
        .collect();
    drop(waiting.remove(1));
    for (nth, told) in [[1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]]
        .iter()
        .enumerate()
    {
        sender.try_send(nth).unwrap();
        let counts = wakes.iter().map(|wakes| wakes.0.load(Ordering::SeqCst));
        assert_eq!(counts.collect::<Vec<_>>(), told);
    }
}
