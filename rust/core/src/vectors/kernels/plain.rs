//! Loops that the compiler turns into good instructions by itself: compiled once for each kernel, with its features.

use super::super::half::Kind;
use super::{BLOCK, Facts, Part, Reaching, STRETCH};

/// Rows whose bits are compared side by side.
pub(in super::super) const WORD_LANES: usize = 8;

/// A row as codes: about `scale` times the code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Quantised {
    pub scale: f32,
    /// At least the length of what the codes leave out.
    pub error: f32,
    /// At least the length of the row, and of what the codes say.
    pub length: f32,
}

/// The scores of a block's rows, and by how much each can be wrong.
#[inline(always)]
fn scores<const PARTS: usize>(
    parts: &[Part<'_>; PARTS],
    facts: &Facts<'_>,
    at: usize,
) -> [(f32, f32); BLOCK] {
    let mut scores = [(0f32, 0f32); BLOCK];
    for (row, (score, slack)) in scores.iter_mut().enumerate() {
        for part in parts {
            *score += part.bound.score(part.dots[at + row], facts.scales[row]);
            *slack = part.bound.slack(facts.errors[row], facts.lengths[row]);
        }
    }
    scores
}

#[inline(always)]
pub(super) fn reaching<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    floor: f32,
) -> (Reaching, usize) {
    let mut reaching = [0; STRETCH / BLOCK];
    let mut count = 0;
    for (block, (word, facts)) in reaching.iter_mut().zip(facts.blocks()).enumerate() {
        let scores = scores(&parts, &facts, block * BLOCK);
        for (row, (score, slack)) in scores.iter().enumerate() {
            *word |= u16::from(score + slack >= floor) << row;
        }
        count += word.count_ones() as usize;
    }
    (reaching, count)
}

