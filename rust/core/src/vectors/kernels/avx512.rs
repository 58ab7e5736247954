//! AVX-512: sixteen numbers at a time.

use std::arch::x86_64::{
    __m256i, __m512, _MM_HINT_T0, _mm_mask_storeu_epi8, _mm_prefetch, _mm256_castpd_ps,
    _mm256_loadu_si256, _mm512_abs_ps, _mm512_add_pd, _mm512_add_ps, _mm512_castps_pd,
    _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepi32_epi8,
    _mm512_cvtepi32_pd, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_cvtps_epi32,
    _mm512_cvtps_pd, _mm512_extractf64x4_pd, _mm512_extracti64x4_epi64, _mm512_fmadd_pd,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_mul_pd,
    _mm512_mul_ps, _mm512_reduce_add_pd, _mm512_reduce_add_ps, _mm512_reduce_max_ps,
    _mm512_set1_pd, _mm512_set1_ps, _mm512_setzero_pd, _mm512_setzero_ps, _mm512_slli_epi32,
    _mm512_sub_pd,
};

use super::super::half::Kind;
use super::{Quantised, WORD_LANES, plain};

pub(super) const LANES: usize = 16;
/// Bytes from what is read to what is fetched, where one row or block is read after the other (measured: a tenth less
/// time than with 4 KiB).
const AHEAD: usize = 16384;
/// Rows that are scored side by side.
const ABREAST: usize = 4;

/// `row · query` of some rows. The rows of `next` are fetched meanwhile.
#[target_feature(enable = "avx512f")]
pub(super) fn dots<const ROWS: usize>(
    rows: [&[f32]; ROWS],
    next: [&[f32]; ROWS],
    query: &[f32],
) -> [f32; ROWS] {
    let mut starts = [std::ptr::null(); ROWS];
    let mut fetched = starts;
    for (at, row) in rows.iter().enumerate() {
        assert!(row.len() >= query.len());
        (starts[at], fetched[at]) = (row.as_ptr(), next[at].as_ptr());
    }
    // SAFETY: every row is as long as the query.
    unsafe { abreast(starts, Some(fetched), query) }
}

/// All rows in one function, so that the processor begins to read the next four before it has finished these (measured
/// from memory, on Zen 5: a fifth less time than with a call for each four).
///
/// Fetched: the next rows are. Four rows side by side are more streams than Intel's processors follow by themselves (4.8 ms
/// without fetching, 3.1 with it); those of AMD do, and lose a tenth by it.
#[target_feature(enable = "avx512f")]
pub(super) fn row_dots<const FETCHED: bool>(rows: &[f32], query: &[f32], out: &mut [f32]) {
    let size = query.len();
    assert!(rows.len() >= size * out.len());
    let (fours, rest) = out.as_chunks_mut::<ABREAST>();
    let mut row = rows.as_ptr();
    for out in fours {
        let mut starts = [row; ABREAST];
        let mut next = starts;
        for (start, next) in starts.iter_mut().zip(&mut next) {
            *start = row;
            *next = row.wrapping_add(ABREAST * size);
            row = row.wrapping_add(size);
        }
        // SAFETY: there are as many rows as numbers in `out`, each as long as the query.
        *out = unsafe { abreast(starts, FETCHED.then_some(next), query) };
    }
    for out in rest {
        // SAFETY: as above.
        [*out] = unsafe { abreast([row], None, query) };
        row = row.wrapping_add(size);
    }
}

/// The query is loaded once for all rows; two sums a row hide the latency of FMA. No closures and no checks in it: what is
/// generic over a closure is compiled without AVX-512, and called.
///
/// # Safety
/// Each row has as many numbers as the query.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn abreast<const ROWS: usize>(
    rows: [*const f32; ROWS],
    next: Option<[*const f32; ROWS]>,
    query: &[f32],
) -> [f32; ROWS] {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let (pairs, tail) = query.as_chunks::<{ 2 * LANES }>();
    let mut at = 0;
    for pair in pairs {
        let (low, high) = (load(pair, 0), load(pair, LANES));
        for (number, (row, sum)) in rows.iter().zip(&mut sums).enumerate() {
            if let Some(next) = next {
                let next = next[number].wrapping_add(at);
                fetch(next.cast(), 0);
                fetch(next.wrapping_add(LANES).cast(), 0);
            }
            let row = row.wrapping_add(at);
            // SAFETY: the row has these numbers as the query has them.
            let numbers = unsafe { _mm512_loadu_ps(row) };
            sum[0] = _mm512_fmadd_ps(numbers, low, sum[0]);
            // SAFETY: as above.
            let numbers = unsafe { _mm512_loadu_ps(row.wrapping_add(LANES)) };
            sum[1] = _mm512_fmadd_ps(numbers, high, sum[1]);
        }
        at += pair.len();
    }
    for (which, some) in tail.chunks(LANES).enumerate() {
        let mask = ((1u32 << some.len()) - 1) as u16;
        let low = load_tail(some, 0);
        for (row, sum) in rows.iter().zip(&mut sums) {
            // SAFETY: the mask has a bit for no number that the query, and so the row, does not have.
            let numbers = unsafe { _mm512_maskz_loadu_ps(mask, row.wrapping_add(at)) };
            sum[which] = _mm512_fmadd_ps(numbers, low, sum[which]);
        }
        at += some.len();
    }
    let mut scores = [0.0; ROWS];
    for (score, sum) in scores.iter_mut().zip(sums) {
        *score = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    }
    scores
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(from: &[f32], at: usize) -> __m512 {
    let some = &from[at..at + LANES];
    // SAFETY: `some` has sixteen numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(some.as_ptr()) }
}

/// What is left from `at` on, sixteen numbers at most, then zeros.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_tail(from: &[f32], at: usize) -> __m512 {
    let some = &from[at..];
    let mask = ((1u32 << some.len().min(LANES)) - 1) as u16;
    // SAFETY: the mask has a bit for no number that `some` does not have; what it leaves out is not read.
    unsafe { _mm512_maskz_loadu_ps(mask, some.as_ptr()) }
}

