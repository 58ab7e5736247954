//! The body of a checkpoint: zstd frames that any reader of zstd reads one after the other, packed, checked and
//! unpacked on all cores, and deltas of it by content-defined chunks.
//!
//! A body is cut into pieces of 2 MiB, each a frame of its own, so that pieces are worked on side by side and memory
//! stays bounded. What does not shrink (vectors) goes into frames of raw blocks. Behind the frames may lie one skippable
//! frame with the chunks of the body's content, from which a later delta is made without reading the body.

mod chunks;
mod dictionary;
mod frames;
mod pack;
mod parallel;
mod source;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::{fmt, io};

pub use chunks::{Delta, Fingerprint, delta, fingerprint};
pub use dictionary::{Dictionary, train};
pub use frames::{BODY_LIMIT_BYTES, Layout, walk};
pub use pack::{LEVEL, Packed, pack};
pub use source::{Cursor, NEW, PackedBody, Patched, Run, Slices, Source};
pub use unpack::{Digested, Section, check, file_sha256, unpack};

/// A piece of a body: what one thread packs at a time, and what becomes one frame.
pub const PIECE_BYTES: usize = 2 << 20;

/// Why it did not work.
#[derive(Debug)]
pub enum CodecError {
    /// The bytes are not what they should be; the text says in what.
    Corrupt(String),
    /// The file could not be read or written.
    Io(io::Error),
    /// There is no memory for it.
    OutOfMemory,
}

impl CodecError {
    fn corrupt(text: impl Into<String>) -> Self {
        CodecError::Corrupt(text.into())
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Corrupt(text) => out.write_str(text),
            CodecError::Io(error) => error.fmt(out),
            CodecError::OutOfMemory => out.write_str("there is no memory for it"),
        }
    }
}

impl std::error::Error for CodecError {}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => CodecError::corrupt("the file is cut off"),
            _ => CodecError::Io(error),
        }
    }
}

/// A file of our own for a descriptor that stays its owner's.
pub fn duplicate(descriptor: RawFd) -> io::Result<File> {
    // SAFETY: a system call on a number; nothing of ours is touched, a bad number is EBADF.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor: nobody else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(copy) }))
}

/// Zeroed memory; pages that are never written cost nothing.
fn zeroed(size: usize) -> Result<Vec<u8>, CodecError> {
    let mut buffer: Vec<u8> = Vec::new();
    buffer
        .try_reserve_exact(size)
        .map_err(|_| CodecError::OutOfMemory)?;
    buffer.resize(size, 0);
    Ok(buffer)
}
