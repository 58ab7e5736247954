//! Loops without instructions of one processor; every other kernel is tested against them.

use super::{BLOCK, Dots, GROUP, SPAN_BYTES, STRETCH};

const LANES: usize = 8;

pub(super) fn dot(row: &[f32], query: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (rows, queries) = (row.chunks_exact(LANES), query.chunks_exact(LANES));
    let tail: f32 = rows
        .remainder()
        .iter()
        .zip(queries.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in rows.zip(queries) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

pub(super) fn code_dots(blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
    for (query, out) in queries.iter().zip(out) {
        let size = query.len() * GROUP * BLOCK;
        for (block, out) in blocks.chunks_exact(size).zip(out.chunks_exact_mut(BLOCK)) {
            let mut sums = [0i32; BLOCK];
            for (group, word) in block.chunks_exact(GROUP * BLOCK).zip(*query) {
                let codes = word.to_le_bytes();
                for (sum, row) in sums.iter_mut().zip(group.chunks_exact(GROUP)) {
                    for (a, b) in row.iter().zip(codes) {
                        *sum += i32::from(*a) * i32::from(b as i8);
                    }
                }
            }
            out.copy_from_slice(&sums);
        }
    }
}

/// Each span is made into groups of whole bytes.
pub(super) fn sketch_dots(blocks: &[u8], query: &[i32], out: &mut Dots) {
    const LINE: usize = GROUP * BLOCK;
    let codes: Vec<u8> = blocks
        .chunks_exact(SPAN_BYTES)
        .flat_map(|span| {
            (0..4 * LINE).map(|at| {
                let (group, cell) = (at / LINE, at % LINE);
                let low = span[group / 2 * LINE + cell] >> (group % 2 * 4) & 15;
                let high = span[2 * LINE + cell] >> (2 * group) & 3;
                low | high << 4
            })
        })
        .collect();
    code_dots(&codes, &[query], std::slice::from_mut(out));
}