#[inline(always)]
pub(super) fn fetch(address: *const i8, ahead: usize) {
    let address = address.wrapping_add(ahead);
    // SAFETY: a prefetch is a hint: an address that is not mapped, or not ours, has no effect.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn left(row: &[f32], codes: &[i8], scale: f32, out: &mut [f32]) {
    plain::left(row, codes, scale, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn square(row: &[f32]) -> f64 {
    plain::square(row)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn quantise(row: &[f32], levels: i8, out: &mut [i8]) -> Quantised {
    let mut most = _mm512_setzero_ps();
    for at in (0..row.len()).step_by(LANES) {
        most = _mm512_max_ps(most, _mm512_abs_ps(load_tail(row, at)));
    }
    let (scale, steps) = plain::step(_mm512_reduce_max_ps(most), f32::from(levels));
    let (by, wide) = (_mm512_set1_ps(steps), _mm512_set1_pd(f64::from(scale)));
    let mut sums = [[_mm512_setzero_pd(); 3]; 2];
    let out = &mut out[..row.len()];
    for at in (0..row.len()).step_by(LANES) {
        let numbers = load_tail(row, at);
        let codes = _mm512_cvtps_epi32(_mm512_mul_ps(numbers, by));
        let some = &mut out[at..];
        let mask = ((1u32 << some.len().min(LANES)) - 1) as u16;
        let bytes = _mm512_cvtepi32_epi8(codes);
        // SAFETY: the mask has a bit for no number that `some` does not have; what it leaves out is not written.
        unsafe { _mm_mask_storeu_epi8(some.as_mut_ptr(), mask, bytes) };
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(numbers)));
        let halves = [_mm512_castps512_ps256(numbers), high].map(|half| _mm512_cvtps_pd(half));
        let codes = [
            _mm512_castsi512_si256(codes),
            _mm512_extracti64x4_epi64::<1>(codes),
        ];
        for ((numbers, codes), sums) in halves.into_iter().zip(codes).zip(&mut sums) {
            let said = _mm512_mul_pd(wide, _mm512_cvtepi32_pd(codes));
            let left = _mm512_sub_pd(numbers, said);
            for (sum, number) in sums.iter_mut().zip([left, numbers, said]) {
                *sum = _mm512_fmadd_pd(number, number, *sum);
            }
        }
    }
    let [low, high] = sums;
    let sum = |at: usize| _mm512_reduce_add_pd(_mm512_add_pd(low[at], high[at]));
    plain::quantised(scale, [sum(0), sum(1), sum(2)])
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn half_dot(kind: Kind, row: &[u16], query: &[f32]) -> f32 {
    match kind {
        Kind::Bfloat16 => widened(row, query, |codes| {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(codes)))
        }),
        Kind::Float16 => widened(row, query, |codes| _mm512_cvtph_ps(codes)),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn widened(row: &[u16], query: &[f32], widen: impl Fn(__m256i) -> __m512) -> f32 {
    const PARTS: usize = 4;
    let mut sums = [_mm512_setzero_ps(); PARTS];
    let (rows, queries) = (
        row.chunks_exact(PARTS * LANES),
        query.chunks_exact(PARTS * LANES),
    );
    let tail = (rows.remainder(), queries.remainder());
    for (codes, numbers) in rows.zip(queries) {
        fetch(codes.as_ptr().cast(), AHEAD);
        fetch(codes[2 * LANES..].as_ptr().cast(), AHEAD);
        for (part, sum) in sums.iter_mut().enumerate() {
            let row = widen(load_halves(&codes[part * LANES..]));
            *sum = _mm512_fmadd_ps(row, load(numbers, part * LANES), *sum);
        }
    }
    let mut codes = [0; PARTS * LANES];
    codes[..tail.0.len()].copy_from_slice(tail.0);
    for (part, sum) in sums
        .iter_mut()
        .enumerate()
        .take(tail.0.len().div_ceil(LANES))
    {
        let row = widen(load_halves(&codes[part * LANES..]));
        *sum = _mm512_fmadd_ps(row, load_tail(tail.1, part * LANES), *sum);
    }
    let low = _mm512_add_ps(sums[0], sums[1]);
    _mm512_reduce_add_ps(_mm512_add_ps(low, _mm512_add_ps(sums[2], sums[3])))
}

#[target_feature(enable = "avx512f,avx512vl")]
fn load_halves(from: &[u16]) -> __m256i {
    let some = &from[..LANES];
    // SAFETY: `some` has sixteen numbers of two bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(some.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq")]
pub(super) fn differing(rows: &[u64], query: &[u64]) -> [u64; WORD_LANES] {
    plain::differing(rows, query)
}
