//! AVX2 with FMA: eight numbers at a time.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps,
    _mm_movehl_ps, _mm_prefetch, _mm256_add_epi32, _mm256_castps256_ps128, _mm256_extractf128_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_storeu_si256,
};

use super::super::half::Kind;
use super::{BLOCK, Facts, Part, Quantised, Reaching, STRETCH, WORD_LANES, plain};

const LANES: usize = 8;
const BYTES: usize = 32;

/// The query is loaded once for all rows; two sums a row hide the latency of FMA. Four rows side by side are more streams
/// in one page than the processor follows by itself (measured: 4.8 ms without fetching, 3.1 with it). No closures: one is
/// compiled without AVX2, and called.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dots<const ROWS: usize>(
    rows: [&[f32]; ROWS],
    next: [&[f32]; ROWS],
    query: &[f32],
) -> [f32; ROWS] {
    let length = query.len();
    for row in rows {
        assert!(row.len() >= length);
    }
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    let mut at = 0;
    while at + 2 * LANES <= length {
        let (low, high) = (load(query, at), load(query, at + LANES));
        for ((row, next), sum) in rows.iter().zip(next).zip(&mut sums) {
            prefetch(next, at);
            sum[0] = _mm256_fmadd_ps(load(row, at), low, sum[0]);
            sum[1] = _mm256_fmadd_ps(load(row, at + LANES), high, sum[1]);
        }
        at += 2 * LANES;
    }
    let mut scores = [0f32; ROWS];
    for ((row, sum), score) in rows.iter().zip(&sums).zip(&mut scores) {
        let mut tail = -0.0;
        for (a, b) in row[at..].iter().zip(&query[at..]) {
            tail += a * b;
        }
        *score = total(sum[0]) + total(sum[1]) + tail;
    }
    scores
}

#[inline(always)]
fn prefetch(row: &[f32], at: usize) {
    let address = row.as_ptr().wrapping_add(at).cast::<i8>();
    // SAFETY: a prefetch is a hint: an address that is not mapped, or not ours, has no effect.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}

#[target_feature(enable = "avx2")]
fn load(from: &[f32], at: usize) -> __m256 {
    let eight = &from[at..at + LANES];
    // SAFETY: `eight` has eight numbers, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

#[target_feature(enable = "avx2")]
fn total(sum: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Two products of bytes are added in 16 bits: 2 · 255 · 63 fits, which is why a query has no larger codes here.
#[target_feature(enable = "avx2,fma")]
pub(super) fn code_dots(blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
    let ones = _mm256_set1_epi16(1);
    for (query, out) in queries.iter().zip(out) {
        let blocks = blocks.chunks_exact(query.len() * 2 * BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(BLOCK)) {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (group, word) in block.chunks_exact(2 * BYTES).zip(*query) {
                let word = _mm256_set1_epi32(*word);
                for (half, sum) in group.chunks_exact(BYTES).zip(&mut sums) {
                    let pairs = _mm256_maddubs_epi16(load_codes(half), word);
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                }
            }
            for (sum, out) in sums.iter().zip(out.chunks_exact_mut(LANES)) {
                store(*sum, out);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn load_codes(from: &[u8]) -> __m256i {
    let some = &from[..BYTES];
    // SAFETY: `some` has 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(some.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(sums: __m256i, out: &mut [i32]) {
    let out = &mut out[..LANES];
    // SAFETY: `out` has room for eight numbers, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), sums) };
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn reaching<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    floor: f32,
) -> (Reaching, usize) {
    plain::reaching(parts, facts, floor)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn lowest<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    out: &mut [f32; STRETCH],
) {
    plain::lowest(parts, facts, out);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn left(row: &[f32], codes: &[i8], scale: f32, out: &mut [f32]) {
    plain::left(row, codes, scale, out)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn square(row: &[f32]) -> f64 {
    plain::square(row)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn quantise(row: &[f32], levels: i8, out: &mut [i8]) -> Quantised {
    plain::quantise(row, levels, out)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn half_dot(kind: Kind, row: &[u16], query: &[f32]) -> f32 {
    plain::half_dot(kind, row, query)
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn differing(rows: &[u64], query: &[u64]) -> [u64; WORD_LANES] {
    plain::differing(rows, query)
}
