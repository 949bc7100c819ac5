//! A mio loop.

use super::super::quiet::PATIENCE;
use super::Worker;
use mio::{Events, Poll, Token};
use ripcord::mio::Notifier;
use std::collections::HashSet;
use std::io;
use std::time::Instant;

const WAKER: Token = Token(usize::MAX);

/// Rung by the cancels of some of many watched contexts, and by nothing else.
pub(super) fn rung(worker: &mut Worker) {
    if let Err(error) = watch(worker) {
        worker.ledger().wrong(format!("mio: {error}"));
    }
}

fn watch(worker: &mut Worker) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4);
    let notifier = Notifier::new(poll.registry(), WAKER)?;
    let base = worker.base();
    let watched: Vec<_> = (0..worker.rng.usize(1..10))
        .map(|token| {
            let (ctx, guard) = base.with_cancel();
            let watch = notifier.watch(&ctx, Token(token));
            (guard, watch)
        })
        .collect();
    let canceled: HashSet<_> = (0..watched.len()).filter(|_| worker.rng.bool()).collect();
    for at in &canceled {
        watched[*at].0.cancel();
    }
    let began = Instant::now();
    let mut seen = HashSet::new();
    while seen.len() < canceled.len() && began.elapsed() < PATIENCE {
        poll.poll(&mut events, Some(PATIENCE))?;
        seen.extend(notifier.drain().map(|Token(token)| token));
    }
    worker.ensure(seen == canceled, || {
        format!("mio: {seen:?} for {canceled:?}")
    });
    Ok(())
}
