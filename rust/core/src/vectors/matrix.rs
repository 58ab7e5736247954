//! The rows as a search sees them.

use std::ops::Range;

use super::kernels::Kernel;
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

    /// Offers the scores of these rows, one after the other; no array of scores is made.
    pub fn scan(&self, query: &[f32], rows: Range<usize>, top: &mut Top) {
        let mut row = rows.start;
        while row + 4 <= rows.end {
            let four = [row, row + 1, row + 2, row + 3];
            let scores = self.kernel.dots(four.map(|row| self.row(row)), query);
            for (row, score) in four.into_iter().zip(scores) {
                if score >= top.worst() && self.allows(row) {
                    top.offer(score, self.ids[row]);
                }
            }
            row += 4;
        }
        for row in row..rows.end {
            if self.allows(row) {
                let score = self.kernel.dot(self.row(row), query);
                top.offer(score, self.ids[row]);
            }
        }
    }

    /// Offers the scores of the rows in `places`, whatever the mask.
    pub fn scan_places(&self, query: &[f32], places: &[u32], top: &mut Top) {
        let fours = places.chunks_exact(4);
        for place in fours.remainder() {
            let place = *place as usize;
            top.offer(self.kernel.dot(self.row(place), query), self.ids[place]);
        }
        for four in fours {
            let four = [four[0], four[1], four[2], four[3]].map(|place| place as usize);
            let scores = self.kernel.dots(four.map(|row| self.row(row)), query);
            for (row, score) in four.into_iter().zip(scores) {
                top.offer(score, self.ids[row]);
            }
        }
    }
}
