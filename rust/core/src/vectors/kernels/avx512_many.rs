//! What is done for many queries at once beside multiplying, with AVX-512. See many.rs.

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GE_OQ, _mm_storeu_si128, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps,
    _mm512_cmp_ps_mask, _mm512_cmpge_epi32_mask, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps,
    _mm512_cvtps_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_mask_add_epi32,
    _mm512_mask_max_ps, _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps,
    _mm512_maskz_loadu_epi32, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_add_epi32,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srai_epi32,
    _mm512_storeu_ps, _mm512_storeu_si512,
};

use super::avx512::{LANES, load, load_tail};
use super::candidates::Candidates;
use super::tiles::{Known, LEVELS, ONE_CODE, PARTY, Scores, Sums, WIDTH, at_least};
use super::{BLOCK, STRETCH, many, plain};

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn halve(query: &[f32], high: &mut [u8], low: &mut [u8]) -> Known {
    let (most, squares) = largest(query);
    let (scale, by) = plain::step(most, LEVELS);
    let by = _mm512_set1_ps(by);
    let (mut sum, mut highs) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let half = _mm512_set1_epi32(128);
    for at in (0..query.len()).step_by(LANES) {
        let numbers = _mm512_cvtps_epi32(_mm512_mul_ps(load_tail(query, at), by));
        let above = _mm512_srai_epi32::<8>(_mm512_add_epi32(numbers, half));
        put(above, at, high);
        put(numbers, at, low);
        sum = _mm512_add_epi32(sum, numbers);
        highs = _mm512_add_epi32(highs, above);
    }
    let (highs, sum) = (_mm512_reduce_add_epi32(highs), _mm512_reduce_add_epi32(sum));
    Known::of_two(query.len(), scale, squares, highs, sum)
}

/// As [`halve`], with one code for each number.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn one_code(query: &[f32], out: &mut [u8]) -> Known {
    let (most, squares) = largest(query);
    let (scale, by) = plain::step(most, ONE_CODE);
    let (by, step) = (_mm512_set1_ps(by), _mm512_set1_ps(scale));
    let (mut sum, mut left) = (_mm512_setzero_si512(), _mm512_setzero_ps());
    for at in (0..query.len()).step_by(LANES) {
        let numbers = load_tail(query, at);
        let codes = _mm512_cvtps_epi32(_mm512_mul_ps(numbers, by));
        put(codes, at, out);
        sum = _mm512_add_epi32(sum, codes);
        // Rounded once, so it is right to its last bit however small it is.
        let rest = _mm512_fnmadd_ps(step, _mm512_cvtepi32_ps(codes), numbers);
        left = _mm512_fmadd_ps(rest, rest, left);
    }
    Known {
        scale,
        length: at_least(squares),
        error: at_least(_mm512_reduce_add_ps(left)),
        sums: [_mm512_reduce_add_epi32(sum), 0],
    }
}

/// The largest number, and the sum of the squares.
#[target_feature(enable = "avx512f")]
fn largest(query: &[f32]) -> (f32, f32) {
    let (mut most, mut squares) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for at in (0..query.len()).step_by(LANES) {
        let numbers = load_tail(query, at);
        most = _mm512_max_ps(most, _mm512_abs_ps(numbers));
        squares = _mm512_fmadd_ps(numbers, numbers, squares);
    }
    (_mm512_reduce_max_ps(most), _mm512_reduce_add_ps(squares))
}

/// Puts sixteen codes, those of the numbers from `at` on, into their place in tiles. (To store while narrowing takes
/// several times as long.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn put(codes: __m512i, at: usize, out: &mut [u8]) {
    let place = at / WIDTH * PARTY * WIDTH + at % WIDTH;
    let out = &mut out[place..place + LANES];
    let codes = _mm512_cvtepi32_epi8(codes);
    // SAFETY: `out` has room for sixteen bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), codes) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
pub(super) fn kth(values: &[f32], k: usize) -> f32 {
    if values.len() > many::FEW || k == 0 || k > values.len() {
        return many::kth(values, k);
    }
    // The largest than which k of them are not smaller, for all at once: nothing waits for a comparison.
    let mut all = [f32::NEG_INFINITY; many::FEW];
    all[..values.len()].copy_from_slice(values);
    let (one, mut kth) = (_mm512_set1_epi32(1), _mm512_set1_ps(f32::NEG_INFINITY));
    let enough = _mm512_set1_epi32(k as i32);
    for some in all[..values.len().next_multiple_of(LANES)].chunks_exact(LANES) {
        let some = load(some, 0);
        let mut above = [_mm512_setzero_si512(); 2];
        for (at, value) in values.iter().enumerate() {
            let counted = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_set1_ps(*value), some);
            let above = &mut above[at % 2];
            *above = _mm512_mask_add_epi32(*above, counted, *above, one);
        }
        let above = _mm512_add_epi32(above[0], above[1]);
        kth = _mm512_mask_max_ps(kth, _mm512_cmpge_epi32_mask(above, enough), kth, some);
    }
    _mm512_reduce_max_ps(kth)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn settle(
    sums: [&Sums; 2],
    factors: &[f32],
    facts: [&[f32; BLOCK]; 2],
    lanes: &mut Scores,
    out: &mut Scores,
) {
    many::settle(sums, factors, facts, lanes, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
pub(super) fn collect(
    scores: &[Scores],
    over: &[f32; STRETCH],
    floors: &[f32; PARTY],
    first: u32,
    out: &mut [Candidates],
) {
    let mut rows = _mm512_add_epi32(first_rows(), _mm512_set1_epi32(first as i32));
    for (block, scores) in scores.iter().enumerate() {
        let over = load(over, block * BLOCK);
        for ((scores, floor), candidates) in scores.0.iter().zip(floors).zip(out.iter_mut()) {
            let most = _mm512_add_ps(load(scores, 0), over);
            let reaching = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, _mm512_set1_ps(*floor));
            if reaching != 0 {
                append(candidates, reaching, most, rows);
            }
        }
        rows = _mm512_add_epi32(rows, _mm512_set1_epi32(BLOCK as i32));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
pub(super) fn keep(candidates: &Candidates, floor: f32, out: &mut Candidates) {
    let all = candidates.most().chunks(BLOCK);
    for (some, rows) in all.zip(candidates.rows().chunks(BLOCK)) {
        let there = ((1u32 << some.len()) - 1) as u16;
        let most = load_tail(some, 0);
        // SAFETY: the mask has a bit for no row that is not there; what it leaves out is not read.
        let rows = unsafe { _mm512_maskz_loadu_epi32(there, rows.as_ptr().cast()) };
        let reaching = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, _mm512_set1_ps(floor));
        append(out, there & reaching, most, rows);
    }
}

/// Appends those of sixteen rows whose bits are set. (To store while compressing takes many times as long.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
fn append(candidates: &mut Candidates, which: u16, most: __m512, rows: __m512i) {
    let (most_room, rows_room) = candidates.room();
    let most = _mm512_maskz_compress_ps(which, most);
    // SAFETY: there is room for sixteen numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_ps(most_room.as_mut_ptr(), most) };
    let rows = _mm512_maskz_compress_epi32(which, rows);
    // SAFETY: as above.
    unsafe { _mm512_storeu_si512(rows_room.as_mut_ptr().cast(), rows) };
    candidates.lengthen(which.count_ones() as usize);
}

/// 0 to 15.
#[target_feature(enable = "avx512f")]
fn first_rows() -> __m512i {
    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}
