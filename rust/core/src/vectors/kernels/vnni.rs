//! Many queries by VNNI: four of them by four blocks of rows are sixteen sums in registers, and eight loads, half of which
//! are spread from one word, for sixteen products of 64 codes: nearly all that the processor can multiply.
//!
//! The sums become scores before they leave the registers.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_load_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_store_ps, _mm512_sub_ps,
};

use super::tiles::{Margins, PARTY, Scores, Tiles, WIDTH};
use super::{BLOCK, GROUP};

/// Queries and blocks that are multiplied together.
const SIDE: usize = 4;
/// Bytes of a group of a block.
const LINE: usize = BLOCK * GROUP;
/// Words of a query that lie together, one for each group.
const WORDS: usize = WIDTH / GROUP;

/// Some blocks, and what is known of their rows.
#[derive(Clone, Copy)]
struct Rows<'a> {
    blocks: &'a [u8],
    scales: &'a [f32],
    under: &'a [f32],
    far: bool,
}

/// What [`super::Kernel::scores`] does, with one code for each number of a query.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn scores(
    blocks: &[u8],
    tiles: &Tiles,
    queries: usize,
    rows: Margins<'_>,
    lanes: &mut [Scores],
    out: &mut [Scores],
) {
    let size = tiles.block_bytes();
    let count = blocks.len() / size;
    let mut at = 0;
    while at < count {
        let side = if at + SIDE <= count { SIDE } else { 1 };
        let some = Rows {
            blocks: &blocks[at * size..][..side * size],
            scales: &rows.scales[at * BLOCK..][..side * BLOCK],
            under: &rows.under[at * BLOCK..][..side * BLOCK],
            far: rows.far,
        };
        for first in (0..queries.min(PARTY)).step_by(SIDE) {
            match side {
                SIDE => multiply::<SIDE>(some, tiles, first, at, lanes, &mut out[at..]),
                _ => multiply::<1>(some, tiles, first, at, lanes, &mut out[at..]),
            }
        }
        at += side;
    }
}

/// The scores of some blocks' rows for four queries from `first` on; `at` is the number of the first block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn multiply<const BLOCKS: usize>(
    rows: Rows<'_>,
    tiles: &Tiles,
    first: usize,
    at: usize,
    lanes: &mut [Scores],
    out: &mut [Scores],
) {
    let [(codes, starts), _] = tiles.halves();
    let size = tiles.block_bytes();
    assert!(rows.blocks.len() == BLOCKS * size && first + SIDE <= PARTY);
    assert!(codes.len() >= size.div_ceil(WORDS * LINE) * WIDTH * PARTY);
    let mut sums = [[_mm512_set1_epi32(0); BLOCKS]; SIDE];
    for (sums, starts) in sums.iter_mut().zip(starts.chunks(BLOCK).skip(first)) {
        *sums = [_mm512_set1_epi32(starts[0]); BLOCKS];
    }
    // Each of the first four times one of the blocks behind these is fetched.
    let fetched = (BLOCKS + first / SIDE) * size;
    let fetched = (rows.far && first / SIDE < BLOCKS).then_some(fetched);
    let mut words = codes.as_ptr().wrapping_add(first * WIDTH).cast::<i32>();
    for place in (0..size).step_by(LINE) {
        let line = rows.blocks.as_ptr().wrapping_add(place);
        if let Some(fetched) = fetched {
            fetch::<_MM_HINT_T1>(line.wrapping_add(fetched));
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
    for (query, sums) in (first..).zip(sums) {
        for (block, sum) in sums.into_iter().enumerate() {
            let lane = (at + block) % lanes.len();
            let (lanes, out) = (&mut lanes[lane].0[query], &mut out[block].0[query]);
            let facts = block * BLOCK;
            let (scales, under) = (&rows.scales[facts..], &rows.under[facts..]);
            settle(sum, tiles.factors[query], scales, under, lanes, out);
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
    scales: &[f32],
    under: &[f32],
    lanes: &mut [f32; BLOCK],
    out: &mut [f32; BLOCK],
) {
    let (scales, under) = (&scales[..BLOCK], &under[..BLOCK]);
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
