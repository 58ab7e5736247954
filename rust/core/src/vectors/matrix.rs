//! The rows as a search sees them.

use std::ops::Range;

use super::kernels::{BLOCK, Kernel, Reaching};
use super::top::Top;

/// Borrowed rows, their ids, and which of them may be found.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub kernel: Kernel,
    pub dimensions: usize,
    pub rows: &'a [f32],
    pub ids: &'a [u64],
    /// A byte a row, 0: not this one.
    pub mask: Option<&'a [u8]>,
}

impl<'a> Matrix<'a> {
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.rows[row * self.dimensions..][..self.dimensions]
    }

    #[inline]
    pub fn allows(&self, row: usize) -> bool {
        self.mask.is_none_or(|mask| mask[row] != 0)
    }

    /// Offers the scores of these rows, a few of which are made at a time.
    pub fn scan(&self, query: &[f32], rows: Range<usize>, top: &mut Top) {
        const AT_ONCE: usize = 8 * BLOCK;
        let mut scores = [0.0; AT_ONCE];
        for start in rows.clone().step_by(AT_ONCE) {
            let scores = &mut scores[..AT_ONCE.min(rows.end - start)];
            let numbers = &self.rows[start * self.dimensions..];
            self.kernel.row_dots(numbers, query, scores);
            for (row, score) in (start..).zip(scores) {
                if *score >= top.worst() && self.allows(row) {
                    top.offer(*score, self.ids[row]);
                }
            }
        }
    }

    /// Offers the scores of the rows in `places`, whatever the mask.
    pub fn scan_places(&self, query: &[f32], places: &[u32], top: &mut Top) {
        let (fours, rest) = places.as_chunks::<4>();
        let rows = |four: &[u32; 4]| four.map(|place| self.row(place as usize));
        for (number, four) in fours.iter().enumerate() {
            let next = rows(fours.get(number + 1).unwrap_or(four));
            let scores = self.kernel.dots(rows(four), next, query);
            for (place, score) in four.iter().zip(scores) {
                if score >= top.worst() {
                    top.offer(score, self.ids[*place as usize]);
                }
            }
        }
        for place in rest {
            let place = *place as usize;
            top.offer(self.kernel.dot(self.row(place), query), self.ids[place]);
        }
    }

    /// Puts the worst there is in the place of what these rows may not be found by, and of what is behind them.
    pub fn leave_out(&self, rows: &Range<usize>, scores: &mut [f32]) {
        let (scores, behind) = scores.split_at_mut(rows.len());
        behind.fill(f32::NEG_INFINITY);
        if let Some(mask) = self.mask {
            for (score, byte) in scores.iter_mut().zip(&mask[rows.clone()]) {
                *score = if *byte == 0 {
                    f32::NEG_INFINITY
                } else {
                    *score
                };
            }
        }
    }

    /// Takes those rows of a stretch that begins at `rows.start` out of `words` that are behind `rows`, or that the mask
    /// leaves out, and counts the others.
    pub fn keep_allowed(
        &self,
        rows: &Range<usize>,
        (mut words, count): (Reaching, usize),
    ) -> (Reaching, usize) {
        if self.mask.is_none() && rows.len().is_multiple_of(BLOCK) {
            return (words, count);
        }
        if let Some(word) = words.get_mut(rows.len() / BLOCK) {
            *word &= (1 << (rows.len() % BLOCK)) - 1;
        }
        if let Some(mask) = self.mask {
            let mask = mask[rows.clone()].chunks(BLOCK);
            for (word, mask) in words.iter_mut().zip(mask).filter(|(word, _)| **word != 0) {
                let bits = mask.iter().enumerate();
                *word &= bits.fold(0, |bits, (row, byte)| bits | u16::from(*byte != 0) << row);
            }
        }
        let open = words.iter().filter(|word| **word != 0);
        let count = open.map(|word| word.count_ones() as usize).sum();
        (words, count)
    }
}
