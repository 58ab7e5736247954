//! A sealed memfd, mapped: made by who writes, opened by who reads.

use std::io::{Error, Result};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// What no region may miss: it keeps its size. A reader of one that shrinks would die of SIGBUS.
const SIZE_SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
/// Linux 5.1: mappings that are there stay writable, there will be no more of them.
const SEALS: libc::c_int = SIZE_SEALS | libc::F_SEAL_FUTURE_WRITE;

/// A `T` in a mapping of its own. `T` is made of atomics only, and zeros are a `T`.
pub(super) struct Mapping<T> {
    start: NonNull<T>,
    /// It stays until the process ends: others hold addresses of it.
    stays: AtomicBool,
    _type: PhantomData<T>,
}

// SAFETY: a mapping belongs to no thread; what is in it is atomic.
unsafe impl<T> Send for Mapping<T> {}
// SAFETY: the same.
unsafe impl<T> Sync for Mapping<T> {}

fn check(result: libc::c_int) -> Result<libc::c_int> {
    match result {
        -1 => Err(Error::last_os_error()),
        good => Ok(good),
    }
}

impl<T> Mapping<T> {
    /// New, full of zeros, sealed; mapped to be written.
    pub(super) fn create() -> Result<(Self, OwnedFd)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string that lives for ever.
        let fd = check(unsafe { libc::memfd_create(c"o-shared".as_ptr(), flags) })?;
        // SAFETY: the descriptor was just made, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(size_of::<T>()).map_err(Error::other)?;
        // SAFETY: two numbers, of a descriptor of ours.
        check(unsafe { libc::ftruncate(fd.as_raw_fd(), size) })?;
        let mapping = Self::map(fd.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: two numbers, of a descriptor of ours.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
        Ok((mapping, fd))
    }

    /// Another's region, mapped to be read; EINVAL where its size is not sealed, or is another one.
    pub(super) fn open(fd: RawFd) -> Result<Self> {
        let wrong = || Error::from_raw_os_error(libc::EINVAL);
        // SAFETY: a number; of what is no memfd, or no descriptor, it is an error.
        let seals = check(unsafe { libc::fcntl(fd, libc::F_GET_SEALS) })?;
        if seals & SIZE_SEALS != SIZE_SEALS {
            return Err(wrong());
        }
        // SAFETY: zeros are a `stat`.
        let mut about: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `about` is ours and lives across the call.
        check(unsafe { libc::fstat(fd, &raw mut about) })?;
        if usize::try_from(about.st_size).ok() != Some(size_of::<T>()) {
            return Err(wrong());
        }
        Self::map(fd, libc::PROT_READ)
    }

    fn map(fd: RawFd, protection: libc::c_int) -> Result<Self> {
        let (anywhere, size) = (std::ptr::null_mut(), size_of::<T>());
        // SAFETY: a new mapping at an address that the kernel picks touches nothing of ours.
        let start = unsafe { libc::mmap(anywhere, size, protection, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(Error::last_os_error)?;
        Ok(Mapping {
            start,
            stays: AtomicBool::new(false),
            _type: PhantomData,
        })
    }

    /// What is in it. A mapping that was opened to be read may only be loaded from: a store would end the process.
    pub(super) fn get(&self) -> &T {
        // SAFETY: the mapping has the size of a `T` (checked), begins at a page, and lives as long as `self`. What is
        // in it is atomic, so that others may write it meanwhile.
        unsafe { self.start.as_ref() }
    }

    pub(super) fn address(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// Never unmaps it.
    pub(super) fn keep(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) {
            // SAFETY: it was mapped with this size, and with `self` the last one goes who knows of it.
            unsafe { libc::munmap(self.start.as_ptr().cast(), size_of::<T>()) };
        }
    }
}
