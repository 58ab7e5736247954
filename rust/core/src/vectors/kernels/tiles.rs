//! Many queries as tiles: sixteen of them by 64 dimensions, the other side of what a block of rows already is.
//!
//! Where multiplying costs little a query's number is one of 16 bits, in two codes of one byte: a high and a low one. Both
//! are multiplied with the rows' codes, and the two sums are put together in float32. So the query leaves next to nothing
//! out, and what the bounds allow for is almost only what the rows' codes leave out. Elsewhere it is one code, and what
//! that leaves out is measured.

use super::super::LONGEST;
use super::super::aligned::Aligned;
use super::bounds::TINY;
use super::{BLOCK, GROUP, Kernel};

/// Bytes of one query in a tile: 64 dimensions.
pub(super) const WIDTH: usize = 64;
/// Queries that are compared together: those of two tiles, which are multiplied with two blocks in one go.
pub(in super::super) const PARTY: usize = 32;
/// Largest number of a query in two codes, the high one of which is 127 then, and in one.
pub(super) const LEVELS: f32 = 127.0 * 256.0;
#[cfg(target_arch = "x86_64")]
pub(super) const ONE_CODE: f32 = 127.0;
/// Shorter queries are not compared by codes: what may be lost to denormal numbers would be much beside their scores. Nor
/// are longer ones than an index takes, whose scores may be infinite.
const SHORTEST: f32 = 1e-12;
/// What the rows' codes have added to them.
const OFFSET: i32 = 128;

/// Sums of a block's rows for each query of a party.
pub(super) type Sums = [[i32; BLOCK]; PARTY];

/// Scores of a block's rows for each query of a party.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in super::super) struct Scores(pub [[f32; BLOCK]; PARTY]);

/// What is known of a query beside its codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// What a code of 1 stands for, the last one of a number; 0 where the codes say nothing.
    pub scale: f32,
    /// At least the length of the query, and of what its codes leave out.
    pub length: f32,
    pub error: f32,
    /// The sums of the codes, of each half.
    pub sums: [i32; 2],
}

impl Known {
    /// Of a query whose numbers are in two codes each: none leaves out more than half a step and what is rounded on the
    /// way.
    pub(super) fn of_two(
        dimensions: usize,
        scale: f32,
        squares: f32,
        highs: i32,
        numbers: i32,
    ) -> Self {
        Known {
            scale,
            length: at_least(squares),
            error: 0.51 * scale * (dimensions as f32).sqrt(),
            sums: [highs, numbers - 256 * highs],
        }
    }
}

/// At least the length of numbers whose squares add up to this in float32, in whatever order, with what squares that are
/// too small to be numbers have lost.
pub(super) fn at_least(squares: f32) -> f32 {
    const UP: f32 = 1.002;
    const LOST: f32 = 2e-17;
    squares.sqrt() * UP + LOST
}

/// Some queries, and whole blocks of rows that they are compared with.
#[derive(Clone, Copy)]
pub(in super::super) struct Compared<'a> {
    pub tiles: &'a Tiles,
    /// So many queries, the first ones of `tiles`.
    pub queries: usize,
    pub blocks: &'a [u8],
    /// The rows' steps, and by how much a query of length 1 can score less than the codes say; by infinity where the row
    /// may not be found.
    pub scales: &'a [f32],
    pub under: &'a [f32],
    /// The codes come from beyond the near caches. (Only what fetches ahead asks.)
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
    pub far: bool,
}

impl<'a> Compared<'a> {
    /// How many blocks.
    pub(super) fn count(&self) -> usize {
        self.blocks.len() / self.tiles.block_bytes()
    }

    /// The codes of some blocks that lie one after the other.
    #[inline(always)]
    pub(super) fn codes(&self, first: usize, count: usize) -> &'a [u8] {
        let size = self.tiles.block_bytes();
        &self.blocks[first * size..][..count * size]
    }

    /// `scales` and `under` of a block's rows.
    #[inline(always)]
    pub(super) fn facts(&self, block: usize) -> [&'a [f32; BLOCK]; 2] {
        [self.scales, self.under].map(|facts| &facts.as_chunks().0[block])
    }

    /// By what each query's sums are multiplied.
    pub(super) fn factors(&self) -> &'a [f32] {
        &self.tiles.factors[..self.queries.min(PARTY)]
    }
}

/// Some queries as codes, [`PARTY`] at most. Scores by them are those of queries of length 1.
pub(in super::super) struct Tiles {
    /// The high codes, then the low ones, or nothing where there is one code: two tiles of queries one step of dimensions
    /// after the other.
    halves: [Aligned<u8>; 2],
    /// What the sums begin at, so that the rows' offset is gone at the end.
    starts: [Aligned<i32>; 2],
    groups: usize,
    /// By what each query's sums are multiplied.
    pub(super) factors: [f32; PARTY],
    /// The lengths that the queries have; 0 where one cannot be compared by codes.
    pub lengths: [f32; PARTY],
    /// By how much a score may be wrong for each of a row's length: the most of all queries, and of each.
    per_length: f32,
    per_lengths: [f32; PARTY],
    /// By how much a score may be wrong at all.
    tiny: f32,
}

