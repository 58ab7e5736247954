//! Rows once more in 16 bits a number: half the bytes to read.

use super::VectorError;
use super::kernels::Kernel;

/// Which 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The upper half of a float32.
    Bfloat16,
    /// IEEE binary16.
    Float16,
}

/// A matrix of 16-bit numbers; every row has length 1 (or 0), so that none is too large for binary16.
pub(super) struct Half {
    pub kind: Kind,
    dimensions: usize,
    cells: Vec<u16>,
}

impl Half {
    /// Codes of all rows.
    pub fn of(kind: Kind, dimensions: usize, rows: &[f32]) -> Result<Self, VectorError> {
        let mut cells = Vec::new();
        cells
            .try_reserve_exact(rows.len())
            .map_err(|_| VectorError::OutOfMemory)?;
        let mut half = Half {
            kind,
            dimensions,
            cells,
        };
        for row in rows.chunks_exact(dimensions) {
            half.push(row);
        }
        Ok(half)
    }

    pub fn reserve(&mut self, more: usize) -> Result<(), VectorError> {
        self.cells
            .try_reserve(more * self.dimensions)
            .map_err(|_| VectorError::OutOfMemory)
    }

    pub fn push(&mut self, row: &[f32]) {
        self.cells.extend(encode(self.kind, row));
    }

    pub fn set(&mut self, place: usize, row: &[f32]) {
        let cells = &mut self.cells[place * self.dimensions..];
        for (cell, code) in cells.iter_mut().zip(encode(self.kind, row)) {
            *cell = code;
        }
    }

    pub fn swap_remove(&mut self, place: usize) {
        let last = self.cells.len() - self.dimensions;
        self.cells.copy_within(last.., place * self.dimensions);
        self.cells.truncate(last);
    }

    /// About the row's product with the query, for a row of length 1.
    #[inline]
    pub fn score(&self, kernel: Kernel, place: usize, query: &[f32]) -> f32 {
        let row = &self.cells[place * self.dimensions..][..self.dimensions];
        kernel.half_dot(self.kind, row, query)
    }

    pub fn read_bytes(&self) -> usize {
        2 * self.cells.len()
    }

    pub fn memory_bytes(&self) -> usize {
        2 * self.cells.capacity()
    }
}

fn encode(kind: Kind, row: &[f32]) -> impl Iterator<Item = u16> + '_ {
    let length = super::length(row);
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    row.iter().map(move |number| {
        let number = (f64::from(*number) * scale) as f32;
        match kind {
            Kind::Bfloat16 => nearest(number.to_bits(), 16),
            Kind::Float16 => float16(number),
        }
    })
}

/// The upper bits of a number, rounded to nearest, ties to even.
fn nearest(bits: u32, dropped: u32) -> u16 {
    let odd = (bits >> dropped) & 1;
    ((bits + (1 << (dropped - 1)) - 1 + odd) >> dropped) as u16
}

/// A number of at most 1 as binary16.
fn float16(number: f32) -> u16 {
    /// Makes the exponent of binary16 that of float32; what is denormal in one is denormal in the other.
    const DOWN: f32 = 1.0 / ((1u128 << 112) as f32);
    let sign = (number.to_bits() >> 16) as u16 & 0x8000;
    sign | nearest((number.abs() * DOWN).to_bits(), 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        for (number, code) in [
            (0.0, 0),
            (1.0, 0x3c00),
            (-0.5, 0xb800),
            (0.333_333_34, 0x3555),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 1),
            (1e-9, 0),
        ] {
            assert_eq!(float16(number), code, "{number}");
        }
        assert_eq!(nearest(1f32.to_bits(), 16), 0x3f80);
        assert_eq!(nearest((-0.3f32).to_bits(), 16), 0xbe9a);
    }
}
