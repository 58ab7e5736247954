//! The best by a first pass that is quick and a little wrong: more rows than are asked for, which are then scored in
//! float32. What is found has its exact score; whether all of the best are found is not certain.

use std::ops::Range;

use super::binary::{Binary, signs};
use super::codes::{CodedQuery, Codes};
use super::half::Half;
use super::kernels::{STRETCH, WORD_LANES};
use super::matrix::Matrix;
use super::top::Top;

/// Rows that are scored in float32 for each one asked for.
const BY_CODES: usize = 4;
const BY_HALVES: usize = 2;
const BY_SIGNS: usize = 32;

/// Which codes the first pass reads.
#[derive(Clone, Copy)]
pub(super) enum Codebook<'a> {
    Bytes(&'a Codes),
    Halves(&'a Half, &'a Codes),
    Signs(&'a Binary),
}

impl Codebook<'_> {
    /// The `k` best of `rows`, which begins at a stretch, as far as this first pass finds them.
    pub fn search(self, matrix: &Matrix<'_>, query: &[f32], k: usize, rows: Range<usize>) -> Top {
        let per_row = match self {
            Codebook::Bytes(_) => BY_CODES,
            Codebook::Halves(..) => BY_HALVES,
            Codebook::Signs(_) => BY_SIGNS,
        };
        let mut list = Top::new(k.saturating_mul(per_row).min(rows.len()));
        match self {
            Codebook::Bytes(codes) => by_codes(codes, matrix, query, rows, &mut list),
            Codebook::Halves(half, codes) => {
                for row in rows.filter(|row| matrix.allows(*row)) {
                    let score = half.score(matrix.kernel, row, query) * codes.lengths[row];
                    list.offer(score, row as u64);
                }
            }
            Codebook::Signs(binary) => by_signs(binary, matrix, query, rows, &mut list),
        }
        let mut places: Vec<u32> = list.finish().iter().map(|(row, _)| *row as u32).collect();
        places.sort_unstable();
        let mut best = Top::new(k.min(places.len()));
        matrix.scan_places(query, &places, &mut best);
        best
    }
}

fn by_codes(codes: &Codes, matrix: &Matrix<'_>, query: &[f32], rows: Range<usize>, list: &mut Top) {
    let coded = CodedQuery::new(query, matrix.kernel);
    let mut dots = [[0; STRETCH]; 1];
    for start in rows.clone().step_by(STRETCH) {
        let blocks = codes.blocks(start, STRETCH);
        matrix.kernel.code_dots(blocks, &[&coded.words], &mut dots);
        for (row, dot) in (start..rows.end).zip(dots[0]) {
            let score = (dot - coded.bound.offset) as f32 * codes.scales[row];
            if score >= list.worst() && matrix.allows(row) {
                list.offer(score, row as u64);
            }
        }
    }
}

fn by_signs(
    binary: &Binary,
    matrix: &Matrix<'_>,
    query: &[f32],
    rows: Range<usize>,
    list: &mut Top,
) {
    let query: Vec<u64> = signs(query).collect();
    for start in rows.clone().step_by(WORD_LANES) {
        let differing = binary.differing(matrix.kernel, start, &query);
        for (row, differing) in (start..rows.end).zip(differing) {
            let score = -(differing as f32);
            if score > list.worst() && matrix.allows(row) {
                list.offer(score, row as u64);
            }
        }
    }
}
