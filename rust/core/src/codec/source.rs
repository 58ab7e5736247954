//! Where the bytes of a body come from: sections in memory, the frames of a file, or a base with a delta over it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::frames::{Frame, Layout, walk};
use super::{CodecError, PIECE_BYTES, zeroed};

/// A frame above that is not unpacked by several threads at once, each of which would hold it.
const COARSE_BYTES: u64 = 4 * PIECE_BYTES as u64;

/// Bytes that can be read in any order, from several threads.
pub trait Source: Sync {
    /// All of them.
    fn size(&self) -> u64;

    /// Ranges from `at` on that are read side by side.
    fn pieces(&self, at: u64) -> Vec<Range<u64>>;

    /// Whoever reads a part of it may hold much more than a piece in memory meanwhile.
    fn coarse(&self) -> bool {
        false
    }

    /// Fills `out` with what begins at `at`; the range must lie within.
    fn fill(&self, cursor: &mut Cursor, at: u64, out: &mut [u8]) -> Result<(), CodecError>;

    /// A range, in memory: as it lies there, or in the cursor's buffer.
    fn view<'a>(
        &'a self,
        cursor: &'a mut Cursor,
        range: &Range<u64>,
    ) -> Result<&'a [u8], CodecError> {
        let size = (range.end - range.start) as usize;
        let mut buffer = std::mem::take(&mut cursor.buffer);
        if buffer.len() < size {
            buffer = zeroed(size)?;
        }
        self.fill(cursor, range.start, &mut buffer[..size])?;
        cursor.buffer = buffer;
        Ok(&cursor.buffer[..size])
    }
}

/// What one thread keeps between two reads: the frame that it unpacked last, and buffers.
#[derive(Default)]
pub struct Cursor {
    frame: Option<u64>,
    plain: Vec<u8>,
    packed: Vec<u8>,
    buffer: Vec<u8>,
    unpacker: Option<Decompressor<'static>>,
}

/// Ranges of at most a piece's size that cover `whole`.
pub fn cut(whole: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = whole.end;
    whole
        .step_by(PIECE_BYTES)
        .map(move |start| start..end.min(start + PIECE_BYTES as u64))
}

/// Sections in memory, one after the other.
pub struct Slices<'a> {
    parts: Vec<(u64, &'a [u8])>,
    size: u64,
}

impl<'a> Slices<'a> {
    /// Of these parts.
    pub fn new(parts: &[&'a [u8]]) -> Self {
        let mut size = 0;
        let mut placed = Vec::with_capacity(parts.len());
        for part in parts.iter().filter(|part| !part.is_empty()) {
            placed.push((size, *part));
            size += part.len() as u64;
        }
        Slices {
            parts: placed,
            size,
        }
    }

    fn part(&self, at: u64) -> Option<(u64, &'a [u8])> {
        let number = self.parts.partition_point(|(start, _)| *start <= at);
        self.parts.get(number.checked_sub(1)?).copied()
    }
}

impl Source for Slices<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn pieces(&self, at: u64) -> Vec<Range<u64>> {
        let whole = |&(start, part): &(u64, &[u8])| start.max(at)..start + part.len() as u64;
        self.parts.iter().map(whole).flat_map(cut).collect()
    }

    fn fill(&self, _cursor: &mut Cursor, at: u64, out: &mut [u8]) -> Result<(), CodecError> {
        let mut done = 0;
        while done < out.len() {
            let place = at + done as u64;
            let (start, part) = self.part(place).ok_or_else(outside)?;
            let rest = part.get((place - start) as usize..).unwrap_or_default();
            let size = rest.len().min(out.len() - done);
            if size == 0 {
                return Err(outside());
            }
            out[done..done + size].copy_from_slice(&rest[..size]);
            done += size;
        }
        Ok(())
    }

    fn view<'b>(
        &'b self,
        cursor: &'b mut Cursor,
        range: &Range<u64>,
    ) -> Result<&'b [u8], CodecError> {
        if let Some((start, part)) = self.part(range.start) {
            let inside = (range.start - start) as usize..(range.end - start) as usize;
            if let Some(found) = part.get(inside) {
                return Ok(found);
            }
        }
        cursor.buffer.resize((range.end - range.start) as usize, 0);
        let mut buffer = std::mem::take(&mut cursor.buffer);
        self.fill(cursor, range.start, &mut buffer)?;
        cursor.buffer = buffer;
        Ok(&cursor.buffer)
    }
}

/// A body in the zstd frames of a file.
#[derive(Debug)]
pub struct PackedBody {
    file: File,
    layout: Layout,
}

impl PackedBody {
    /// Of the frames in a region of a file; see [`walk`] for what is refused.
    pub fn open(file: File, at: u64, size: u64) -> Result<Self, CodecError> {
        let layout = walk(&file, at, size)?;
        Ok(PackedBody { file, layout })
    }

