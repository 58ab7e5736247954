//! Chunks whose borders the content itself chooses: after an edit, the borders behind it are the old ones again.
//!
//! FastCDC (crate `fastcdc`, 2020) cuts, BLAKE3 names. A delta is a list of runs over its base's content, and the bytes
//! that the base does not have.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use fastcdc::v2020::FastCDC;
use sha2::{Digest, Sha256};

use super::source::{NEW, Run};
use super::{CodecError, parallel};

const LEAST: u32 = 2 << 10;
const AVERAGE: u32 = 8 << 10;
const MOST: u32 = 64 << 10;
/// How much one thread cuts at a time.
const STRETCH_BYTES: usize = 4 << 20;
const ENTRY_BYTES: usize = 36;
const ID_BYTES: usize = 32;

/// What is known of sections without reading them again.
#[derive(Debug, Default)]
pub struct Fingerprint {
    /// The SHA-256 of each.
    pub sha256: Vec<[u8; 32]>,
    /// Their chunks, in order: size (u32, little-endian) and BLAKE3 of each; a BLAKE3 of all of it at the end.
    pub chunks: Vec<u8>,
}

/// What stands for a body, together with its base.
#[derive(Debug)]
pub struct Delta {
    /// The whole body, piece by piece.
    pub runs: Vec<Run>,
    /// The bytes that the base does not have.
    pub data: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Chunk {
    end: usize,
    id: [u8; ID_BYTES],
}

enum Job<'a> {
    Hash(usize, &'a [u8]),
    Cut(usize, &'a [u8], Range<usize>),
}

/// Digests and chunks of sections, on all cores.
pub fn fingerprint(sections: &[&[u8]]) -> Result<Fingerprint, CodecError> {
    let mut jobs: Vec<Job<'_>> = sections
        .iter()
        .enumerate()
        .map(|(n, data)| Job::Hash(n, data))
        .collect();
    let mut stretches = 0;
    for data in sections {
        for start in (0..data.len()).step_by(STRETCH_BYTES) {
            jobs.push(Job::Cut(
                stretches,
                data,
                start..data.len().min(start + STRETCH_BYTES),
            ));
            stretches += 1;
        }
    }
    let digests = Mutex::new(vec![[0; 32]; sections.len()]);
    let cuts = Mutex::new(vec![Vec::new(); stretches]);
    parallel::run(
        jobs,
        parallel::threads(),
        || (),
        |(), job| {
            match job {
                Job::Hash(number, data) => {
                    let found = Sha256::digest(data).into();
                    digests.lock().map_err(|_| CodecError::OutOfMemory)?[number] = found;
                }
                Job::Cut(number, data, stretch) => {
                    let found = cut(data, stretch);
                    cuts.lock().map_err(|_| CodecError::OutOfMemory)?[number] = found;
                }
            }
            Ok(())
        },
    )?;
    let sha256 = digests.into_inner().map_err(|_| CodecError::OutOfMemory)?;
    let mut cuts = cuts
        .into_inner()
        .map_err(|_| CodecError::OutOfMemory)?
        .into_iter();
    let mut chunks = Vec::new();
    for data in sections {
        let parts = cuts.by_ref().take(data.len().div_ceil(STRETCH_BYTES));
        let mut start = 0;
        for chunk in join(data, parts) {
            chunks.extend_from_slice(&((chunk.end - start) as u32).to_le_bytes());
            chunks.extend_from_slice(&chunk.id);
            start = chunk.end;
        }
    }
    let seal = blake3::hash(&chunks);
    chunks.extend_from_slice(seal.as_bytes());
    Ok(Fingerprint { sha256, chunks })
}

fn cutter(data: &[u8]) -> FastCDC<'_> {
    FastCDC::new(data, LEAST, AVERAGE, MOST)
}

fn next(cutter: &FastCDC<'_>, data: &[u8], start: usize) -> Chunk {
    let (_hash, end) = cutter.cut(start, data.len() - start);
    let id = blake3::hash(&data[start..end]).into();
    Chunk { end, id }
}

/// The chunks from the beginning of a stretch; the last one may end behind it.
fn cut(data: &[u8], stretch: Range<usize>) -> Vec<Chunk> {
    let cutter = cutter(data);
    let mut found = Vec::new();
    let mut start = stretch.start;
    while start < stretch.end {
        let chunk = next(&cutter, data, start);
        start = chunk.end;
        found.push(chunk);
    }
    found
}

/// A section's chunks, cut in one go.
#[cfg(test)]
pub fn whole(data: &[u8]) -> Vec<u8> {
    let mut start = 0;
    let mut chunks = Vec::new();
    for chunk in cut(data, 0..data.len()) {
        chunks.extend_from_slice(&((chunk.end - start) as u32).to_le_bytes());
        chunks.extend_from_slice(&chunk.id);
        start = chunk.end;
    }
    chunks
}

/// As if all had been cut in one go: from the end of a stretch on, until the next one's borders are met.
fn join(data: &[u8], stretches: impl Iterator<Item = Vec<Chunk>>) -> Vec<Chunk> {
    let cutter = cutter(data);
    let mut found: Vec<Chunk> = Vec::new();
    for (number, stretch) in stretches.enumerate() {
        let mut at = found.last().map_or(0, |chunk| chunk.end);
        let mut rest: &[Chunk] = &stretch;
        if at != number * STRETCH_BYTES {
            let end = stretch.last().map_or(at, |chunk| chunk.end);
            rest = &[];
            while at < end {
                if let Ok(met) = stretch.binary_search_by_key(&at, |chunk| chunk.end) {
                    rest = &stretch[met + 1..];
                    break;
                }
                let chunk = next(&cutter, data, at);
                at = chunk.end;
                found.push(chunk);
            }
        }
        found.extend_from_slice(rest);
    }
    found
}

type Entry = (u64, [u8; ID_BYTES]);

fn parse(chunks: &[u8]) -> Result<Vec<Entry>, CodecError> {
    let damaged = || CodecError::corrupt("the list of chunks is damaged");
    let (entries, seal) = chunks.split_last_chunk::<ID_BYTES>().ok_or_else(damaged)?;
    if blake3::hash(entries).as_bytes() != seal || !entries.len().is_multiple_of(ENTRY_BYTES) {
        return Err(damaged());
    }
    let read = |entry: &[u8]| -> Option<Entry> {
        let (size, id) = entry.split_first_chunk::<4>()?;
        Some((u64::from(u32::from_le_bytes(*size)), id.try_into().ok()?))
    };
    entries
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| read(entry).ok_or_else(damaged))
        .collect()
}

