//! AArch64 with NEON, which nearly all have.

use std::arch::aarch64::{
    int8x16_t, vaddq_f32, vaddq_s32, vaddvq_f32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, veorq_u8,
    vfmaq_f32, vget_low_s8, vld1q_f32, vld1q_u8, vmull_high_s8, vmull_s8, vpaddlq_s16, vpaddq_s32,
    vreinterpretq_s8_s32, vreinterpretq_s8_u8, vst1q_s32,
};

use super::{BLOCK, STRETCH};

const LANES: usize = 4;
const PARTS: usize = 4;
const BYTES: usize = 16;

#[target_feature(enable = "neon")]
pub(super) fn dot(row: &[f32], query: &[f32]) -> f32 {
    let (rows, queries) = (
        row.chunks_exact(PARTS * LANES),
        query.chunks_exact(PARTS * LANES),
    );
    let tail: f32 = rows
        .remainder()
        .iter()
        .zip(queries.remainder())
        .map(|(a, b)| a * b)
        .sum();
    let mut sums = [vdupq_n_f32(0.0); PARTS];
    for (a, b) in rows.zip(queries) {
        let parts = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
        for (sum, (a, b)) in sums.iter_mut().zip(parts) {
            // SAFETY: `a` has four numbers.
            let a = unsafe { vld1q_f32(a.as_ptr()) };
            // SAFETY: `b` has four numbers.
            let b = unsafe { vld1q_f32(b.as_ptr()) };
            *sum = vfmaq_f32(*sum, a, b);
        }
    }
    let low = vaddq_f32(sums[0], sums[1]);
    vaddvq_f32(vaddq_f32(low, vaddq_f32(sums[2], sums[3]))) + tail
}

/// The rows' codes are made signed on the way, so what the offset would have given is added at the start.
#[target_feature(enable = "neon")]
pub(super) fn code_dots(blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
    for (query, out) in queries.iter().zip(out) {
        let offset: i32 = query
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .map(|code| 128 * i32::from(code as i8))
            .sum();
        let blocks = blocks.chunks_exact(query.len() * PARTS * BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(BLOCK)) {
            let mut sums = [vdupq_n_s32(0); PARTS];
            for (group, word) in block.chunks_exact(PARTS * BYTES).zip(*query) {
                let word = vreinterpretq_s8_s32(vdupq_n_s32(*word));
                for (part, sum) in group.chunks_exact(BYTES).zip(&mut sums) {
                    let codes = signed(part);
                    let low = vmull_s8(vget_low_s8(codes), vget_low_s8(word));
                    let high = vmull_high_s8(codes, word);
                    let rows = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
                    *sum = vaddq_s32(*sum, rows);
                }
            }
            for (sum, out) in sums.iter().zip(out.chunks_exact_mut(LANES)) {
                let sum = vaddq_s32(*sum, vdupq_n_s32(offset));
                // SAFETY: `out` has room for four numbers.
                unsafe { vst1q_s32(out.as_mut_ptr(), sum) };
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn signed(from: &[u8]) -> int8x16_t {
    let some = &from[..BYTES];
    // SAFETY: `some` has sixteen bytes.
    let codes = unsafe { vld1q_u8(some.as_ptr()) };
    vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(0x80)))
}
