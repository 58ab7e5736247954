//! AVX-512: sixteen numbers at a time, and VNNI's four products of bytes in one addition.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _CMP_GE_OQ, _MM_HINT_T0, _mm_mask_storeu_epi8, _mm_prefetch,
    _mm256_castpd_ps, _mm256_loadu_si256, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_pd,
    _mm512_add_ps, _mm512_and_si512, _mm512_castps_pd, _mm512_castps512_ps256, _mm512_castsi512_ps,
    _mm512_castsi512_si256, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi8, _mm512_cvtepi32_pd,
    _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_cvtps_epi32,
    _mm512_cvtps_pd, _mm512_dpbusd_epi32, _mm512_extractf64x4_pd, _mm512_extracti64x4_epi64,
    _mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_mul_pd, _mm512_mul_ps, _mm512_reduce_add_pd, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_pd, _mm512_set1_ps,
    _mm512_setzero_pd, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi16,
    _mm512_slli_epi32, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_sub_pd, _mm512_sub_ps, _mm512_ternarylogic_epi32,
};

use super::super::half::Kind;
use super::{
    BLOCK, Dots, Facts, Part, Quantised, Reaching, SPAN_BYTES, STRETCH, TINY, WORD_LANES, plain,
};

pub(super) const LANES: usize = 16;
const BYTES: usize = 64;
/// Bytes from what is read to what is fetched, where one row or block is read after the other (measured: a tenth less
/// time than with 4 KiB).
const AHEAD: usize = 16384;
/// The same for codes, of which four streams are read side by side (measured: next to nothing in the caches, a tenth less
/// time beyond them than with the next four blocks).
pub(super) const CODES_AHEAD: usize = 1024;

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
fn fetch(address: *const i8, ahead: usize) {
    let address = address.wrapping_add(ahead);
    // SAFETY: a prefetch is a hint: an address that is not mapped, or not ours, has no effect.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
}

