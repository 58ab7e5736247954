//! The index of the agent's memory: which blocks have the words of a query, or stand beside such.
//!
//! It holds no text: blocks are numbers here, and the rows of the state's database remain the truth. What is in it can
//! be made anew from them, and never has to be the same bytes for giving the same answers.

mod alone;
mod blocks;
mod find;
mod fuse;
mod pieces;
mod porter;
mod postings;
mod words;

use std::sync::Mutex;

use blocks::{Blocks, MOST_BLOCKS, SAVED_BYTES, Sizes, u64_at};
use find::Scores;
pub use find::{Found, Weights};
pub use fuse::{Fused, Meaning};
use postings::{Counts, Part, Postings};

const MAGIC: &[u8; 8] = b"O_MEMORY";
/// Of what is saved and of how words are made terms: with another one the index is built anew.
const VERSION: u64 = 1;
const HEADER_BYTES: usize = 64;
/// From so many removed blocks on that are more than those that remain, they are swept out.
const MANY_REMOVED: usize = 1024;

/// What can be wrong.
#[derive(Debug, PartialEq)]
pub enum MemoryError {
    /// A block whose number is not above all others.
    Order(u64),
    /// Saved bytes that are not an index of this version.
    Format(&'static str),
    /// More blocks than an index can have.
    TooMany,
}

impl std::fmt::Display for MemoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MemoryError::Order(number) => {
                write!(
                    f,
                    "block {number} does not come after all others; nothing was added"
                )
            }
            MemoryError::Format(what) => write!(f, "a saved memory index cannot be used: {what}"),
            MemoryError::TooMany => f.write_str("more blocks than an index can have"),
        }
    }
}

impl std::error::Error for MemoryError {}

/// What of a block is searched.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    /// The block itself.
    pub text: &'a str,
    /// What was around it.
    pub context: &'a str,
    /// Where it is from.
    pub source: &'a str,
    /// What it is a part of: blocks that follow each other in a thread are neighbours; "": of nothing.
    pub thread: &'a str,
}

/// The index. Plain arrays, no threads; what is added goes to new memory, so that forks share what was there before.
#[derive(Default)]
pub struct MemoryIndex {
    blocks: Blocks,
    postings: Postings,
    scores: Mutex<Scores>,
}

impl MemoryIndex {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.blocks.totals.blocks as usize
    }

    /// No blocks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the blocks' numbers (modulo 2**64): with `len`, whether it has the same blocks as a table.
    pub fn numbers(&self) -> u64 {
        self.blocks.totals.numbers
    }

    /// There is a block with this number.
    pub fn contains(&self, number: u64) -> bool {
        self.blocks.slot(number).is_some()
    }

    /// Bytes of its arrays.
    pub fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes() + self.postings.memory_bytes()
    }

    /// Adds a block, whose number is above those of all others.
    ///
    /// # Errors
    /// The number is not, or there are too many; then nothing has changed.
    pub fn add(&mut self, number: u64, fields: &Fields<'_>) -> Result<(), MemoryError> {
        if self.blocks.len() >= MOST_BLOCKS {
            return Err(MemoryError::TooMany);
        }
        if !self.blocks.may_add(number) {
            return Err(MemoryError::Order(number));
        }
        let mut terms: Vec<(u64, Part)> = Vec::with_capacity(64);
        let mut count = |text: &str, part: Part| {
            let before = terms.len();
            words::terms(text, |term| terms.push((term, part)));
            u16::try_from(terms.len() - before).unwrap_or(u16::MAX)
        };
        let sizes = Sizes {
            text: count(fields.text, Part::Text),
            context: count(fields.context, Part::Context),
            source: count(fields.source, Part::Source),
            around: 0,
        };
        terms.sort_unstable_by_key(|(term, _)| *term);
        let slot = self.blocks.len() as u32;
        let counted = terms.chunk_by(|a, b| a.0 == b.0).map(|same| {
            let counts = same
                .iter()
                .fold(Counts::NONE, |counts, (_, part)| counts.and(*part));
            (same[0].0, counts)
        });
        self.postings.add(slot, counted);
        let thread = match fields.thread {
            "" => 0,
            name => words::hash(name.as_bytes()).max(1),
        };
        self.blocks.add(number, thread, sizes);
        Ok(())
    }

    /// Takes a block out; False where there was none.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some(slot) = self.blocks.slot(number) else {
            return false;
        };
        self.blocks.remove(slot);
        if self.blocks.removed > MANY_REMOVED.max(self.len()) {
            self.sweep();
        }
        true
    }

    fn sweep(&mut self) {
        let moved = self.blocks.moved();
        self.postings = self
            .postings
            .compact(|slot| moved.get(slot as usize).copied().flatten());
        self.blocks = self.blocks.swept();
    }

    /// All of it: header of 64 bytes (`O_MEMORY`, version, `stamp`, how many slots, how many segments), slots, terms and
    /// lists of each segment. What was saved before is there again as it was, so that a delta of it is small.
    pub fn to_bytes(&self, stamp: u64) -> Vec<u8> {
        let (slots, segments) = (self.blocks.len(), self.postings.saved_segments());
        let blocks = slots * SAVED_BYTES;
        let mut out = Vec::with_capacity(HEADER_BYTES + blocks + self.postings.memory_bytes() + 64);
        out.extend_from_slice(MAGIC);
        for number in [VERSION, stamp, slots as u64, segments as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(HEADER_BYTES, 0);
        self.blocks.write(&mut out);
        self.postings.write(&mut out);
        out
    }

    /// Reads what [`MemoryIndex::to_bytes`] wrote, and the stamp that was given to it.
    ///
    /// # Errors
    /// [`MemoryError::Format`] where the bytes are not exactly that. Lists are not looked into: a damaged one ends early.
    pub fn from_bytes(saved: &[u8]) -> Result<(Self, u64), MemoryError> {
        let (header, body) = saved
            .split_at_checked(HEADER_BYTES)
            .ok_or(MemoryError::Format("the header is cut off"))?;
        if header[..8] != MAGIC[..] || u64_at(header, 8) != VERSION {
            return Err(MemoryError::Format("another format or version"));
        }
        let bytes = usize::try_from(u64_at(header, 24))
            .ok()
            .and_then(|blocks| blocks.checked_mul(SAVED_BYTES));
        let (blocks, lists) = bytes
            .and_then(|bytes| body.split_at_checked(bytes))
            .ok_or(MemoryError::Format("not as long as its header says"))?;
        let blocks = Blocks::read(blocks).ok_or(MemoryError::Format("blocks out of order"))?;
        // who did not write how many wrote one
        let segments = u64_at(header, 32).max(u64::from(!lists.is_empty()));
        let postings =
            Postings::read(lists, segments).ok_or(MemoryError::Format("damaged terms"))?;
        let index = MemoryIndex {
            blocks,
            postings,
            scores: Mutex::default(),
        };
        Ok((index, u64_at(header, 16)))
    }
}

#[cfg(test)]
mod tests;
