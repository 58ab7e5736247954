//! The inner loops, once for each set of instructions: which one runs is decided when the program runs.
//!
//! A row's float32 score is the same bits whichever function of one kernel made it (alone, one of four, in a batch):
//! that is what lets a search that rescores call itself exact.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_codes;
#[cfg(target_arch = "x86_64")]
mod avx512_many;
mod bounds;
mod candidates;
mod choice;
mod many;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod portable;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;

#[cfg(test)]
mod tests;

use super::half::Kind;
#[cfg(target_arch = "x86_64")]
use choice::amd;

pub(super) use bounds::{Bound, Dots, Facts, Part, Reaching};
pub(super) use candidates::Candidates;
pub(super) use plain::{Quantised, WORD_LANES};
pub(super) use tiles::{Compared, PARTY, Scores, Tiles};

/// Rows whose codes lie side by side: four dimensions of row 0, of row 1, … of row 15, then the next four dimensions.
/// So a register of 64 bytes holds sixteen rows, and no sum has to be added up across it.
pub(super) const BLOCK: usize = 16;
/// Dimensions in a group of a block.
pub(super) const GROUP: usize = 4;
/// Dimensions of a block that lie together where codes have six bits, and the bytes that they take.
pub(super) const SPAN: usize = 4 * GROUP;
pub(super) const SPAN_BYTES: usize = SPAN * BLOCK * 6 / 8;
/// Rows of one call at most.
pub(super) const STRETCH: usize = 64 * BLOCK;
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
    /// AVX-512 with VNNI, and AMX for many queries at once.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

// what fetches ahead only some of them do
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
impl Kernel {
    /// `row · query`; both of the same length.
    #[inline]
    pub fn dot(self, row: &[f32], query: &[f32]) -> f32 {
        self.dots([row], [row], query)[0]
    }

