//! Vectors: hashed n-grams of a text, and the exact nearest rows of a matrix.
//!
//! [`VectorIndex`] owns the arrays; `kernels` are the loops over them, one for each set of instructions; `certified`,
//! `shortlist` and a plain scan are the ways to search, and `search` chooses among them.

mod aligned;
mod batch;
mod binary;
mod certified;
mod codes;
mod embed;
mod half;
mod index;
mod kernels;
mod mapped;
mod matrix;
mod saved;
mod search;
mod shortlist;
mod slots;
mod top;

use kernels::Kernel;

pub use embed::{EMBEDDER, READ_BYTES, embed};
pub use index::{Metric, VectorIndex};
pub use kernels::dot;
pub use search::{Filter, FirstPass, Search};

/// Most dimensions that a vector may have.
pub const MOST_DIMENSIONS: usize = 16_384;

/// Why vectors were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorError {
    /// A number of dimensions that is 0 or more than [`MOST_DIMENSIONS`].
    Dimensions(usize),
    /// A vector of another size.
    Size {
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A number in a vector is NaN or infinite.
    NotFinite,
    /// A vector so long that products with it overflow; only where lengths are kept.
    TooLong,
    /// A mask that has not a byte for each row.
    Mask {
        /// Rows that there are.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A first pass whose codes have not been made.
    NotPrepared,
    /// Saved bytes that are not an index, or not a whole one.
    Format(&'static str),
    /// More rows than an index can have.
    TooMany,
    /// The memory for it is not there.
    OutOfMemory,
}

impl std::fmt::Display for VectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VectorError::Dimensions(got) => {
                write!(f, "{got} dimensions; allowed are 1 to {MOST_DIMENSIONS}")
            }
            VectorError::Size { expected, got } => {
                write!(f, "a vector of {got} bytes; it should have {expected}")
            }
            VectorError::NotFinite => f.write_str("a vector with NaN or infinity in it"),
            VectorError::TooLong => f.write_str("a vector longer than 2^60"),
            VectorError::Mask { expected, got } => {
                write!(f, "a mask of {got} bytes for {expected} rows")
            }
            VectorError::NotPrepared => f.write_str("the codes of this first pass were not made"),
            VectorError::Format(what) => write!(f, "saved vectors are damaged: {what}"),
            VectorError::TooMany => f.write_str("more rows than an index can have"),
            VectorError::OutOfMemory => f.write_str("no memory for more vectors"),
        }
    }
}

impl std::error::Error for VectorError {}

fn check_dimensions(dimensions: usize) -> Result<usize, VectorError> {
    match dimensions {
        1..=MOST_DIMENSIONS => Ok(dimensions),
        _ => Err(VectorError::Dimensions(dimensions)),
    }
}

/// float32 little-endian numbers.
fn le_floats(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + '_ {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|number| f32::from_le_bytes(*number))
}

/// Longer vectors are refused where lengths are kept: no product of two overflows.
const LONGEST: f32 = (1u64 << 60) as f32;

fn length(row: &[f32]) -> f64 {
    Kernel::detect().square(row).sqrt()
}

/// Divides `row`, whose squares add up to this, by its length, unless it has length 1 (to a rounding) or 0 already.
fn normalise(row: &mut [f32], squares: f64) {
    if squares > 0.0 && (squares - 1.0).abs() > 1e-6 {
        let scale = 1.0 / squares.sqrt();
        for number in row {
            *number = (f64::from(*number) * scale) as f32;
        }
    }
}

#[cfg(test)]
mod tests;
