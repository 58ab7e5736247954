//! Rows once more as one bit a number: its sign.

use super::VectorError;
use super::kernels::{Kernel, WORD_LANES};

/// Signs in words of 64; word after word of eight rows side by side, the last eight filled up with zeros.
pub(super) struct Binary {
    dimensions: usize,
    rows: usize,
    words: Vec<u64>,
}

impl Binary {
    /// Signs of all rows.
    pub fn of(dimensions: usize, rows: &[f32]) -> Result<Self, VectorError> {
        let mut binary = Binary {
            dimensions,
            rows: 0,
            words: Vec::new(),
        };
        binary.reserve(rows.len() / dimensions)?;
        for row in rows.chunks_exact(dimensions) {
            binary.push(row);
        }
        Ok(binary)
    }

    fn block(&self) -> usize {
        self.dimensions.div_ceil(64) * WORD_LANES
    }

    pub fn reserve(&mut self, more: usize) -> Result<(), VectorError> {
        let words = (self.rows + more).div_ceil(WORD_LANES) * self.block();
        self.words
            .try_reserve(words.saturating_sub(self.words.len()))
            .map_err(|_| VectorError::OutOfMemory)
    }

    pub fn push(&mut self, row: &[f32]) {
        if self.rows.is_multiple_of(WORD_LANES) {
            self.words.resize(self.words.len() + self.block(), 0);
        }
        self.rows += 1;
        self.set(self.rows - 1, row);
    }

    pub fn set(&mut self, place: usize, row: &[f32]) {
        let start = place / WORD_LANES * self.block() + place % WORD_LANES;
        for (number, word) in signs(row).enumerate() {
            self.words[start + number * WORD_LANES] = word;
        }
    }

    pub fn swap_remove(&mut self, place: usize) {
        let (size, last) = (self.block(), self.rows - 1);
        for word in 0..size / WORD_LANES {
            let at = |row: usize| row / WORD_LANES * size + word * WORD_LANES + row % WORD_LANES;
            self.words[at(place)] = self.words[at(last)];
        }
        self.rows = last;
        self.words.truncate(last.div_ceil(WORD_LANES) * size);
    }

    /// In how many signs each of the eight rows from `first` on differs from the query.
    #[inline]
    pub fn differing(&self, kernel: Kernel, first: usize, query: &[u64]) -> [u64; WORD_LANES] {
        let size = self.block();
        let block = &self.words[first / WORD_LANES * size..][..size];
        kernel.differing(block, query)
    }

    pub fn read_bytes(&self) -> usize {
        8 * self.words.len()
    }

    pub fn memory_bytes(&self) -> usize {
        8 * self.words.capacity()
    }
}

/// The signs of a vector: a bit a number, set where it is positive.
pub(super) fn signs(row: &[f32]) -> impl Iterator<Item = u64> + '_ {
    row.chunks(64).map(|numbers| {
        let bits = numbers.iter().enumerate();
        bits.fold(0, |word, (at, number)| {
            word | (u64::from(*number > 0.0) << at)
        })
    })
}