impl Tiles {
    /// Tiles of queries of the same length.
    pub fn of(queries: &[&[f32]], kernel: Kernel) -> Self {
        let dimensions = queries.first().map_or(0, |query| query.len());
        let bytes = dimensions.div_ceil(WIDTH) * WIDTH * PARTY;
        let zeros = |bytes| {
            let mut cells = Aligned::new();
            cells.resize(bytes, 0);
            cells
        };
        let second = if kernel.two_codes() { bytes } else { 0 };
        let mut tiles = Tiles {
            halves: [zeros(bytes), zeros(second)],
            starts: [Aligned::new(), Aligned::new()],
            groups: dimensions.div_ceil(GROUP),
            factors: [0.0; PARTY],
            lengths: [0.0; PARTY],
            per_length: 0.0,
            per_lengths: [0.0; PARTY],
            tiny: 0.0,
        };
        for (number, query) in queries.iter().enumerate() {
            let [high, low] = &mut tiles.halves;
            let (high, low) = (
                &mut high[number * WIDTH..],
                low.get_mut(number * WIDTH..).unwrap_or_default(),
            );
            let known = kernel.tile(query, high, low);
            tiles.note(number, known, dimensions);
        }
        for starts in &mut tiles.starts {
            starts.resize(PARTY * BLOCK, 0);
        }
        tiles
    }

    /// With row = s·c + e and query = t·p + f the exact product differs from s·t·(c·p) by e·query + s·c·f, at most
    /// |e|·|query| + |s·c|·|f|, as in `CodedQuery`. Here all is divided by |query|. A float32 score differs from the product
    /// by γ·|row|·|query| at most; what is done with the codes' sums rounds a few times more, each time by u times at
    /// most twice the lengths.
    fn note(&mut self, number: usize, known: Known, dimensions: usize) {
        const ROUNDING: f32 = f32::EPSILON / 2.0;
        const STEPS: usize = 64;
        for (starts, sum) in self.starts.iter_mut().zip(known.sums) {
            let before = number * BLOCK;
            starts.resize(before, 0);
            starts.resize(before + BLOCK, -OFFSET * sum);
        }
        if !(SHORTEST..=LONGEST).contains(&known.length) || known.scale == 0.0 {
            return;
        }
        let left = known.error / known.length;
        let rounding = (dimensions + STEPS) as f32 * ROUNDING;
        let rounding = rounding / (1.0 - rounding) * (1.0 + left);
        self.factors[number] = known.scale / known.length;
        self.lengths[number] = known.length;
        self.per_lengths[number] = (left + rounding) * (1.0 + 8.0 * ROUNDING);
        self.per_length = self.per_length.max(self.per_lengths[number]);
        self.tiny = self.tiny.max(TINY / known.length);
    }

    /// By how much a row with this error and of this length can score more than its codes say, or less.
    #[inline(always)]
    pub fn slack(&self, error: f32, length: f32) -> f32 {
        error * (1.0 + 4.0 * f32::EPSILON) + (self.per_length * length + self.tiny)
    }

    /// How much of [`Tiles::slack`] one query does not need, for each of a row's length: what the worst of all does.
    pub fn spare(&self, query: usize) -> f32 {
        (self.per_length - self.per_lengths[query]) * (1.0 - 8.0 * f32::EPSILON)
    }

    /// Bytes of a block.
    pub(super) fn block_bytes(&self) -> usize {
        self.groups * GROUP * BLOCK
    }

    /// The high codes, or the only ones, and what their sums begin at; then the low ones.
    pub(super) fn halves(&self) -> [(&[u8], &[i32]); 2] {
        [0, 1].map(|half: usize| (&self.halves[half][..], &self.starts[half][..]))
    }
}

/// The sums of one block, without instructions for tiles.
pub(super) fn sums(block: &[u8], (codes, starts): (&[u8], &[i32]), out: &mut Sums) {
    for (query, (sums, start)) in out.iter_mut().zip(starts.chunks_exact(BLOCK)).enumerate() {
        sums.copy_from_slice(start);
        let steps = codes.chunks_exact(PARTY * WIDTH);
        let codes = steps.flat_map(|step| step[query * WIDTH..][..WIDTH].as_chunks::<GROUP>().0);
        for (cells, codes) in block.chunks_exact(GROUP * BLOCK).zip(codes) {
            for (sum, cells) in sums.iter_mut().zip(cells.as_chunks::<GROUP>().0) {
                let products = cells.iter().zip(codes);
                *sum += products
                    .map(|(cell, code)| i32::from(*cell) * i32::from(*code as i8))
                    .sum::<i32>();
            }
        }
    }
}