    /// The content of the skippable frame behind the others; empty where there is none.
    pub fn tail(&self) -> Result<Vec<u8>, CodecError> {
        let (at, size) = self.layout.tail.unwrap_or_default();
        let mut content = zeroed(size as usize)?;
        self.file.read_exact_at(&mut content, at)?;
        Ok(content)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    fn unpack(&self, frame: &Frame, cursor: &mut Cursor, out: &mut [u8]) -> Result<(), CodecError> {
        let size = frame.packed as usize;
        if cursor.packed.len() < size {
            cursor.packed = zeroed(size)?;
        }
        let packed = &mut cursor.packed[..size];
        self.file.read_exact_at(packed, frame.at)?;
        if cursor.unpacker.is_none() {
            cursor.unpacker = Some(Decompressor::new()?);
        }
        let unpacker = cursor.unpacker.as_mut().ok_or(CodecError::OutOfMemory)?;
        let done = unpacker
            .decompress_to_buffer(packed, out)
            .map_err(|error| {
                CodecError::corrupt(format!("the data cannot be unpacked: {error}"))
            })?;
        if done as u64 != frame.content {
            return Err(CodecError::corrupt("a frame holds less than it says"));
        }
        Ok(())
    }

    /// A part of a frame, by way of the cursor that keeps the whole of it.
    fn part(
        &self,
        frame: &Frame,
        cursor: &mut Cursor,
        from: u64,
        out: &mut [u8],
    ) -> Result<(), CodecError> {
        if cursor.frame != Some(frame.at) {
            cursor.frame = None;
            let mut plain = std::mem::take(&mut cursor.plain);
            if plain.len() < frame.content as usize {
                plain = zeroed(frame.content as usize)?;
            }
            self.unpack(frame, cursor, &mut plain[..frame.content as usize])?;
            cursor.plain = plain;
            cursor.frame = Some(frame.at);
        }
        out.copy_from_slice(&cursor.plain[from as usize..from as usize + out.len()]);
        Ok(())
    }
}

impl Source for PackedBody {
    fn size(&self) -> u64 {
        self.layout.body_bytes
    }

    fn pieces(&self, at: u64) -> Vec<Range<u64>> {
        self.layout
            .frames
            .iter()
            .map(|frame| frame.body_at.max(at)..frame.body_at + frame.content)
            .filter(|range| range.start < range.end)
            .collect()
    }

    fn coarse(&self) -> bool {
        let coarse = |frame: &Frame| frame.content > COARSE_BYTES;
        self.layout.frames.iter().any(coarse)
    }

    fn fill(&self, cursor: &mut Cursor, at: u64, out: &mut [u8]) -> Result<(), CodecError> {
        let frames = &self.layout.frames;
        let mut number = frames.partition_point(|frame| frame.body_at + frame.content <= at);
        let mut done = 0;
        while done < out.len() {
            let frame = frames.get(number).ok_or_else(outside)?;
            let from = at + done as u64 - frame.body_at;
            let size = ((frame.content - from) as usize).min(out.len() - done);
            let place = &mut out[done..done + size];
            if size as u64 == frame.content {
                self.unpack(frame, cursor, place)?;
            } else {
                self.part(frame, cursor, from, place)?;
            }
            done += size;
            number += 1;
        }
        Ok(())
    }
}

/// A run of a delta: so many bytes, from the base or from what the delta brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where it lies in the base's content; [`NEW`]: it is the next of the delta's own bytes.
    pub from: u64,
    /// How many bytes.
    pub size: u64,
}

/// `from` of a run of new bytes.
pub const NEW: u64 = u64::MAX;

/// A body that is a delta over another one.
pub struct Patched {
    base: Arc<PackedBody>,
    first: u64,
    /// Where each run begins in the result, and where it comes from (new bytes: a place in `data`).
    runs: Vec<(u64, Run, u64)>,
    data: Vec<u8>,
    size: u64,
}

impl Patched {
    /// Runs over the content of `base` that begins at `first`; refused: runs that leave the base or the data.
    pub fn new(
        base: Arc<PackedBody>,
        first: u64,
        runs: &[Run],
        data: Vec<u8>,
    ) -> Result<Self, CodecError> {
        let content = base.size().checked_sub(first).ok_or_else(outside)?;
        let (mut size, mut used) = (0_u64, 0_u64);
        let mut placed = Vec::with_capacity(runs.len());
        for run in runs {
            let (start, limit) = match run.from {
                NEW => (used, data.len() as u64),
                from => (from, content),
            };
            let end = start.checked_add(run.size).ok_or_else(outside)?;
            if run.size == 0 || end > limit {
                return Err(outside());
            }
            placed.push((size, *run, start));
            if run.from == NEW {
                used = end;
            }
            size += run.size;
            if size > super::BODY_LIMIT_BYTES {
                return Err(outside());
            }
        }
        if used != data.len() as u64 {
            return Err(outside());
        }
        Ok(Patched {
            base,
            first,
            runs: placed,
            data,
            size,
        })
    }
}

impl Source for Patched {
    fn size(&self) -> u64 {
        self.size
    }

    fn coarse(&self) -> bool {
        self.base.coarse()
    }

    fn pieces(&self, at: u64) -> Vec<Range<u64>> {
        cut(at..self.size).collect()
    }

    fn fill(&self, cursor: &mut Cursor, at: u64, out: &mut [u8]) -> Result<(), CodecError> {
        let mut number = self
            .runs
            .partition_point(|(start, ..)| *start <= at)
            .saturating_sub(1);
        let mut done = 0;
        while done < out.len() {
            let (start, run, from) = self.runs.get(number).ok_or_else(outside)?;
            let inside = at + done as u64 - start;
            let size = (run.size.saturating_sub(inside) as usize).min(out.len() - done);
            if size == 0 {
                return Err(outside());
            }
            let place = &mut out[done..done + size];
            let from = from + inside;
            if run.from == NEW {
                place.copy_from_slice(&self.data[from as usize..from as usize + size]);
            } else {
                self.base.fill(cursor, self.first + from, place)?;
            }
            done += size;
            number += 1;
        }
        Ok(())
    }
}

fn outside() -> CodecError {
    CodecError::corrupt("a part lies outside of its whole")
}
