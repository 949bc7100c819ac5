//! Nobody awaits a channel: the feature `channel-async` is off, and this is nothing.

#[derive(Clone, Debug, Default)]
pub(super) struct Events(());

impl Events {
    #[inline(always)]
    pub(super) const fn sent(&self) {}

    #[inline(always)]
    pub(super) const fn received(&self) {}
}
