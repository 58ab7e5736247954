//! AVX-512: sixteen numbers at a time, and VNNI's four products of bytes in one addition.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256,
    _mm512_add_epi32, _mm512_add_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
    _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_reduce_add_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_storeu_si512, _mm512_sub_epi32,
};

use super::super::half::Kind;
use super::{BLOCK, Bound, Facts, QUERIES, Quantised, Reaching, STRETCH, TINY, WORD_LANES, plain};

const LANES: usize = 16;
const BYTES: usize = 64;
/// Bytes from what is read to what is fetched, where one row or block is read after the other (measured: a tenth less
/// time than with 4 KiB).
const AHEAD: usize = 16384;
/// Four rows side by side are more streams than the processor follows by itself: the next four are fetched meanwhile.
const FARTHEST: usize = 32 * 1024;

/// The query is loaded once for all rows; two sums a row hide the latency of FMA.
#[target_feature(enable = "avx512f")]
pub(super) fn dots<const ROWS: usize>(rows: [&[f32]; ROWS], query: &[f32]) -> [f32; ROWS] {
    let length = query.len();
    let rows = rows.map(|row| &row[..length]);
    let ahead = (ROWS * length * size_of::<f32>()).min(FARTHEST);
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let mut at = 0;
    while at + 2 * LANES <= length {
        let (low, high) = (load(query, at), load(query, at + LANES));
        for (row, sum) in rows.iter().zip(&mut sums) {
            fetch(row[at..].as_ptr().cast(), ahead);
            fetch(row[at + LANES..].as_ptr().cast(), ahead);
            sum[0] = _mm512_fmadd_ps(load(row, at), low, sum[0]);
            sum[1] = _mm512_fmadd_ps(load(row, at + LANES), high, sum[1]);
        }
        at += 2 * LANES;
    }
    let mut which = 0;
    while at < length {
        let low = load_tail(query, at);
        for (row, sum) in rows.iter().zip(&mut sums) {
            sum[which] = _mm512_fmadd_ps(load_tail(row, at), low, sum[which]);
        }
        which = 1;
        at += LANES;
    }
    sums.map(|sum| _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1])))
}

#[target_feature(enable = "avx512f")]
fn load(from: &[f32], at: usize) -> __m512 {
    let some = &from[at..at + LANES];
    // SAFETY: `some` has sixteen numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(some.as_ptr()) }
}

/// What is left from `at` on, sixteen numbers at most, then zeros.
#[target_feature(enable = "avx512f")]
fn load_tail(from: &[f32], at: usize) -> __m512 {
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn code_dots(blocks: &[u8], queries: &[&[i32]], out: &mut [[i32; STRETCH]]) {
    if let Ok(queries) = <[&[i32]; QUERIES]>::try_from(queries) {
        return many(blocks, queries, out);
    }
    for (query, out) in queries.iter().zip(out) {
        let blocks = blocks.chunks_exact(query.len() * BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(BLOCK)) {
            store(one(block, query), out);
        }
    }
}

/// One block and one query: four sums, because an addition waits for the one before it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn one(block: &[u8], query: &[i32]) -> __m512i {
    let mut sums = [_mm512_setzero_si512(); 4];
    let (groups, words) = (block.chunks_exact(4 * BYTES), query.chunks_exact(4));
    let tail = groups.remainder().chunks_exact(BYTES);
    for ((group, word), sum) in tail.zip(words.remainder()).zip(&mut sums) {
        *sum = _mm512_dpbusd_epi32(*sum, load_codes(group), _mm512_set1_epi32(*word));
    }
    for (group, words) in groups.zip(words) {
        for part in 0..4 {
            let group = &group[part * BYTES..(part + 1) * BYTES];
            fetch(group.as_ptr().cast(), AHEAD);
            let word = _mm512_set1_epi32(words[part]);
            sums[part] = _mm512_dpbusd_epi32(sums[part], load_codes(group), word);
        }
    }
    let low = _mm512_add_epi32(sums[0], sums[1]);
    _mm512_add_epi32(low, _mm512_add_epi32(sums[2], sums[3]))
}

