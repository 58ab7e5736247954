//! Unpacking and checking: nothing is given out before every digest over it has been compared.

use std::fs::File;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::source::{Cursor, Source, cut};
use super::{CodecError, parallel, zeroed};

/// How much of a file is hashed at a time.
const READ_BYTES: usize = 1 << 20;

/// A section of a body, as its index says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is called in errors.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// A region of a file that must have a digest.
#[derive(Debug)]
pub struct Digested<'a> {
    /// The file.
    pub file: &'a File,
    /// Where the region begins.
    pub at: u64,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

enum Job<'a> {
    Digest(&'a Digested<'a>),
    Fill(u64, &'a mut [u8]),
    Hash(&'a Section, &'a [u8]),
    Read(&'a Section, u64),
}

/// Unpacks the sections that begin at `at` of the body into `out`, which has their size.
pub fn unpack(
    source: &dyn Source,
    at: u64,
    sections: &[Section],
    files: &[Digested<'_>],
    out: &mut [u8],
) -> Result<(), CodecError> {
    sizes_agree(source, at, sections)?;
    if out.len() as u64 != source.size() - at {
        return Err(CodecError::corrupt(
            "the sections do not have the body's size",
        ));
    }
    // the chain over the whole file takes longest: it begins first
    let mut jobs: Vec<Job<'_>> = files.iter().map(Job::Digest).collect();
    let mut rest = &mut *out;
    for piece in source.pieces(at) {
        let (place, after) =
            std::mem::take(&mut rest).split_at_mut((piece.end - piece.start) as usize);
        jobs.push(Job::Fill(piece.start, place));
        rest = after;
    }
    run(source, jobs)?;
    let mut jobs = Vec::with_capacity(sections.len());
    let mut rest = &*out;
    for section in sections {
        let (data, after) = rest.split_at(section.size as usize);
        jobs.push(Job::Hash(section, data));
        rest = after;
    }
    run(source, jobs)
}

/// Compares every digest of the sections that begin at `at`, without keeping anything.
pub fn check(
    source: &dyn Source,
    at: u64,
    sections: &[Section],
    files: &[Digested<'_>],
) -> Result<(), CodecError> {
    sizes_agree(source, at, sections)?;
    let mut jobs: Vec<Job<'_>> = files.iter().map(Job::Digest).collect();
    let mut start = at;
    for section in sections {
        jobs.push(Job::Read(section, start));
        start += section.size;
    }
    run(source, jobs)
}

fn sizes_agree(source: &dyn Source, at: u64, sections: &[Section]) -> Result<(), CodecError> {
    let mut end = at;
    for section in sections {
        end = end.saturating_add(section.size);
    }
    if end != source.size() {
        return Err(CodecError::corrupt(
            "the sections do not have the body's size",
        ));
    }
    Ok(())
}

fn run(source: &dyn Source, jobs: Vec<Job<'_>>) -> Result<(), CodecError> {
    let threads = match source.coarse() {
        true => 1,
        false => parallel::threads(),
    };
    parallel::run(jobs, threads, Cursor::default, |cursor, job| match job {
        Job::Fill(at, place) => source.fill(cursor, at, place),
        Job::Digest(file) => match file_sha256(file.file, file.at, file.size)? == file.sha256 {
            true => Ok(()),
            false => Err(CodecError::corrupt("the data does not have its digest")),
        },
        Job::Hash(section, data) => compare(section, Sha256::digest(data).into()),
        Job::Read(section, at) => {
            let mut digest = Sha256::new();
            for range in cut(at..at + section.size) {
                digest.update(source.view(cursor, &range)?);
            }
            compare(section, digest.finalize().into())
        }
    })
}

fn compare(section: &Section, sha256: [u8; 32]) -> Result<(), CodecError> {
    if sha256 == section.sha256 {
        return Ok(());
    }
    let name: String = section.name.chars().take(40).collect();
    Err(CodecError::corrupt(format!(
        "section {name:?} does not have its digest"
    )))
}

/// The SHA-256 of a region of a file.
pub fn file_sha256(file: &File, at: u64, size: u64) -> Result<[u8; 32], CodecError> {
    let mut digest = Sha256::new();
    let mut buffer = zeroed(READ_BYTES.min(usize::try_from(size).unwrap_or(READ_BYTES)))?;
    let mut done = 0;
    while done < size {
        let part = buffer
            .len()
            .min(usize::try_from(size - done).unwrap_or(READ_BYTES));
        file.read_exact_at(&mut buffer[..part], at + done)?;
        digest.update(&buffer[..part]);
        done += part as u64;
    }
    Ok(digest.finalize().into())
}
