//! AVX-512: codes compared with those of a query, by VNNI's four products of bytes in one addition.

use std::arch::x86_64::{
    __m512, __m512i, _CMP_GE_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
    _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi16, _mm512_srli_epi16,
    _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_sub_ps,
    _mm512_ternarylogic_epi32,
};

use super::avx512::{LANES, fetch, load};
use super::bounds::TINY;
use super::{BLOCK, Dots, Facts, Part, Reaching, SPAN_BYTES, STRETCH};

/// Bytes of a register, and of a group of a block.
const BYTES: usize = 64;
/// Bytes from what is read to what is fetched, of codes, of which four streams are read side by side (measured: next to nothing in the caches, a tenth less
/// time beyond them than with the next four blocks).
pub(super) const CODES_AHEAD: usize = 1024;

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

#[target_feature(enable = "avx512f")]
fn load_dots(from: &[i32]) -> __m512i {
    let some = &from[..LANES];
    // SAFETY: `some` has sixteen numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(some.as_ptr().cast()) }
}
