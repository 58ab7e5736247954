//! Many queries by VNNI: eight of them by two blocks of rows are sixteen sums in registers, and ten loads, eight of which
//! are spread from one word, for sixteen products of 64 codes: nearly all that the processor can multiply. Rather two blocks
//! than four, because they come from the second cache or from beyond, once for each eight queries.
//!
//! The sums become scores before they leave the registers.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_load_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_store_ps, _mm512_sub_ps,
};

use super::tiles::{Compared, PARTY, Scores, WIDTH};
use super::{BLOCK, GROUP};

/// Bytes of a group of a block.
const LINE: usize = BLOCK * GROUP;
/// Words of a query that lie together, one for each group.
const WORDS: usize = WIDTH / GROUP;

/// What [`super::Kernel::scores`] does, with one code for each number of a query.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn scores(compared: Compared<'_>, lanes: &mut [Scores], out: &mut [Scores]) {
    match compared.queries {
        ..=4 => by::<4, 4>(compared, lanes, out),
        _ => by::<8, 2>(compared, lanes, out),
    }
}

/// So many queries by so many blocks at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn by<const QUERIES: usize, const BLOCKS: usize>(
    compared: Compared<'_>,
    lanes: &mut [Scores],
    out: &mut [Scores],
) {
    let (mut at, count) = (0, compared.count());
    while at < count {
        let whole = at + BLOCKS <= count;
        for first in (0..compared.queries.min(PARTY)).step_by(QUERIES) {
            match whole {
                true => multiply::<QUERIES, BLOCKS>(compared, first, at, lanes, out),
                false => multiply::<QUERIES, 1>(compared, first, at, lanes, out),
            }
        }
        at += if whole { BLOCKS } else { 1 };
    }
}

/// The scores of some blocks' rows, from block `at` on, for some queries from `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn multiply<const QUERIES: usize, const BLOCKS: usize>(
    compared: Compared<'_>,
    first: usize,
    at: usize,
    lanes: &mut [Scores],
    out: &mut [Scores],
) {
    let tiles = compared.tiles;
    let [(codes, starts), _] = tiles.halves();
    let size = tiles.block_bytes();
    let blocks = compared.codes(at, BLOCKS);
    assert!(blocks.len() == BLOCKS * size && first + QUERIES <= PARTY);
    assert!(codes.len() >= size.div_ceil(WORDS * LINE) * WIDTH * PARTY);
    let mut sums = [[_mm512_set1_epi32(0); BLOCKS]; QUERIES];
    for (sums, starts) in sums.iter_mut().zip(starts.chunks(BLOCK).skip(first)) {
        *sums = [_mm512_set1_epi32(starts[0]); BLOCKS];
    }
    // The blocks behind these are fetched, evenly: half a block for each eight queries of a whole party, else a block.
    let turns = compared.queries.min(PARTY).div_ceil(QUERIES);
    let apart = if turns < 2 * BLOCKS { LINE } else { LINE / 2 };
    let fetched = first / QUERIES * (size * apart / LINE);
    let mut fetched = (compared.far && fetched < BLOCKS * size)
        .then_some(blocks.as_ptr().wrapping_add(BLOCKS * size + fetched));
    let mut words = codes.as_ptr().wrapping_add(first * WIDTH).cast::<i32>();
    for place in (0..size).step_by(LINE) {
        let line = blocks.as_ptr().wrapping_add(place);
        if let Some(fetched) = &mut fetched {
            fetch::<_MM_HINT_T1>(*fetched);
            *fetched = fetched.wrapping_add(apart);
        }
        let mut cells = [_mm512_set1_epi32(0); BLOCKS];
        for (block, cells) in cells.iter_mut().enumerate() {
            // SAFETY: every block has 64 bytes for each group.
            *cells = unsafe { _mm512_loadu_si512(line.wrapping_add(block * size).cast()) };
        }
        for (query, sums) in sums.iter_mut().enumerate() {
            // SAFETY: there is a word of each of the party's queries for each group.
            let word = unsafe { *words.wrapping_add(query * WORDS) };
            let word = _mm512_set1_epi32(word);
            for (sum, cells) in sums.iter_mut().zip(cells) {
                *sum = _mm512_dpbusd_epi32(*sum, cells, word);
            }
        }
        let step = (place / LINE + 1).is_multiple_of(WORDS);
        let next = if step { 1 + (PARTY - 1) * WORDS } else { 1 };
        words = words.wrapping_add(next);
    }
    for (block, out) in out[at..][..BLOCKS].iter_mut().enumerate() {
        let lanes = &mut lanes[(at + block) % lanes.len()];
        let facts = compared.facts(at + block);
        for (query, sums) in (first..).zip(&sums) {
            let (lanes, out) = (&mut lanes.0[query], &mut out.0[query]);
            settle(sums[block], tiles.factors[query], facts, lanes, out);
        }
    }
}

#[inline(always)]
fn fetch<const HINT: i32>(address: *const u8) {
    // SAFETY: a prefetch is a hint: an address that is not mapped, or not ours, has no effect.
    unsafe { _mm_prefetch::<HINT>(address.cast()) };
}

/// Turns sums into scores, and keeps in `lanes` the most that a row of each place scores at least.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn settle(
    sums: __m512i,
    factor: f32,
    [scales, under]: [&[f32; BLOCK]; 2],
    lanes: &mut [f32; BLOCK],
    out: &mut [f32; BLOCK],
) {
    // SAFETY: there are sixteen numbers, and the load needs no alignment.
    let scales = unsafe { _mm512_loadu_ps(scales.as_ptr()) };
    // SAFETY: as above.
    let under = unsafe { _mm512_loadu_ps(under.as_ptr()) };
    let score = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(factor));
    let score = _mm512_mul_ps(score, scales);
    // SAFETY: `Scores` begin at a line of the cache, and sixteen numbers are a line.
    unsafe { _mm512_store_ps(out.as_mut_ptr(), score) };
    let least = _mm512_sub_ps(score, under);
    // SAFETY: as above.
    let most = _mm512_max_ps(least, unsafe { _mm512_load_ps(lanes.as_ptr()) });
    // SAFETY: as above.
    unsafe { _mm512_store_ps(lanes.as_mut_ptr(), most) };
}