    /// `row · query` of some rows; all of the same length. The rows of `next` are fetched meanwhile.
    #[inline]
    pub fn dots<const ROWS: usize>(
        self,
        rows: [&[f32]; ROWS],
        next: [&[f32]; ROWS],
        query: &[f32],
    ) -> [f32; ROWS] {
        match self {
            Kernel::Portable => rows.map(|row| portable::dot(row, query)),
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::dots(rows, next, query) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::dots(rows, next, query) },
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => rows.map(|row| {
                // SAFETY: `detect` gives this kernel only where the processor has its instructions.
                unsafe { neon::dot(row, query) }
            }),
        }
    }

    /// `row · query` of rows that lie one after the other, of as many as there are numbers in `out`.
    pub fn row_dots(self, rows: &[f32], query: &[f32], out: &mut [f32]) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if amd() => unsafe { avx512::row_dots::<false>(rows, query, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::row_dots::<true>(rows, query, out) },
            _ => {
                const ABREAST: usize = 4;
                let row = |at: usize| &rows[at * query.len()..][..query.len()];
                let last = out.len().saturating_sub(1);
                let (fours, rest) = out.as_chunks_mut::<ABREAST>();
                let first = ABREAST * fours.len();
                for (number, out) in fours.iter_mut().enumerate() {
                    let four = std::array::from_fn::<_, ABREAST, _>(|at| ABREAST * number + at);
                    let next = four.map(|at| row((at + ABREAST).min(last)));
                    *out = self.dots(four.map(row), next, query);
                }
                for (at, out) in (first..).zip(rest) {
                    *out = self.dot(row(at), query);
                }
            }
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
            Kernel::Avx512 | Kernel::Amx => unsafe {
                avx512_codes::code_dots(blocks, queries, out)
            },
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "aarch64")]
            Kernel::Neon => unsafe { neon::code_dots(blocks, queries, out) },
        }
    }

    /// As [`Kernel::code_dots`], of codes of six bits and one query, whose words are those of whole spans.
    pub fn sketch_dots(self, blocks: &[u8], query: &[i32], out: &mut Dots) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if amd() => unsafe {
                avx512_codes::sketch_dots::<1, { 12 << 10 }>(blocks, query, out)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe {
                avx512_codes::sketch_dots::<4, { avx512_codes::CODES_AHEAD }>(blocks, query, out)
            },
            _ => portable::sketch_dots(blocks, query, out),
        }
    }

    /// The scores that the codes of blocks give for queries: `out[block][query][row]`. For each query `lanes` is raised to
    /// what rows of these blocks score at least, each lane by rows of its own.
    pub fn scores(self, compared: Compared<'_>, lanes: &mut [Scores], out: &mut [Scores]) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions, and where they are allowed.
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => unsafe { amx::scores(compared, lanes, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { vnni::scores(compared, lanes, out) },
            _ => many::scores(compared, lanes, out),
        }
    }

    /// Appends to the candidates of each query those rows of a stretch, which begins at row `first`, that may reach its
    /// floor by their scores and what is to be added to each.
    pub fn collect(
        self,
        scores: &[Scores],
        over: &[f32; STRETCH],
        floors: &[f32; PARTY],
        first: u32,
        out: &mut [Candidates],
    ) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe {
                avx512_many::collect(scores, over, floors, first, out)
            },
            _ => many::collect(scores, over, floors, first, out),
        }
    }

    /// Those candidates that can score `floor` or more: in the place of what is in `out`.
    pub fn keep(self, candidates: &Candidates, floor: f32, out: &mut Candidates) {
        out.truncate(0);
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512_many::keep(candidates, floor, out) },
            _ => many::keep(candidates, floor, out),
        }
    }

    /// The `k`-th largest of some values, none of them NaN; minus infinity where there are not so many.
    pub fn kth(self, values: &[f32], k: usize) -> f32 {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512_many::kth(values, k) },
            _ => many::kth(values, k),
        }
    }

    /// The `k`-th largest of some values, or one that is a little less where they are many.
    pub fn about_kth(self, values: &[f32], k: usize) -> f32 {
        match values.len() {
            0..=many::FEW => self.kth(values, k),
            _ => self.kth(&many::folded(values, k), k),
        }
    }

    /// Puts the codes of a query into [`Tiles`]: two for each number, or one, into `high`.
    fn tile(self, query: &[f32], high: &mut [u8], low: &mut [u8]) -> tiles::Known {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { avx512_many::one_code(query, high) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => unsafe { avx512_many::halve(query, high, low) },
            _ => many::halve(query, high, low),
        }
    }

    /// Which rows of a stretch may score `floor` or more, by so many parts of a query, and how many.
    #[inline]
    pub fn reaching<const PARTS: usize>(
        self,
        parts: [Part<'_>; PARTS],
        facts: Facts<'_>,
        floor: f32,
    ) -> (Reaching, usize) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::reaching(parts, facts, floor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512_codes::reaching(parts, facts, floor) },
            _ => plain::reaching(parts, facts, floor),
        }
    }

    /// The least that each row of a stretch scores; into `out` as far as there are facts.
    pub fn lowest<const PARTS: usize>(
        self,
        parts: [Part<'_>; PARTS],
        facts: Facts<'_>,
        out: &mut [f32; STRETCH],
    ) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::lowest(parts, facts, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512_codes::lowest(parts, facts, out) },
            _ => plain::lowest(parts, facts, out),
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
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::half_dot(kind, row, query) },
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
            Kernel::Avx512 | Kernel::Amx if is_x86_feature_detected!("avx512vpopcntdq") => {
                // SAFETY: as above, and this instruction has just been asked for.
                unsafe { avx512::differing(rows, query) }
            }
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx2::differing(rows, query) },
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
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::quantise(row, levels, out) },
            _ => plain::quantise(row, levels, out),
        }
    }

    /// What codes with this step leave out of a row: into `out`, which is as long.
    pub fn left(self, row: &[f32], codes: &[i8], scale: f32, out: &mut [f32]) {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::left(row, codes, scale, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::left(row, codes, scale, out) },
            _ => plain::left(row, codes, scale, out),
        }
    }

    /// The squared length of a row: the same bits from every kernel.
    pub fn square(self, row: &[f32]) -> f64 {
        match self {
            // SAFETY: `detect` gives this kernel only where the processor has its instructions.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => unsafe { avx2::square(row) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => unsafe { avx512::square(row) },
            _ => plain::square(row),
        }
    }
}

/// The dot product of two vectors of the same length (of the shorter one's).
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    Kernel::detect().dot(&a[..length], &b[..length])
}
