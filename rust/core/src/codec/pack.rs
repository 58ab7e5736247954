//! Packing: pieces are compressed side by side, written and hashed in order.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::frames::{raw_frame, skippable_frame};
use super::source::{Cursor, Source};
use super::{CodecError, parallel};

/// The fastest of zstd's ordinary levels.
pub const LEVEL: i32 = 1;
/// Frames that a thread may be ahead of the writing one.
const AHEAD: usize = 2;
const SAMPLE_BYTES: usize = 8 << 10;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Bytes in the file.
    pub packed: u64,
    /// Bytes of the body.
    pub body: u64,
    /// SHA-256 of the bytes in the file.
    pub sha256: [u8; 32],
}

/// Writes `head` and the content of `source` as frames into `file` from `at` on, and `tail` as a skippable frame.
pub fn pack(
    file: &File,
    at: u64,
    head: &[u8],
    source: &dyn Source,
    tail: &[u8],
) -> Result<Packed, CodecError> {
    let mut out = Out {
        file,
        start: at,
        at,
        digest: Sha256::new(),
    };
    if !head.is_empty() {
        out.write(&raw_frame(head))?;
    }
    let pieces = source.pieces(0);
    let helpers = match pieces.len() {
        0 | 1 => 0,
        _ if source.coarse() => 0,
        many => parallel::threads().min(many),
    };
    thread::scope(|scope| {
        let mut frames: Vec<Receiver<Result<Vec<u8>, CodecError>>> = Vec::new();
        for number in 0..helpers {
            let (sender, receiver) = sync_channel(AHEAD);
            let own = pieces.iter().skip(number).step_by(helpers);
            let work = move || compress_all(source, own, &sender);
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                frames.clear();
                break;
            }
            frames.push(receiver);
        }
        write_all(&mut out, source, &pieces, &frames)
    })?;
    if !tail.is_empty() {
        out.write(&skippable_frame(tail))?;
    }
    Ok(Packed {
        packed: out.at - out.start,
        body: head.len() as u64 + source.size(),
        sha256: out.digest.finalize().into(),
    })
}

/// A thread's share of the pieces; ends early when nobody takes its frames any more.
fn compress_all<'p>(
    source: &dyn Source,
    pieces: impl Iterator<Item = &'p Range<u64>>,
    frames: &SyncSender<Result<Vec<u8>, CodecError>>,
) {
    let mut worker = Worker::default();
    for piece in pieces {
        if frames.send(worker.frame(source, piece)).is_err() {
            return;
        }
    }
}

/// Takes the frames in the order of their pieces; without threads, makes them.
fn write_all(
    out: &mut Out<'_>,
    source: &dyn Source,
    pieces: &[Range<u64>],
    frames: &[Receiver<Result<Vec<u8>, CodecError>>],
) -> Result<(), CodecError> {
    let mut worker = Worker::default();
    for (number, piece) in pieces.iter().enumerate() {
        let frame = match frames.get(number % frames.len().max(1)) {
            Some(receiver) => receiver.recv().map_err(|_| CodecError::OutOfMemory)?,
            None => worker.frame(source, piece),
        };
        out.write(&frame?)?;
    }
    Ok(())
}

#[derive(Default)]
struct Worker {
    cursor: Cursor,
    compressor: Option<Compressor<'static>>,
}

impl Worker {
    fn frame(&mut self, source: &dyn Source, piece: &Range<u64>) -> Result<Vec<u8>, CodecError> {
        let content = source.view(&mut self.cursor, piece)?;
        if self.compressor.is_none() {
            self.compressor = Some(Compressor::new(LEVEL)?);
        }
        let compressor = self.compressor.as_mut().ok_or(CodecError::OutOfMemory)?;
        if !shrinks(compressor, content)? {
            return Ok(raw_frame(content));
        }
        Ok(compressor.compress(content)?)
    }
}

/// Tries three samples: what loses less than an eighth is not worth the time, now and whenever it is read.
fn shrinks(compressor: &mut Compressor<'_>, content: &[u8]) -> Result<bool, CodecError> {
    if content.len() <= 4 * SAMPLE_BYTES {
        return Ok(true);
    }
    let (mut before, mut after) = (0, 0);
    for start in [0, content.len() / 2, content.len() - SAMPLE_BYTES] {
        let sample = &content[start..start + SAMPLE_BYTES];
        before += sample.len();
        after += compressor.compress(sample)?.len();
    }
    Ok(after <= before - before / 8)
}

struct Out<'a> {
    file: &'a File,
    start: u64,
    at: u64,
    digest: Sha256,
}

impl Out<'_> {
    fn write(&mut self, data: &[u8]) -> Result<(), CodecError> {
        self.file.write_all_at(data, self.at)?;
        self.digest.update(data);
        self.at += data.len() as u64;
        Ok(())
    }
}