/// No closures here and below: what is generic over one is compiled without AVX-512, and called.
///
/// Four blocks at a time with one query or two: so many sums that none waits for another, and as few loads as there can be.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn code_dots(blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
    if let Ok(queries) = <[&[i32]; 2]>::try_from(queries) {
        return by_tiles::<4, 2>(blocks, queries, out);
    }
    for (query, out) in queries.iter().zip(out.chunks_exact_mut(1)) {
        by_tiles::<4, 1>(blocks, [query], out);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn by_tiles<const BLOCKS: usize, const COUNT: usize>(
    blocks: &[u8],
    queries: [&[i32]; COUNT],
    out: &mut [[i32; STRETCH]],
) {
    let size = queries[0].len() * BYTES;
    let mut at = 0;
    for blocks in blocks.chunks(BLOCKS * size) {
        if blocks.len() == BLOCKS * size {
            tile::<BLOCKS, COUNT>(blocks, queries, &mut *out, at);
            at += BLOCKS * BLOCK;
            continue;
        }
        for block in blocks.chunks_exact(size) {
            tile::<1, COUNT>(block, queries, &mut *out, at);
            at += BLOCK;
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn tile<const BLOCKS: usize, const COUNT: usize>(
    blocks: &[u8],
    queries: [&[i32]; COUNT],
    out: &mut [[i32; STRETCH]],
    at: usize,
) {
    let groups = queries[0].len();
    let size = groups * BYTES;
    assert!(blocks.len() >= BLOCKS * size);
    for query in queries {
        assert!(query.len() >= groups);
    }
    let mut sums = [[_mm512_setzero_si512(); BLOCKS]; COUNT];
    for group in 0..groups {
        let mut codes = [_mm512_setzero_si512(); BLOCKS];
        let mut line = blocks.as_ptr().wrapping_add(group * BYTES);
        for codes in &mut codes {
            fetch(line.cast(), CODES_AHEAD);
            // SAFETY: every block has 64 bytes for each group.
            *codes = unsafe { _mm512_loadu_si512(line.cast()) };
            line = line.wrapping_add(size);
        }
        for (query, sums) in queries.iter().zip(&mut sums) {
            // SAFETY: every query has a word for each group. (Sixteen checks here would cost a quarter of the time.)
            let word = _mm512_set1_epi32(*unsafe { query.get_unchecked(group) });
            for (codes, sum) in codes.iter().zip(sums) {
                *sum = _mm512_dpbusd_epi32(*sum, *codes, word);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out) {
        for (sum, out) in sums.iter().zip(out[at..].chunks_exact_mut(BLOCK)) {
            store(*sum, out);
        }
    }
}

/// Codes of six bits are put together from two lines each, so many blocks at a time, and those so many bytes ahead are
/// fetched.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn sketch_dots<const BLOCKS: usize, const AHEAD: usize>(
    blocks: &[u8],
    query: &[i32],
    out: &mut Dots,
) {
    let size = query.len() / 4 * SPAN_BYTES;
    let mut at = 0;
    for blocks in blocks.chunks(BLOCKS * size) {
        if blocks.len() == BLOCKS * size {
            spans::<BLOCKS, AHEAD>(blocks, query, out, at);
            at += BLOCKS * BLOCK;
            continue;
        }
        for block in blocks.chunks_exact(size) {
            spans::<1, AHEAD>(block, query, out, at);
            at += BLOCK;
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn spans<const BLOCKS: usize, const AHEAD: usize>(
    blocks: &[u8],
    query: &[i32],
    out: &mut Dots,
    at: usize,
) {
    let (words, _) = query.as_chunks::<4>();
    let size = words.len() * SPAN_BYTES;
    assert!(blocks.len() >= BLOCKS * size);
    let mut sums = [[_mm512_setzero_si512(); 2]; BLOCKS];
    let mut first = blocks.as_ptr();
    for words in words {
        let words = words.map(|word| _mm512_set1_epi32(word));
        let mut lines = first;
        for [even, odd] in &mut sums {
            // SAFETY: every block has three lines of 64 bytes for each span.
            let [a, b, c, d] = unsafe { codes_of_span::<AHEAD>(lines) };
            lines = lines.wrapping_add(size);
            *even = _mm512_dpbusd_epi32(*even, a, words[0]);
            *odd = _mm512_dpbusd_epi32(*odd, b, words[1]);
            *even = _mm512_dpbusd_epi32(*even, c, words[2]);
            *odd = _mm512_dpbusd_epi32(*odd, d, words[3]);
        }
        first = first.wrapping_add(SPAN_BYTES);
    }
    for ([even, odd], out) in sums.into_iter().zip(out[at..].chunks_exact_mut(BLOCK)) {
        store(_mm512_add_epi32(even, odd), out);
    }
}

/// A span's four groups, a byte a code; shifts of 16 bits, because what comes over from the next byte is masked.
///
/// # Safety
/// There are three lines of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn codes_of_span<const AHEAD: usize>(lines: *const u8) -> [__m512i; 4] {
    /// `a & b | c`, bit by bit, of `c`, `a`, `b`.
    const AND_OR: i32 = 0xf8;
    let [first, second, high] = [0, 1, 2].map(|line| {
        let codes = lines.wrapping_add(line * BYTES);
        fetch(codes.cast(), AHEAD);
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(codes.cast()) }
    });
    let low_four = _mm512_set1_epi8(0x0f);
    let high_two = _mm512_set1_epi8(0x30);
    let code = |high, low| {
        let high = _mm512_and_si512(high, high_two);
        _mm512_ternarylogic_epi32::<AND_OR>(high, low, low_four)
    };
    [
        code(_mm512_slli_epi16::<4>(high), first),
        code(_mm512_slli_epi16::<2>(high), _mm512_srli_epi16::<4>(first)),
        code(high, second),
        code(_mm512_srli_epi16::<2>(high), _mm512_srli_epi16::<4>(second)),
    ]
}

#[target_feature(enable = "avx512f")]
fn store(sums: __m512i, out: &mut [i32]) {
    let out = &mut out[..LANES];
    // SAFETY: `out` has room for sixteen numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
}

/// The scores of a block's rows, and by how much each can be wrong.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn scores<const PARTS: usize>(
    parts: &[Part<'_>; PARTS],
    facts: &Facts<'_>,
    at: usize,
) -> (__m512, __m512) {
    let mut score = _mm512_setzero_ps();
    for part in parts {
        let offset = _mm512_set1_epi32(part.bound.offset);
        let dots = _mm512_sub_epi32(load_dots(&part.dots[at..]), offset);
        let scale = _mm512_set1_ps(part.bound.scale);
        score = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scale, score);
    }
    let slack = parts[PARTS - 1].bound;
    let by_length = _mm512_set1_ps(slack.per_length);
    let wrong = _mm512_fmadd_ps(by_length, load(facts.lengths, 0), _mm512_set1_ps(TINY));
    let by_error = _mm512_set1_ps(slack.per_error);
    let wrong = _mm512_fmadd_ps(by_error, load(facts.errors, 0), wrong);
    (_mm512_mul_ps(score, load(facts.scales, 0)), wrong)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
pub(super) fn reaching<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    floor: f32,
) -> (Reaching, usize) {
    let mut reaching = [0; STRETCH / BLOCK];
    let mut count = 0;
    let floor = _mm512_set1_ps(floor);
    for (block, (word, facts)) in reaching.iter_mut().zip(facts.blocks()).enumerate() {
        let (score, wrong) = scores(&parts, &facts, block * BLOCK);
        *word = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_add_ps(score, wrong), floor);
        count += word.count_ones() as usize;
    }
    (reaching, count)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn lowest<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    out: &mut [f32; STRETCH],
) {
    for (block, (out, facts)) in out.chunks_exact_mut(BLOCK).zip(facts.blocks()).enumerate() {
        let (score, wrong) = scores(&parts, &facts, block * BLOCK);
        let least = _mm512_sub_ps(score, wrong);
        // SAFETY: `out` has room for sixteen numbers, and the store needs no alignment.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), least) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn left(row: &[f32], codes: &[i8], scale: f32, out: &mut [f32]) {
    plain::left(row, codes, scale, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn square(row: &[f32]) -> f64 {
    plain::square(row)
}

#[target_feature(enable = "avx512f")]
fn load_dots(from: &[i32]) -> __m512i {
    let some = &from[..LANES];
    // SAFETY: `some` has sixteen numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(some.as_ptr().cast()) }
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
