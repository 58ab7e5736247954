//! Loops without instructions of one processor; every other kernel is tested against them.

use super::{BLOCK, GROUP, STRETCH};

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
