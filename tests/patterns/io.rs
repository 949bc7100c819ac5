//! Reading, writing and copying under a context.

use crate::holds;
use ripcord::io::{self, CHUNK, CtxReader, CtxWriter};
use ripcord::{Context, Error};
use std::io::{BufRead, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

#[test]
fn they_go_anywhere() {
    holds::<CtxReader<&[u8]>>();
    holds::<CtxWriter<Vec<u8>>>();
}

#[test]
fn every_call_looks_at_the_context_first() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut reader = CtxReader::new(&ctx, std::io::Cursor::new(b"one\ntwo\n".to_vec()));
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    assert_eq!(reader.seek(SeekFrom::Start(0)).unwrap(), 0);
    let mut writer = CtxWriter::new(&ctx, Vec::new());
    writer.write_all(b"kept").unwrap();
    writer.flush().unwrap();

    guard.cancel();
    let mut byte = [0];
    let ended = [
        reader.read(&mut byte).unwrap_err(),
        reader
            .read_vectored(&mut [IoSliceMut::new(&mut byte)])
            .unwrap_err(),
        reader.fill_buf().unwrap_err(),
        reader.seek(SeekFrom::Start(0)).unwrap_err(),
        writer.write(b"lost").unwrap_err(),
        writer.write_vectored(&[IoSlice::new(b"lost")]).unwrap_err(),
        writer.flush().unwrap_err(),
    ];
    for error in &ended {
        assert_eq!(io::ended(error), Some(Error::Canceled));
        assert_eq!(error.kind(), ErrorKind::Other);
    }
    assert_eq!(writer.into_inner(), b"kept");
    assert_eq!(reader.get_ref().position(), 0);
}

#[test]
fn what_was_read_before_the_end_is_there() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut reads = 0;
    let mut reader = CtxReader::new(
        &ctx,
        Reads(|buffer: &mut [u8]| {
            reads += 1;
            if reads == 3 {
                guard.cancel();
            }
            buffer[0] = b'x';
            Ok(1)
        }),
    );
    let mut text = Vec::new();
    let error = reader.read_to_end(&mut text).unwrap_err();
    assert_eq!(
        (text.as_slice(), io::ended(&error)),
        (&b"xxx"[..], Some(Error::Canceled))
    );
}

/// A reader made of a function.
struct Reads<F>(F);

impl<F: FnMut(&mut [u8]) -> std::io::Result<usize>> Read for Reads<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.0)(buffer)
    }
}

#[test]
fn a_copy_is_whole_whatever_the_sizes_and_says_how_far_it_is() {
    let source: Vec<u8> = (0..3 * CHUNK + 17).map(|n| n as u8).collect();
    let mut target = Vec::new();
    let mut steps = Vec::new();
    let copied = io::copy(&Context::background(), &source[..], &mut target, |n| {
        steps.push(n)
    });
    assert_eq!(copied.unwrap(), source.len() as u64);
    assert_eq!(target, source);
    let chunks = [1, 2, 3].map(|n| n * CHUNK as u64);
    assert_eq!(steps, [&chunks[..], &[source.len() as u64]].concat());
    assert_eq!(
        io::copy(
            &Context::background(),
            std::io::empty(),
            &mut target,
            |_| {}
        )
        .unwrap(),
        0
    );
}

#[test]
fn a_copy_that_is_cancelled_says_how_far_it_came() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut target = Vec::new();
    let error = io::copy(&ctx, std::io::repeat(7), &mut target, |n| {
        if n == 2 * CHUNK as u64 {
            guard.cancel();
        }
    })
    .unwrap_err();
    assert_eq!(
        (error.written, error.ended()),
        (2 * CHUNK as u64, Some(Error::Canceled))
    );
    assert_eq!(target.len() as u64, error.written);
    let plain = std::io::Error::from(error);
    assert_eq!(io::ended(&plain), Some(Error::Canceled));
}