/// Runs of `sections` (whose chunks are known) over a base, and the bytes that it does not have.
///
/// None where that would be more than `limit` bytes. Refused: lists of chunks that are not whole.
pub fn delta(
    sections: &[&[u8]],
    chunks: &[u8],
    base_chunks: &[u8],
    limit: u64,
) -> Result<Option<Delta>, CodecError> {
    let base = parse(base_chunks)?;
    let runs = runs(&parse(chunks)?, &base);
    let fresh: u64 = runs
        .iter()
        .filter(|run| run.from == NEW)
        .map(|run| run.size)
        .sum();
    if fresh > limit {
        return Ok(None);
    }
    let source = super::Slices::new(sections);
    let mut data = super::zeroed(fresh as usize)?;
    let (mut at, mut done) = (0, 0);
    for run in &runs {
        if run.from == NEW {
            let end = done + run.size as usize;
            super::Source::fill(
                &source,
                &mut super::source::Cursor::default(),
                at,
                &mut data[done..end],
            )?;
            done = end;
        }
        at += run.size;
    }
    Ok(Some(Delta { runs, data }))
}

fn runs(chunks: &[Entry], base: &[Entry]) -> Vec<Run> {
    let mut places = Vec::with_capacity(base.len());
    let mut known: HashMap<&[u8; ID_BYTES], usize> = HashMap::with_capacity(base.len());
    let mut at = 0;
    for (number, (size, id)) in base.iter().enumerate() {
        places.push(at);
        known.entry(id).or_insert(number);
        at += size;
    }
    let mut found: Vec<Run> = Vec::new();
    let mut expected = 0;
    for (size, id) in chunks {
        // what goes on where the last one ended makes one run of both, also where the same bytes are there twice
        let goes_on = base.get(expected).is_some_and(|(_, other)| other == id);
        let number = if goes_on {
            Some(expected)
        } else {
            known.get(id).copied()
        };
        let from = number.map_or(NEW, |number| places[number]);
        expected = number.map_or(usize::MAX, |number| number + 1);
        match found.last_mut() {
            Some(last) if from == NEW && last.from == NEW => last.size += size,
            Some(last) if from != NEW && last.from != NEW && last.from + last.size == from => {
                last.size += size
            }
            _ => found.push(Run { from, size: *size }),
        }
    }
    found
}
