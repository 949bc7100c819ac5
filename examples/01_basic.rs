//! Where every tree starts: the background for work that nothing ends, and `todo` for a caller that has no context to
//! give yet. Neither is ever done; operations take either, and need not know which.
//!
//! Run with `cargo run --example 01_basic`.

use ripcord::{Context, Error};

pub fn main() {
    for ctx in [Context::background(), Context::todo()] {
        let words = count_words(&ctx, "the quick brown fox");
        println!("under {ctx}: {words:?} words");
    }
}

/// Takes a context first, as everything does that may be worth stopping.
pub fn count_words(ctx: &Context, text: &str) -> Result<usize, Error> {
    let mut words = 0;
    for _ in text.split_whitespace() {
        ctx.check()?;
        words += 1;
    }
    Ok(words)
}
