//! A file that is there whole, or not at all.

use super::CtxWriter;
use crate::context::Context;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file in one step, as others see it: `write` is given a new file beside `target`, which takes its name when all is written
/// and on the disk, and the context still live. Until then, and for ever where anything fails, is cancelled or panics,
/// `target` is what it was: absent, or the old file, whole. Nothing partial is left behind but by a process that is killed, and
/// that not under the target's name.
///
/// The writer is a [`CtxWriter`]; what it gave back at the end of `write` is flushed and synchronised. The new file has
/// the permissions of the old one, or those of any new file.
///
/// Blocks as the file system does; allocates. The last look at the context is before the rename, which is not undone.
///
/// # Errors
///
/// What `write` gave back, an end of the context ([`ended`](super::ended) says so), or what the file system said.
///
/// ```
/// use ripcord::{Context, io};
/// use std::io::Write;
///
/// let dir = tempfile::tempdir()?;
/// let target = dir.path().join("greeting");
/// let (ctx, guard) = Context::background().with_cancel();
/// io::replace(&ctx, &target, |file| file.write_all(b"hello"))?;
///
/// let cancelled = io::replace(&ctx, &target, |file| {
///     file.write_all(b"good")?;
///     guard.cancel();
///     file.write_all(b"bye")
/// });
/// assert!(io::ended(&cancelled.unwrap_err()).is_some());
/// assert_eq!(std::fs::read(&target)?, b"hello");
/// assert_eq!(std::fs::read_dir(dir.path())?.count(), 1);
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn replace<T>(
    ctx: &Context,
    target: impl AsRef<Path>,
    write: impl FnOnce(&mut CtxWriter<File>) -> io::Result<T>,
) -> io::Result<T> {
    let target = target.as_ref();
    ctx.check()?;
    // Beside it: a rename cannot leave a file system.
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ripcord-").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // No more than the old one's while it is written, or as any new file: the process's mask takes its part.
        let old = fs::metadata(target).map(|old| old.permissions().mode() & 0o777);
        builder.permissions(fs::Permissions::from_mode(old.unwrap_or(0o666)));
    }
    let (file, partial) = builder.tempfile_in(directory)?.into_parts();
    let mut writer = CtxWriter::new(ctx, file);
    let value = write(&mut writer)?;
    writer.flush()?;
    let file = writer.into_inner();
    if let Ok(old) = fs::metadata(target) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    ctx.check()?;
    drop(file);
    partial.persist(target)?;
    // So that the name outlasts a crash too; where a directory cannot be opened, there is no such promise.
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(value)
}