/// Eight queries, two blocks at a time: sixteen sums that stay in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn many(blocks: &[u8], queries: [&[i32]; QUERIES], out: &mut [[i32; STRETCH]]) {
    let size = queries[0].len() * BYTES;
    for (number, pair) in blocks.chunks(2 * size).enumerate() {
        let at = 2 * number * BLOCK;
        if pair.len() < 2 * size {
            for (sums, out) in tile::<1>([pair], queries).iter().zip(&mut *out) {
                store(sums[0], &mut out[at..at + BLOCK]);
            }
            return;
        }
        let (first, second) = pair.split_at(size);
        for (sums, out) in tile::<2>([first, second], queries).iter().zip(&mut *out) {
            store(sums[0], &mut out[at..at + BLOCK]);
            store(sums[1], &mut out[at + BLOCK..at + 2 * BLOCK]);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn tile<const BLOCKS: usize>(
    blocks: [&[u8]; BLOCKS],
    queries: [&[i32]; QUERIES],
) -> [[__m512i; BLOCKS]; QUERIES] {
    let groups = queries[0].len();
    let ahead = BLOCKS * groups * BYTES;
    let blocks = blocks.map(|block| &block[..groups * BYTES]);
    let queries = queries.map(|query| &query[..groups]);
    let mut sums = [[_mm512_setzero_si512(); BLOCKS]; QUERIES];
    for group in 0..groups {
        let codes = blocks.map(|block| {
            let codes = block.as_ptr().wrapping_add(group * BYTES);
            fetch(codes.cast(), ahead);
            // SAFETY: every block has 64 bytes for each group.
            unsafe { _mm512_loadu_si512(codes.cast()) }
        });
        for (query, sums) in queries.iter().zip(&mut sums) {
            // SAFETY: every query has a word for each group. (Sixteen checks here would cost a quarter of the time.)
            let word = _mm512_set1_epi32(*unsafe { query.get_unchecked(group) });
            for (codes, sum) in codes.iter().zip(sums) {
                *sum = _mm512_dpbusd_epi32(*sum, *codes, word);
            }
        }
    }
    sums
}

#[target_feature(enable = "avx512f")]
fn load_codes(from: &[u8]) -> __m512i {
    let some = &from[..BYTES];
    // SAFETY: `some` has 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(some.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(sums: __m512i, out: &mut [i32]) {
    let out = &mut out[..LANES];
    // SAFETY: `out` has room for sixteen numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn reaching(dots: &[i32], facts: Facts<'_>, bound: &Bound, floor: f32) -> Reaching {
    let mut reaching = [0; STRETCH / BLOCK];
    let facts = facts.blocks().zip(dots.chunks_exact(BLOCK));
    let (scale, offset) = (_mm512_set1_ps(bound.scale), _mm512_set1_epi32(bound.offset));
    let (by_length, tiny) = (_mm512_set1_ps(bound.per_length), _mm512_set1_ps(TINY));
    let (by_error, floor) = (_mm512_set1_ps(bound.per_error), _mm512_set1_ps(floor));
    for (word, (facts, dots)) in reaching.iter_mut().zip(facts) {
        let dots = _mm512_cvtepi32_ps(_mm512_sub_epi32(load_dots(dots), offset));
        let slack = _mm512_fmadd_ps(by_length, load(facts.lengths, 0), tiny);
        let slack = _mm512_fmadd_ps(by_error, load(facts.errors, 0), slack);
        let score = _mm512_mul_ps(dots, scale);
        let most = _mm512_fmadd_ps(score, load(facts.scales, 0), slack);
        *word = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(most, floor);
    }
    reaching
}

#[target_feature(enable = "avx512f")]
fn load_dots(from: &[i32]) -> __m512i {
    let some = &from[..LANES];
    // SAFETY: `some` has sixteen numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(some.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn quantise(row: &[f32], levels: i8, out: &mut [i8]) -> Quantised {
    plain::quantise(row, levels, out)
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
