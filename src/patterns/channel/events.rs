//! What tasks wait for at a channel.
//!
//! A task looks, starts to listen, looks again, and awaits. Whoever puts a value in or takes one out tells one more task on the
//! other side. A task that is told and goes away instead of looking passes that on: `EventListener` where it is dropped, the task
//! itself where it was ready and the context ended before the look. An end that is dropped has all tasks look, for it may have
//! been the last.

use event_listener::{Event, EventListener, IntoNotification};
use std::sync::Arc;

#[derive(Debug, Default)]
struct Both {
    value: Event,
    room: Event,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Events(Arc<Both>);

impl Events {
    pub(super) fn sent(&self) {
        self.0.value.notify(1_usize.additional());
    }

    pub(super) fn received(&self) {
        self.0.room.notify(1_usize.additional());
    }

    pub(super) fn value(&self) -> EventListener {
        self.0.value.listen()
    }

    pub(super) fn room(&self) -> EventListener {
        self.0.room.listen()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.value.notify(usize::MAX);
        self.0.room.notify(usize::MAX);
    }
}
