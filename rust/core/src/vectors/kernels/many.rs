//! What is done for many queries at once beside multiplying: making their codes, turning a block's sums into scores, and
//! comparing these with each query's floor.

use super::tiles::{self, Halved, Margins, PARTY, Scores, Sums, Tiles, WIDTH};
use super::{BLOCK, plain};

/// Of so many values at most each is compared with all.
pub(super) const FEW: usize = 64;
/// More than float32 can lose of a length while all its squares are added up.
pub(super) const UP: f32 = 1.002;

/// A query as numbers of 16 bits, the high and the low byte of each: sixty-four bytes side by side, then as many for each
/// of the party's other queries.
pub(super) fn halve(query: &[f32], levels: f32, high: &mut [u8], low: &mut [u8]) -> Halved {
    let largest = query
        .iter()
        .fold(0f32, |most, number| most.max(number.abs()));
    let squares: f32 = query.iter().map(|number| number * number).sum();
    let (scale, by) = plain::step(largest, levels);
    let steps = high
        .chunks_mut(PARTY * WIDTH)
        .zip(low.chunks_mut(PARTY * WIDTH));
    let mut halved = Halved {
        scale,
        length: squares.sqrt() * UP,
        ..Halved::default()
    };
    for (numbers, (high, low)) in query.chunks(WIDTH).zip(steps) {
        for ((number, high), low) in numbers.iter().zip(high).zip(low) {
            let number = (number * by).round_ties_even() as i32;
            let above = (number + 128) >> 8;
            halved.numbers += number;
            halved.highs += above;
            (*high, *low) = (above as u8, number as u8);
        }
    }
    halved
}

/// Turns a block's sums of both halves into scores, and keeps in `lanes` the most that a row of each place in a block
/// scores at least.
#[inline(always)]
pub(super) fn settle(
    [high, low]: [&Sums; 2],
    factors: &[f32],
    scales: &[f32; BLOCK],
    under: &[f32; BLOCK],
    lanes: &mut Scores,
    out: &mut Scores,
) {
    for (query, factor) in factors.iter().enumerate().take(PARTY) {
        let (high, low) = (&high[query], &low[query]);
        let (lanes, out) = (&mut lanes.0[query], &mut out.0[query]);
        for row in 0..BLOCK {
            let sum = high[row] as f32 * 256.0 + low[row] as f32;
            let score = sum * factor * scales[row];
            out[row] = score;
            let least = score - under[row];
            lanes[row] = if least > lanes[row] {
                least
            } else {
                lanes[row]
            };
        }
    }
}

/// Which rows of a block may reach each query's floor, and for which queries there are any.
#[inline(always)]
pub(super) fn reaching(
    scores: &Scores,
    over: &[f32; BLOCK],
    floors: &[f32],
    out: &mut [u16; PARTY],
) -> u32 {
    let mut any = 0;
    for (query, floor) in floors.iter().enumerate().take(PARTY) {
        let mut word = 0;
        for (row, (score, over)) in scores.0[query].iter().zip(over).enumerate() {
            word |= u16::from(score + over >= *floor) << row;
        }
        out[query] = word;
        any |= u32::from(word != 0) << query;
    }
    any
}

/// What [`super::Kernel::scores`] does, without instructions for tiles.
pub(super) fn scores(
    blocks: &[u8],
    tiles: &Tiles,
    queries: usize,
    rows: Margins<'_>,
    lanes: &mut [Scores],
    out: &mut [Scores],
) {
    let factors = &tiles.factors[..queries.min(PARTY)];
    let (scales, under) = (rows.scales.as_chunks().0, rows.under.as_chunks().0);
    let mut sums = [[[0; BLOCK]; PARTY]; 2];
    for (at, block) in blocks.chunks_exact(tiles.block_bytes()).enumerate() {
        for (half, sums) in tiles.halves().into_iter().zip(&mut sums) {
            tiles::sums(block, half, sums);
        }
        let [high, low] = &sums;
        let lanes = &mut lanes[at % lanes.len()];
        settle(
            [high, low],
            factors,
            &scales[at],
            &under[at],
            lanes,
            &mut out[at],
        );
    }
}

/// The `k`-th largest of some values.
pub(super) fn kth(values: &[f32], k: usize) -> f32 {
    if k == 0 || k > values.len() {
        return f32::NEG_INFINITY;
    }
    let mut values = values.to_vec();
    let by_size = |a: &f32, b: &f32| b.total_cmp(a);
    *values.select_nth_unstable_by(k - 1, by_size).1
}
