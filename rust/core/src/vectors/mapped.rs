//! Arrays that are either our own or lie in a mapped file.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::{io, ptr, slice};

use super::aligned::{Aligned, Plain};

/// A whole file, mapped for reading; pages come in when they are read, and are shared with everyone who maps it.
///
/// Who maps a file relies on nobody cutting it shorter meanwhile: to read past its new end is SIGBUS.
pub(super) struct Map {
    start: *mut libc::c_void,
    length: usize,
}

// SAFETY: the pages are only read, and are there until the last owner has gone.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    pub fn of(file: &File) -> io::Result<Map> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: a new mapping at an address that the kernel chooses takes nothing from anyone.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match start {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            start => Ok(Map { start, length }),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `length` long, and lives as long as `self`.
        unsafe { slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `of` made, and nobody borrows from it any more.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// An array, read as a slice; to change one that is mapped copies it first.
pub(super) enum Cells<T: Plain> {
    Own(Aligned<T>),
    Mapped {
        map: Arc<Map>,
        at: usize,
        count: usize,
    },
}

impl<T: Plain> Cells<T> {
    pub fn new() -> Self {
        Cells::Own(Aligned::new())
    }

    /// `count` numbers of a map from byte `at` on; None where they do not lie in it, or not aligned.
    pub fn mapped(map: &Arc<Map>, at: usize, count: usize) -> Option<Self> {
        let end = count.checked_mul(size_of::<T>())?.checked_add(at)?;
        let aligned = at.is_multiple_of(align_of::<T>());
        (aligned && end <= map.length).then(|| Cells::Mapped {
            map: Arc::clone(map),
            at,
            count,
        })
    }

    /// The array as our own.
    pub fn own(&mut self) -> &mut Aligned<T> {
        if let Cells::Mapped { .. } = self {
            *self = Cells::Own(Aligned::from(&**self));
        }
        match self {
            Cells::Own(cells) => cells,
            Cells::Mapped { .. } => unreachable!("it has just been copied"),
        }
    }

    /// Bytes of memory that only this array takes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Cells::Own(cells) => cells.memory_bytes(),
            Cells::Mapped { .. } => 0,
        }
    }
}

impl<T: Plain> Deref for Cells<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Cells::Own(cells) => cells,
            Cells::Mapped { map, at, count } => {
                let start = map.bytes()[*at..].as_ptr().cast();
                // SAFETY: `mapped` has checked that so many numbers lie in the map, aligned (a map begins at a page);
                // any bytes are a number; the map lives as long as `self`.
                unsafe { slice::from_raw_parts(start, *count) }
            }
        }
    }
}