#[test]
fn a_reader_that_errors_ends_the_copy_and_one_that_is_interrupted_does_not() {
    let ctx = Context::background();
    let mut reads = 0;
    let reader = Reads(|buffer: &mut [u8]| {
        reads += 1;
        match reads {
            1 => Err(ErrorKind::Interrupted.into()),
            2 => {
                buffer[..3].copy_from_slice(b"abc");
                Ok(3)
            }
            _ => Err(ErrorKind::ConnectionReset.into()),
        }
    });
    let mut target = Vec::new();
    let error = io::copy(&ctx, reader, &mut target, |_| {}).unwrap_err();
    assert_eq!(
        (error.written, error.error.kind()),
        (3, ErrorKind::ConnectionReset)
    );
    assert_eq!(error.ended(), None);
    assert_eq!(target, b"abc");
}

#[test]
fn one_that_is_always_interrupted_ends_with_the_context() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut guard = Some(guard);
    let mut reads = 0;
    let reader = Reads(|_: &mut [u8]| {
        reads += 1;
        if reads == 3 {
            guard.take();
        }
        Err(ErrorKind::Interrupted.into())
    });
    let error = io::copy(&ctx, reader, std::io::sink(), |_| {}).unwrap_err();
    assert_eq!((error.written, error.ended()), (0, Some(Error::Canceled)));
}

#[test]
fn a_writer_that_takes_nothing_ends_the_copy() {
    let mut nowhere = [0; 2];
    let error = io::copy(
        &Context::background(),
        &b"abc"[..],
        &mut nowhere[..],
        |_| {},
    )
    .unwrap_err();
    assert_eq!(
        (error.written, error.error.kind()),
        (2, ErrorKind::WriteZero)
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_its_error() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let ctx = Context::background();
    let mut writer = CtxWriter::new(&ctx, &full);
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    let error = io::copy(&ctx, &b"abc"[..], &full, |_| {}).unwrap_err();
    assert_eq!(
        (error.written, error.error.kind()),
        (0, ErrorKind::StorageFull)
    );
    assert_eq!(error.ended(), None);
}

#[cfg(feature = "tempfile")]
mod replace {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let (ctx, guard) = Context::background().with_cancel();

        let cancelled = io::replace(&ctx, &target, |file| {
            file.write_all(b"half")?;
            assert_eq!(names(directory.path()).len(), 1);
            assert!(!target.exists());
            guard.cancel();
            Ok(())
        });
        assert_eq!(io::ended(&cancelled.unwrap_err()), Some(Error::Canceled));
        assert_eq!(names(directory.path()), [""; 0]);

        let written = io::replace(&Context::background(), &target, |file| {
            file.write_all(b"whole").map(|()| 5)
        });
        assert_eq!(written.unwrap(), 5);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(names(directory.path()), ["target"]);
    }

    #[test]
    fn an_error_or_a_panic_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "old").unwrap();
        let ctx = Context::background();
        let failed = io::replace(&ctx, &target, |file| {
            file.write_all(b"new")?;
            Err::<(), _>(std::io::Error::from(ErrorKind::StorageFull))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        let panicked = std::panic::catch_unwind(|| {
            io::replace(&ctx, &target, |_| -> std::io::Result<()> {
                panic!("in the middle")
            })
        });
        assert!(panicked.is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["target"]);
    }

    #[test]
    #[cfg(unix)]
    fn the_new_file_may_be_read_by_whom_the_old_one_could() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        let ctx = Context::background();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        io::replace(&ctx, &target, |file| file.write_all(b"new")).unwrap();
        let plain = directory.path().join("plain");
        fs::write(&plain, "").unwrap();
        assert_eq!(mode(&target), mode(&plain));

        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        io::replace(&ctx, &target, |file| file.write_all(b"newer")).unwrap();
        assert_eq!(mode(&target), 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn who_could_not_read_the_old_file_cannot_read_the_new_one_while_it_is_written() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("secret");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        io::replace(&Context::background(), &target, |file| {
            file.write_all(b"new")?;
            for entry in fs::read_dir(directory.path())? {
                let mode = entry?.metadata()?.permissions().mode();
                assert_eq!(mode & 0o077, 0, "{mode:o}");
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("missing").join("target");
        let failed = io::replace(&Context::background(), &target, |_| Ok(()));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
