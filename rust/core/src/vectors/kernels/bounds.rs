//! What codes say of a stretch's rows: scores, and how far each can be from the exact one.

use super::{BLOCK, STRETCH};

/// What turns a dot product of codes into a score, and how far the score can be from the exact one.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Bound {
    /// The query's step, and what its codes make of the rows' offset of 128.
    pub scale: f32,
    pub offset: i32,
    /// What a row's error, and its length, weigh in the bound.
    pub per_error: f32,
    pub per_length: f32,
}

/// Dot products of a query's codes with those of a stretch.
pub(in super::super) type Dots = [i32; STRETCH];

/// What one half of a query, its codes or those of what they leave out, adds to the scores.
#[derive(Clone, Copy)]
pub(in super::super) struct Part<'a> {
    pub dots: &'a Dots,
    pub bound: Bound,
}

/// A word for each block of a stretch, with a bit for each row.
pub(in super::super) type Reaching = [u16; STRETCH / BLOCK];

/// What is known of the rows of some blocks beside their codes.
#[derive(Clone, Copy)]
pub(in super::super) struct Facts<'a> {
    pub scales: &'a [f32],
    pub errors: &'a [f32],
    pub lengths: &'a [f32],
}

impl<'a> Facts<'a> {
    /// Block by block.
    #[inline(always)]
    pub fn blocks(self) -> impl Iterator<Item = Facts<'a>> {
        let scales = self.scales.chunks_exact(BLOCK);
        let errors = self.errors.chunks_exact(BLOCK);
        let lengths = self.lengths.chunks_exact(BLOCK);
        let facts = scales.zip(errors).zip(lengths);
        facts.map(|((scales, errors), lengths)| Facts {
            scales,
            errors,
            lengths,
        })
    }
}

/// More than all that rounding to denormal numbers, or to zero instead of them, can take from a score.
pub(super) const TINY: f32 = 1e-33;

impl Bound {
    /// The score that codes give.
    #[inline(always)]
    pub fn score(&self, dot: i32, scale: f32) -> f32 {
        (dot - self.offset) as f32 * self.scale * scale
    }

    /// The most by which the exact one differs from it.
    #[inline(always)]
    pub fn slack(&self, error: f32, length: f32) -> f32 {
        self.per_error * error + (self.per_length * length + TINY)
    }
}
