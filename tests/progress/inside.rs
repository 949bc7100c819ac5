//! What these tests ask of a context beyond what the library offers.

use crate::context::Context;
use crate::raw::handle::Handle;
use crate::raw::tree;

impl Context {
    /// Gives its node stripes, as contention would.
    pub(crate) fn inflate(&self) {
        self.node().inflate();
    }
}

impl Handle {
    fn inflate(&self) {
        // SAFETY: `self` is a handle of it.
        unsafe { tree::inflate(self.node().expect("tests inflate nodes")) };
    }
}
