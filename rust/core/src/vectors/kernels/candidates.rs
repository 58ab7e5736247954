//! Rows that may be among a query's best, and the most that each can score.

use super::BLOCK;

/// Two arrays side by side, with room behind them, so that a whole block can be written there.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Candidates {
    most: Vec<f32>,
    rows: Vec<u32>,
    count: usize,
}

impl Candidates {
    pub fn len(&self) -> usize {
        self.count
    }

    /// The most that each of them can score.
    pub fn most(&self) -> &[f32] {
        &self.most[..self.count]
    }

    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.count]
    }

    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    #[inline(always)]
    pub(super) fn push(&mut self, most: f32, row: u32) {
        let (places, rows) = self.room();
        (places[0], rows[0]) = (most, row);
        self.lengthen(1);
    }

    /// What lies behind the last one: [`Candidates::lengthen`] tells how many of these there are.
    #[inline(always)]
    pub(super) fn room(&mut self) -> (&mut [f32; BLOCK], &mut [u32; BLOCK]) {
        if self.count + BLOCK > self.most.len() {
            self.grow();
        }
        let most = self.most[self.count..].first_chunk_mut();
        let rows = self.rows[self.count..].first_chunk_mut();
        match (most, rows) {
            (Some(most), Some(rows)) => (most, rows),
            _ => unreachable!("there is a block of room"),
        }
    }

    #[inline(always)]
    pub(super) fn lengthen(&mut self, by: usize) {
        self.count += by;
    }

    #[cold]
    fn grow(&mut self) {
        const FIRST: usize = 8 * BLOCK;
        let count = (2 * self.most.len()).max(FIRST);
        self.most.resize(count, 0.0);
        self.rows.resize(count, 0);
    }
}
