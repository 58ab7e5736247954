//! The inner loops, once for each set of instructions: which one runs is decided when the program runs.
//!
//! A row's float32 score is the same bits whichever function of one kernel made it (alone, one of four, in a batch):
//! that is what lets a search that rescores call itself exact.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod portable;

#[cfg(test)]
mod tests;

use super::half::Kind;

pub(super) use plain::{Quantised, WORD_LANES};

/// Rows whose codes lie side by side: four dimensions of row 0, of row 1, … of row 15, then the next four dimensions.
/// So a register of 64 bytes holds sixteen rows, and no sum has to be added up across it.
pub(super) const BLOCK: usize = 16;
/// Dimensions in a group of a block.
pub(super) const GROUP: usize = 4;
/// Rows of one call.
pub(super) const STRETCH: usize = 8 * BLOCK;
/// Queries that are compared with a block in one go.
pub(super) const QUERIES: usize = 8;

/// A set of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// What the compiler makes of plain loops.
    Portable,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// What every AArch64 has.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// What turns a dot product of codes into a score, and how far the score can be from the exact one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The query's step, and what its codes make of the rows' offset of 128.
    pub scale: f32,
    pub offset: i32,
    /// What a row's error, and its length, weigh in the bound.
    pub per_error: f32,
    pub per_length: f32,
}

/// A word for each block of a stretch, with a bit for each row.
pub(super) type Reaching = [u16; STRETCH / BLOCK];

/// What is known of the rows of some blocks beside their codes.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
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
const TINY: f32 = 1e-33;

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

impl Kernel {
    /// The best that this processor has.
    pub fn detect() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                return Kernel::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Kernel::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        return Kernel::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Kernel::Portable
    }

    /// Those that this processor has.
    #[cfg(test)]
    pub fn available() -> Vec<Kernel> {
        let mut kernels = vec![Kernel::Portable, Kernel::detect()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(Kernel::Avx2);
        }
        kernels
    }

    /// Largest code of a query: AVX2 adds two products of a row's byte and a query's in 16 bits.
    pub fn query_levels(self) -> i8 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => 63,
            _ => 127,
        }
    }

    /// `row · query`; both of the same length.
    #[inline]
    pub fn dot(self, row: &[f32], query: &[f32]) -> f32 {
        self.dots([row], query)[0]
    }

    /// `row · query` of some rows; all of the same length.
    #[inline]
    pub fn dots<const ROWS: usize>(self, rows: [&[f32]; ROWS], query: &[f32]) -> [f32; ROWS] {
        match self {
            Kernel::Portable => rows.map(|row| portable::dot(row, query)),
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::dots(rows, query) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512::dots(rows, query) },
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => rows.map(|row| {
                // SAFETY: every AArch64 has NEON.
                unsafe { neon::dot(row, query) }
            }),
        }
    }

    /// Dot products of the codes of whole blocks with those of up to [`QUERIES`] queries: `out[query][row]`.
    ///
    /// A query is its codes in words of four bytes, a word for each group of dimensions.
    #[inline]
    pub fn code_dots(self, blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
        match self {
            Kernel::Portable => portable::code_dots(blocks, queries, out),
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::code_dots(blocks, queries, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512::code_dots(blocks, queries, out) },
            // SAFETY: every AArch64 has NEON.
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => unsafe { neon::code_dots(blocks, queries, out) },
        }
    }

    /// Which rows of a stretch, or of some blocks of one, may score `floor` or more.
    #[inline]
    pub fn reaching(self, dots: &[i32], facts: Facts<'_>, bound: &Bound, floor: f32) -> Reaching {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::reaching(dots, facts, bound, floor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512::reaching(dots, facts, bound, floor) },
            _ => plain::reaching(dots, facts, bound, floor),
        }
    }

    /// `row · query` of a row in 16 bits.
    #[inline]
    pub fn half_dot(self, kind: Kind, row: &[u16], query: &[f32]) -> f32 {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::half_dot(kind, row, query) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512::half_dot(kind, row, query) },
            _ => plain::half_dot(kind, row, query),
        }
    }

    /// In how many bits each of eight rows differs from the query; the rows' words lie side by side.
    #[inline]
    pub fn differing(self, rows: &[u64], query: &[u64]) -> [u64; WORD_LANES] {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::differing(rows, query) },
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if is_x86_feature_detected!("avx512vpopcntdq") => {
                // SAFETY: as above, and this instruction has just been asked for.
                unsafe { avx512::differing(rows, query) }
            }
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx2::differing(rows, query) },
            _ => plain::differing(rows, query),
        }
    }

    /// Codes of -`levels` to `levels` for a row: into `out`, which is as long as `row`.
    pub fn quantise(self, row: &[f32], levels: i8, out: &mut [i8]) -> Quantised {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::quantise(row, levels, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512::quantise(row, levels, out) },
            _ => plain::quantise(row, levels, out),
        }
    }
}

/// The dot product of two vectors of the same length (of the shorter one's).
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    Kernel::detect().dot(&a[..length], &b[..length])
}
