#[path = "../../examples/09_files.rs"]
mod files;

use indicatif::ProgressBar;
use ripcord::{Context, Error, io};
use std::fs;
use std::time::Duration;

const BYTES: u64 = 3 << 20;

#[test]
fn the_example_runs() {
    files::main();
}

#[test]
fn a_copy_is_whole_and_one_that_is_cancelled_in_the_middle_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [source, target] = ["source", "target"].map(|name| directory.path().join(name));
    let ctx = Context::background();
    let bytes = files::write_lines(&ctx, &source, BYTES).unwrap();
    assert_eq!(fs::metadata(&source).unwrap().len(), bytes);

    let bar = ProgressBar::hidden();
    let stopped = files::copy_and_change_ones_mind(&source, &target, bytes / 2, &bar);
    assert_eq!(io::ended(&stopped.unwrap_err()), Some(Error::Canceled));
    assert!((bytes / 2..bytes).contains(&bar.position()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let mut seen = 0;
    let copied = files::copy_file(&ctx, &source, &target, |written| seen = written);
    assert_eq!((copied.unwrap(), seen), (bytes, bytes));
    assert!(fs::read(&source).unwrap() == fs::read(&target).unwrap());
    let lines = files::count_lines(&ctx, &target).unwrap();
    assert!(lines > 100_000, "{lines}");

    // The copy that is there stays, whatever becomes of the next.
    let stopped = files::copy_and_change_ones_mind(&source, &target, 1, &bar);
    assert!(stopped.is_err());
    assert_eq!(files::count_lines(&ctx, &target).unwrap(), lines);
}

#[test]
fn what_was_read_before_the_time_was_over_is_kept() {
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(5));
    let (text, ended) = files::read_while_live(&ctx, std::io::repeat(b'x'));
    assert_eq!(ended, Some(Error::DeadlineExceeded));
    assert!(text.iter().all(|&byte| byte == b'x'));

    let (text, ended) = files::read_while_live(&Context::background(), &b"all of it"[..]);
    assert_eq!((text.as_slice(), ended), (&b"all of it"[..], None));
}
