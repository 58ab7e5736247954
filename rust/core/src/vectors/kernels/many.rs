//! What is done for many queries at once beside multiplying: making their codes, turning a block's sums into scores, and
//! comparing these with each query's floor.

use super::candidates::Candidates;
use super::tiles::{self, Compared, Known, LEVELS, PARTY, Scores, Sums, WIDTH};
use super::{BLOCK, STRETCH, plain};

/// Of so many values at most each is compared with all.
pub(super) const FEW: usize = 64;

/// A query as numbers of 16 bits, the high and the low byte of each: sixty-four bytes side by side, then as many for each
/// of the party's other queries.
pub(super) fn halve(query: &[f32], high: &mut [u8], low: &mut [u8]) -> Known {
    let largest = query
        .iter()
        .fold(0f32, |most, number| most.max(number.abs()));
    let squares: f32 = query.iter().map(|number| number * number).sum();
    let (scale, by) = plain::step(largest, LEVELS);
    let steps = high
        .chunks_mut(PARTY * WIDTH)
        .zip(low.chunks_mut(PARTY * WIDTH));
    let (mut highs, mut all) = (0, 0);
    for (numbers, (high, low)) in query.chunks(WIDTH).zip(steps) {
        for ((number, high), low) in numbers.iter().zip(high).zip(low) {
            let number = (number * by).round_ties_even() as i32;
            let above = (number + 128) >> 8;
            all += number;
            highs += above;
            (*high, *low) = (above as u8, number as u8);
        }
    }
    Known::of_two(query.len(), scale, squares, highs, all)
}

/// Turns a block's sums of both halves into scores, and keeps in `lanes` the most that a row of each place in a block
/// scores at least.
#[inline(always)]
pub(super) fn settle(
    [high, low]: [&Sums; 2],
    factors: &[f32],
    [scales, under]: [&[f32; BLOCK]; 2],
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

/// What [`super::Kernel::collect`] does.
pub(super) fn collect(
    scores: &[Scores],
    over: &[f32; STRETCH],
    floors: &[f32; PARTY],
    first: u32,
    out: &mut [Candidates],
) {
    for (query, (floor, candidates)) in floors.iter().zip(out).enumerate() {
        let scores = scores.iter().flat_map(|scores| scores.0[query]);
        for ((score, over), row) in scores.zip(over).zip(first..) {
            if score + over >= *floor {
                candidates.push(score + over, row);
            }
        }
    }
}

/// What [`super::Kernel::keep`] does.
pub(super) fn keep(candidates: &Candidates, floor: f32, out: &mut Candidates) {
    for (most, row) in candidates.most().iter().zip(candidates.rows()) {
        if *most >= floor {
            out.push(*most, *row);
        }
    }
}

/// What [`super::Kernel::scores`] does, without instructions for tiles.
pub(super) fn scores(compared: Compared<'_>, lanes: &mut [Scores], out: &mut [Scores]) {
    let mut sums = [[[0; BLOCK]; PARTY]; 2];
    for (block, out) in (0..compared.count()).zip(out) {
        let codes = compared.codes(block, 1);
        for (half, sums) in compared.tiles.halves().into_iter().zip(&mut sums) {
            tiles::sums(codes, half, sums);
        }
        let [high, low] = &sums;
        let lanes = &mut lanes[block % lanes.len()];
        let facts = compared.facts(block);
        settle([high, low], compared.factors(), facts, lanes, out);
    }
}

/// What [`super::Kernel::about_kth`] folds: the largest of each two, as often as leaves several times as many as `k`.
pub(super) fn folded(values: &[f32], k: usize) -> Vec<f32> {
    const ENOUGH: usize = 4;
    let mut values = values.to_vec();
    while values.len() > FEW && values.len() / 2 >= ENOUGH * k {
        let half = values.len().div_ceil(2);
        let (low, high) = values.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = if *high > *low { *high } else { *low };
        }
        values.truncate(half);
    }
    values
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
