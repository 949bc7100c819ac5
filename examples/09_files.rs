//! A large file copied with a progress bar, and one whose copy is cancelled in the middle: the target is whole, or it is not there.
//!
//! Run with `cargo run --example 09_files --features tempfile`.

use indicatif::{ProgressBar, ProgressStyle};
use ripcord::{Cause, Context, io};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

const MEGABYTES: u64 = 64;

pub fn main() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let [source, target, cancelled] =
        ["source", "copy", "cancelled"].map(|name| directory.path().join(name));
    let ctx = Context::background();
    let bytes = write_lines(&ctx, &source, MEGABYTES << 20).expect("there is room for the file");

    let bar = ProgressBar::new(bytes).with_style(style());
    let copied = copy_file(&ctx, &source, &target, |written| bar.set_position(written));
    bar.finish();
    println!("copied: {copied:?} of {bytes} bytes");

    let bar = ProgressBar::new(bytes).with_style(style());
    let stopped = copy_and_change_ones_mind(&source, &cancelled, bytes / 2, &bar);
    bar.abandon();
    println!(
        "cancelled after {} bytes: {stopped:?}; there is a target: {}",
        bar.position(),
        cancelled.exists()
    );
    println!("lines in the copy: {:?}", count_lines(&ctx, &target));
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        .expect("the template is right")
}

/// A file of numbered lines, of so many bytes at least. Answers with how many it has.
pub fn write_lines(ctx: &Context, target: &Path, bytes: u64) -> std::io::Result<u64> {
    io::replace(ctx, target, |file| {
        let mut written = 0;
        let mut chunk = Vec::with_capacity(io::CHUNK);
        for line in 0_u64.. {
            writeln!(chunk, "line {line}")?;
            if chunk.len() >= io::CHUNK {
                file.write_all(&chunk)?; // looks at the context
                written += chunk.len() as u64;
                chunk.clear();
                if written >= bytes {
                    break;
                }
            }
        }
        Ok(written)
    })
}

/// The copy gets the target's name when all of it is there. Cancelled, out of time, or on a full disk it is taken away again.
pub fn copy_file(
    ctx: &Context,
    source: &Path,
    target: &Path,
    progress: impl FnMut(u64),
) -> std::io::Result<u64> {
    let source = File::open(source)?;
    io::replace(ctx, target, |file| {
        Ok(io::copy(ctx, source, file, progress)?)
    })
}

/// Somebody looks at the bar, and has seen enough when so many bytes are there.
pub fn copy_and_change_ones_mind(
    source: &Path,
    target: &Path,
    enough: u64,
    bar: &ProgressBar,
) -> std::io::Result<u64> {
    let (ctx, guard) = Context::background().with_cancel();
    copy_file(&ctx, source, target, |written| {
        bar.set_position(written);
        if written >= enough {
            guard.cancel_with(Cause::msg("seen enough"));
        }
    })
}

/// The reader looks before each chunk that it reads; the loop has nothing to look at.
pub fn count_lines(ctx: &Context, path: &Path) -> std::io::Result<usize> {
    let mut reader =
        BufReader::with_capacity(io::CHUNK, io::CtxReader::new(ctx, File::open(path)?));
    let mut lines = 0;
    while reader.skip_until(b'\n')? > 0 {
        lines += 1;
    }
    Ok(lines)
}

/// As much of a file as is read before the context is done, and how it ended.
pub fn read_while_live(ctx: &Context, source: impl Read) -> (Vec<u8>, Option<ripcord::Error>) {
    let mut text = Vec::new();
    let result = io::CtxReader::new(ctx, source).read_to_end(&mut text);
    (text, result.err().as_ref().and_then(io::ended))
}