#[inline(always)]
pub(super) fn lowest<const PARTS: usize>(
    parts: [Part<'_>; PARTS],
    facts: Facts<'_>,
    out: &mut [f32; STRETCH],
) {
    for (block, (out, facts)) in out.chunks_exact_mut(BLOCK).zip(facts.blocks()).enumerate() {
        let scores = scores(&parts, &facts, block * BLOCK);
        for (out, (score, slack)) in out.iter_mut().zip(scores) {
            *out = score - slack;
        }
    }
}

#[inline(always)]
pub(super) fn left(row: &[f32], codes: &[i8], scale: f32, out: &mut [f32]) {
    for ((left, number), code) in out.iter_mut().zip(row).zip(codes) {
        *left = (f64::from(*number) - f64::from(scale) * f64::from(*code)) as f32;
    }
}

/// In eight sums of float64 without fused products, so that it does not matter which instructions add them.
#[inline(always)]
pub(super) fn square(row: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    let (lanes, tail) = row.as_chunks::<LANES>();
    for numbers in lanes {
        for lane in 0..LANES {
            sums[lane] += f64::from(numbers[lane]) * f64::from(numbers[lane]);
        }
    }
    for (sum, number) in sums.iter_mut().zip(tail) {
        *sum += f64::from(*number) * f64::from(*number);
    }
    sums.iter().sum()
}

/// In bits that are float32's; those of binary16 have another exponent, which one multiplication sets right.
#[inline(always)]
pub(super) fn half_dot(kind: Kind, row: &[u16], query: &[f32]) -> f32 {
    const LANES: usize = 16;
    const UP: f32 = (1u128 << 112) as f32;
    let number = |code: u16| match kind {
        Kind::Bfloat16 => f32::from_bits(u32::from(code) << 16),
        Kind::Float16 => {
            let sign = u32::from(code & 0x8000) << 16;
            f32::from_bits(sign | u32::from(code & 0x7fff) << 13) * UP
        }
    };
    let mut sums = [0f32; LANES];
    let (rows, queries) = (row.chunks_exact(LANES), query.chunks_exact(LANES));
    for (sum, (code, b)) in sums
        .iter_mut()
        .zip(rows.remainder().iter().zip(queries.remainder()))
    {
        *sum = number(*code) * b;
    }
    for (codes, b) in rows.zip(queries) {
        for lane in 0..LANES {
            sums[lane] += number(codes[lane]) * b[lane];
        }
    }
    sums.iter().sum()
}

#[inline(always)]
pub(super) fn differing(rows: &[u64], query: &[u64]) -> [u64; WORD_LANES] {
    let mut sums = [0u64; WORD_LANES];
    for (words, asked) in rows.chunks_exact(WORD_LANES).zip(query) {
        for lane in 0..WORD_LANES {
            sums[lane] += u64::from((words[lane] ^ asked).count_ones());
        }
    }
    sums
}

#[inline(always)]
pub(super) fn quantise(row: &[f32], levels: i8, out: &mut [i8]) -> Quantised {
    /// Added to a small number, it leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let (scale, steps) = step(largest(row), f32::from(levels));
    for (code, number) in out.iter_mut().zip(row) {
        *code = (number * steps + ROUND).to_bits() as u8 as i8;
    }
    quantised(scale, squares(row, out, scale))
}

/// What a code of 1 stands for where `most` is the largest number, and by what a number is multiplied to get its code.
#[inline(always)]
pub(super) fn step(most: f32, levels: f32) -> (f32, f32) {
    // A step of 0 (all zeros, or all but) leaves everything to the error.
    let scale = most / levels;
    let steps = if scale > 0.0 { levels / most } else { 0.0 };
    let steps = if steps.is_finite() { steps } else { 0.0 };
    (if steps > 0.0 { scale } else { 0.0 }, steps)
}

/// From the squared lengths of what the codes leave out, of the row, and of what the codes say.
#[inline(always)]
pub(super) fn quantised(scale: f32, squares: [f64; 3]) -> Quantised {
    const UP: f64 = 1.000_001;
    let up = |squares: f64| (squares.sqrt() * UP) as f32;
    Quantised {
        scale,
        error: up(squares[0]),
        length: up(squares[1].max(squares[2])),
    }
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut most = [0f32; LANES];
    let lanes = row.chunks_exact(LANES);
    let tail = lanes.remainder();
    for numbers in lanes {
        for lane in 0..LANES {
            let number = numbers[lane].abs();
            most[lane] = if number > most[lane] {
                number
            } else {
                most[lane]
            };
        }
    }
    most.iter()
        .chain(tail)
        .fold(0f32, |most, number| most.max(number.abs()))
}

/// The squared lengths of what the codes leave out, of the row, and of what the codes say; in float64 nothing of that
/// is rounded away.
#[inline(always)]
fn squares(row: &[f32], codes: &[i8], scale: f32) -> [f64; 3] {
    const LANES: usize = 8;
    let mut sums = [[0f64; LANES]; 3];
    let ((rows, numbers), (all, rest)) = (row.as_chunks(), codes.as_chunks());
    for (numbers, codes) in rows.iter().zip(all) {
        add_squares(&mut sums, numbers, codes, scale);
    }
    let (mut last, mut last_codes) = ([0f32; LANES], [0i8; LANES]);
    last[..numbers.len()].copy_from_slice(numbers);
    last_codes[..rest.len()].copy_from_slice(rest);
    add_squares(&mut sums, &last, &last_codes, scale);
    sums.map(|lanes| lanes.iter().sum())
}

/// A function and not a closure: a closure would be compiled without the instructions of its kernel.
#[inline(always)]
fn add_squares<const LANES: usize>(
    sums: &mut [[f64; LANES]; 3],
    numbers: &[f32; LANES],
    codes: &[i8; LANES],
    scale: f32,
) {
    let [left, length, said] = sums;
    for lane in 0..LANES {
        let number = f64::from(numbers[lane]);
        let says = f64::from(scale) * f64::from(codes[lane]);
        left[lane] += (number - says) * (number - says);
        length[lane] += number * number;
        said[lane] += says * says;
    }
}
