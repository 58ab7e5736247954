use super::super::half::{Half, Kind};
use super::super::tests::Dice;
use super::*;

const SIZES: [usize; 16] = [1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 257];

/// Numbers with zeros, denormals and sizes far apart among them.
fn odd(dice: &mut Dice, size: usize) -> Vec<f32> {
    (0..size)
        .map(|_| match dice.roll(8) {
            0 => 0.0,
            1 => f32::from_bits(dice.roll(1 << 23) as u32),
            2 => dice.number() * 1e-12,
            _ => dice.number(),
        })
        .collect()
}

#[test]
fn scores_are_right_to_their_rounding_and_the_same_bits_however_they_are_made() {
    let mut dice = Dice(1);
    for size in SIZES {
        for kernel in Kernel::available() {
            let rows: Vec<Vec<f32>> = (0..4).map(|_| odd(&mut dice, size)).collect();
            let query = odd(&mut dice, size);
            let four = [0, 1, 2, 3].map(|row| rows[row].as_slice());
            let four = kernel.dots(four, four, &query);
            for count in [1, 4, 7] {
                let (mut found, all) = (vec![0.0; count], rows.concat().repeat(2));
                kernel.row_dots(&all, &query, &mut found);
                let right = four.iter().cycle();
                let same = |(found, right): (&f32, &f32)| found.to_bits() == right.to_bits();
                assert!(
                    found.iter().zip(right).all(same),
                    "{kernel:?} {size} {count}"
                );
            }
            for (row, score) in rows.iter().zip(four) {
                assert_eq!(score.to_bits(), kernel.dot(row, &query).to_bits());
                let products = row.iter().zip(&query);
                let products: Vec<f64> = products
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .collect();
                let most: f64 = products.iter().map(|product| product.abs()).sum();
                let wrong = (f64::from(score) - products.iter().sum::<f64>()).abs();
                let allowed = size as f64 * f64::from(f32::EPSILON) * most + 1e-35;
                assert!(wrong <= allowed, "{kernel:?} {size}: {wrong}");
            }
        }
    }
}

#[test]
fn dot_products_of_codes_are_those_of_the_portable_loops() {
    let mut dice = Dice(2);
    for size in SIZES {
        let groups = size.div_ceil(GROUP);
        // A whole stretch only where a row is short: these loops are slow without optimisation.
        for blocks in [1, 2, 3, if size < 5 { STRETCH / BLOCK } else { 6 }] {
            let bytes: Vec<u8> = (0..blocks * groups * GROUP * BLOCK)
                .map(|_| dice.roll(256) as u8)
                .collect();
            for kernel in Kernel::available() {
                let levels = kernel.query_levels();
                let mut code = || dice.code(levels) as u8;
                let queries: Vec<Vec<i32>> = (0..QUERIES)
                    .map(|_| {
                        let word = |_| i32::from_le_bytes([code(), code(), code(), code()]);
                        (0..groups).map(word).collect()
                    })
                    .collect();
                let queries: Vec<&[i32]> = queries.iter().map(Vec::as_slice).collect();
                for count in [1, 2, QUERIES] {
                    let mut right = vec![[7; STRETCH]; count];
                    portable::code_dots(&bytes, &queries[..count], &mut right);
                    let mut found = vec![[7; STRETCH]; count];
                    kernel.code_dots(&bytes, &queries[..count], &mut found);
                    assert_eq!(found, right, "{kernel:?} {size} {blocks} {count}");
                }
            }
        }
    }
}

#[test]
fn the_largest_codes_do_not_overflow() {
    for kernel in Kernel::available() {
        for (code, levels) in [
            (255u8, kernel.query_levels()),
            (255, -kernel.query_levels()),
        ] {
            let groups = super::super::MOST_DIMENSIONS / GROUP;
            let block = vec![code; groups * GROUP * BLOCK];
            let word = i32::from_le_bytes([levels as u8; 4]);
            let query = vec![word; groups];
            let mut found = [[0; STRETCH]];
            kernel.code_dots(&block, &[&query], &mut found);
            let right = (groups * GROUP) as i32 * 255 * i32::from(levels);
            assert_eq!(found[0][..BLOCK], [right; BLOCK], "{kernel:?}");
        }
    }
}

#[test]
fn codes_leave_out_no_more_than_they_say() {
    let mut dice = Dice(3);
    for size in SIZES {
        for kernel in Kernel::available() {
            for scale in [1.0, 1e-30, 1e15, 1e-44] {
                let row: Vec<f32> = odd(&mut dice, size).iter().map(|n| n * scale).collect();
                let mut codes = vec![0; size];
                let quantised = kernel.quantise(&row, 127, &mut codes);
                let said = |code: &i8| f64::from(quantised.scale) * f64::from(*code);
                let left: f64 = row
                    .iter()
                    .zip(&codes)
                    .map(|(number, code)| (f64::from(*number) - said(code)).powi(2))
                    .sum();
                let length: f64 = row.iter().map(|number| f64::from(*number).powi(2)).sum();
                let least = f64::from(f32::from_bits(1));
                assert!(f64::from(quantised.error) + least >= left.sqrt());
                assert!(f64::from(quantised.length) + least >= length.sqrt());
                let step = f64::from(quantised.scale) + 2.0 * least;
                assert!(left.sqrt() <= (size as f64).sqrt() * 128.0 * step.max(1e-38));
            }
        }
    }
}

#[test]
fn scores_of_many_are_those_of_the_numbers_their_codes_stand_for() {
    let mut dice = Dice(6);
    for size in [1usize, 4, 5, 63, 64, 65, 100, 128, 200] {
        for (blocks, count) in [(1, 3), (2, 17), (3, 32), (8, 9), (9, 32)] {
            // No more than the blocks: behind them is nothing that may be read.
            let cells = blocks * size.next_multiple_of(GROUP) * BLOCK;
            let mut bytes = Vec::with_capacity(cells);
            bytes.extend((0..cells).map(|_| dice.roll(256) as u8));
            let queries: Vec<Vec<f32>> = (0..count).map(|_| dice.vector(size)).collect();
            let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
            let mut facts = || -> Vec<f32> { dice.vector(blocks * BLOCK) };
            let (scales, under) = (facts(), facts());
            for kernel in Kernel::available() {
                let tiles = Tiles::of(&queries, kernel);
                let mut lanes = vec![Scores([[f32::MIN; BLOCK]; PARTY]); 2];
                let mut found = vec![Scores([[0.0; BLOCK]; PARTY]); blocks];
                let compared = Compared {
                    tiles: &tiles,
                    queries: count,
                    blocks: &bytes,
                    scales: &scales,
                    under: &under,
                    far: blocks > 2,
                };
                kernel.scores(compared, &mut lanes, &mut found);
                for (query, numbers) in queries.iter().enumerate() {
                    let length = f64::from(tiles.lengths[query]);
                    let squares: f64 = numbers.iter().map(|n| f64::from(*n).powi(2)).sum();
                    assert!(length >= squares.sqrt() && length <= 1.01 * squares.sqrt());
                    let mut best = [f32::MIN; 2 * BLOCK];
                    for row in 0..blocks * BLOCK {
                        let code = |at: usize| {
                            let block = row / BLOCK * size.next_multiple_of(GROUP) * BLOCK;
                            let group = block + at / GROUP * GROUP * BLOCK;
                            f64::from(bytes[group + row % BLOCK * GROUP + at % GROUP]) - 128.0
                        };
                        let numbers = numbers.iter().enumerate();
                        let right: f64 = numbers.map(|(at, n)| f64::from(*n) * code(at)).sum();
                        let right = right / length * f64::from(scales[row]);
                        let score = found[row / BLOCK].0[query][row % BLOCK];
                        let wrong = (f64::from(score) - right).abs();
                        // Half a step of the query for each number: its largest is 1 at most, 32512 steps or 127.
                        let halves = if kernel.two_codes() { 60_000.0 } else { 250.0 };
                        let allowed = size as f64 * 128.0 / length / halves + 1e-4;
                        assert!(wrong <= allowed, "{kernel:?} {size} {blocks}: {wrong}");
                        let lane = row % (2 * BLOCK);
                        best[lane] = best[lane].max(score - under[row]);
                    }
                    let lanes = [lanes[0].0[query], lanes[1].0[query]].concat();
                    for (lane, best) in lanes.iter().zip(best) {
                        assert!((lane - best).abs() <= 1e-4 || *lane == best);
                    }
                }
            }
        }
    }
}

#[test]
fn many_queries_keep_the_same_rows_as_candidates() {
    let mut dice = Dice(8);
    let mut scores = vec![Scores([[0.0; BLOCK]; PARTY]); 9];
    for numbers in scores.iter_mut().flat_map(|scores| &mut scores.0) {
        numbers.copy_from_slice(&dice.vector(BLOCK));
    }
    let mut over = [0.0; STRETCH];
    over.fill_with(|| dice.number().abs());
    over[3] = f32::NEG_INFINITY;
    let mut floors: [f32; PARTY] = std::array::from_fn(|_| 2.0 * dice.number());
    floors[..3].copy_from_slice(&[f32::MIN, f32::INFINITY, scores[1].0[2][5] + over[BLOCK + 5]]);
    for kernel in Kernel::available() {
        let mut found = vec![Candidates::default(); PARTY];
        // Twice: what is there already stays.
        for first in [1000, 2000] {
            kernel.collect(&scores, &over, &floors, first, &mut found);
        }
        for (query, found) in found.iter().enumerate() {
            let mosts = scores.iter().flat_map(|scores| scores.0[query]).zip(over);
            let mosts = mosts.map(|(score, over)| score + over).zip(1000..);
            let right: Vec<(f32, u32)> = mosts.filter(|(most, _)| *most >= floors[query]).collect();
            let again = right.iter().map(|(most, row)| (*most, row + 1000));
            let right: Vec<_> = right.iter().copied().chain(again).collect();
            assert_eq!(pairs(found), right, "{kernel:?} {query}");
            check_keep(kernel, found, floors[query] + 0.3);
        }
        assert_eq!((found[0].len(), found[1].len()), (2 * (9 * BLOCK - 1), 0));
        assert!(found[2].rows().contains(&(1000 + 16 + 5)));
    }
}

fn pairs(candidates: &Candidates) -> Vec<(f32, u32)> {
    let rows = candidates.rows().iter().copied();
    candidates.most().iter().copied().zip(rows).collect()
}

fn check_keep(kernel: Kernel, candidates: &Candidates, floor: f32) {
    let mut kept = Candidates::default();
    // What was in it is gone.
    kernel.keep(candidates, f32::MIN, &mut kept);
    kernel.keep(candidates, floor, &mut kept);
    let right = pairs(candidates).into_iter();
    let right: Vec<_> = right.filter(|(most, _)| *most >= floor).collect();
    assert_eq!(pairs(&kept), right, "{kernel:?}");
}

#[test]
fn what_is_about_the_kth_is_reached_by_k_and_not_by_many_more() {
    let mut dice = Dice(10);
    for count in [0usize, 1, 64, 65, 129, 1000, 1023] {
        let values = dice.vector(count);
        for kernel in Kernel::available() {
            for k in [1, 2, 10, 40] {
                let reached = kernel.about_kth(&values, k);
                let reaching = values.iter().filter(|value| **value >= reached).count();
                let right = if k > count {
                    count..=count
                } else {
                    k..=2 * k + 8
                };
                assert!(
                    right.contains(&reaching),
                    "{kernel:?} {count} {k} {reaching}"
                );
            }
        }
    }
}

#[test]
fn the_kth_largest_is_that_of_the_sorted_values() {
    let mut dice = Dice(9);
    for count in [0, 1, 2, 15, 16, 17, 32, 63, 64, 65, 200] {
        let mut values: Vec<f32> = dice.vector(count);
        values.extend_from_within(..count / 3);
        let mut sorted = values.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        for kernel in Kernel::available() {
            assert_eq!(kernel.kth(&values, 0), f32::NEG_INFINITY);
            assert_eq!(kernel.kth(&values, values.len() + 1), f32::NEG_INFINITY);
            for (place, right) in sorted.iter().enumerate() {
                assert_eq!(kernel.kth(&values, place + 1), *right, "{kernel:?} {count}");
            }
        }
    }
}

#[test]
fn squares_are_the_same_bits_from_every_kernel() {
    let mut dice = Dice(7);
    for size in SIZES {
        let row = odd(&mut dice, size);
        let right = Kernel::Portable.square(&row).to_bits();
        for kernel in Kernel::available() {
            assert_eq!(kernel.square(&row).to_bits(), right, "{kernel:?} {size}");
        }
    }
}

#[test]
fn the_same_rows_reach_a_floor() {
    let mut dice = Dice(4);
    let facts =
        |dice: &mut Dice| -> Vec<f32> { (0..STRETCH).map(|_| dice.number().abs()).collect() };
    let (scales, lengths) = (facts(&mut dice), facts(&mut dice));
    let mut errors = facts(&mut dice);
    errors[7] = f32::NEG_INFINITY;
    let facts = Facts {
        scales: &scales,
        errors: &errors,
        lengths: &lengths,
    };
    let mut dots = |_| -> Dots { std::array::from_fn(|_| dice.roll(20_000) as i32 - 10_000) };
    let dots = [0, 1].map(&mut dots);
    let bound = |scale, per_length| Bound {
        scale,
        offset: 77,
        per_error: 0.01,
        per_length,
    };
    let parts = [(&dots[0], bound(1e-3, 0.02)), (&dots[1], bound(1e-5, 1e-4))];
    let parts = parts.map(|(dots, bound)| Part { dots, bound });
    for kernel in Kernel::available() {
        check_reaching(kernel, [parts[0]], facts);
        check_reaching(kernel, parts, facts);
    }
}

fn check_reaching<const PARTS: usize>(kernel: Kernel, parts: [Part<'_>; PARTS], facts: Facts<'_>) {
    let mut lowest = [0.0; STRETCH];
    kernel.lowest(parts, facts, &mut lowest);
    for floor in [f32::NEG_INFINITY, -1.0, 0.0, 0.5, 3.0, 1e9] {
        let (words, count) = kernel.reaching(parts, facts, floor);
        let bits: u32 = words.iter().map(|word| word.count_ones()).sum();
        assert_eq!(count, bits as usize, "{kernel:?}");
        for row in 0..STRETCH {
            let score = parts.map(|part| part.bound.score(part.dots[row], facts.scales[row]));
            let score: f32 = score.iter().sum();
            let last = parts[PARTS - 1].bound;
            let slack = last.slack(facts.errors[row], facts.lengths[row]);
            let (least, most) = (score - slack, score + slack);
            let reaches = words[row / BLOCK] >> (row % BLOCK) & 1 == 1;
            assert!(
                reaches == (most >= floor) || (most - floor).abs() < 1e-5,
                "{kernel:?}"
            );
            assert!(
                least == lowest[row] || (least - lowest[row]).abs() < 1e-5,
                "{kernel:?}"
            );
        }
    }
}

#[test]
fn sixteen_bits_and_signs_are_compared_the_same_way() {
    let mut dice = Dice(5);
    for size in SIZES {
        let (row, query) = (odd(&mut dice, size), odd(&mut dice, size));
        for kind in [Kind::Bfloat16, Kind::Float16] {
            let half = Half::of(kind, size, &row).unwrap();
            let right = half.score(Kernel::Portable, 0, &query);
            for kernel in Kernel::available() {
                let score = half.score(kernel, 0, &query);
                assert!(
                    (score - right).abs() < 1e-4,
                    "{kernel:?} {size} {score} {right}"
                );
            }
        }
        let words = size.div_ceil(64);
        let rows: Vec<u64> = (0..words * WORD_LANES)
            .map(|_| dice.roll(u64::MAX))
            .collect();
        let query: Vec<u64> = (0..words).map(|_| dice.roll(u64::MAX)).collect();
        let right: Vec<u64> = (0..WORD_LANES)
            .map(|lane| {
                let differing = |word: usize| rows[word * WORD_LANES + lane] ^ query[word];
                (0..words)
                    .map(|word| u64::from(differing(word).count_ones()))
                    .sum()
            })
            .collect();
        for kernel in Kernel::available() {
            assert_eq!(kernel.differing(&rows, &query)[..], right);
        }
    }
}

#[test]
fn codes_of_six_bits_are_taken_apart_as_by_the_portable_loops() {
    let mut dice = Dice(9);
    for spans in [1, 2, 5] {
        for blocks in [1, 3, 4, 9] {
            let bytes: Vec<u8> = (0..blocks * spans * SPAN_BYTES)
                .map(|_| dice.roll(256) as u8)
                .collect();
            let mut code = || dice.code(127) as u8;
            let query: Vec<i32> = (0..spans * SPAN / GROUP)
                .map(|_| i32::from_le_bytes([code(), code(), code(), code()]))
                .collect();
            let mut right = [0; STRETCH];
            portable::sketch_dots(&bytes, &query, &mut right);
            assert!(right[..blocks * BLOCK].iter().any(|dot| *dot != 0));
            for kernel in Kernel::available() {
                let mut out = [0; STRETCH];
                kernel.sketch_dots(&bytes, &query, &mut out);
                assert_eq!(out, right, "{kernel:?} {spans} {blocks}");
            }
            #[cfg(target_arch = "x86_64")]
            if Kernel::detect().sketched() {
                // The way of the processors that are not this one's maker's, too.
                let (mut one, mut four) = ([0; STRETCH], [0; STRETCH]);
                // SAFETY: only kernels with AVX-512 have a sketch.
                unsafe { avx512_codes::sketch_dots::<1, 64>(&bytes, &query, &mut one) };
                // SAFETY: as above.
                unsafe { avx512_codes::sketch_dots::<4, 64>(&bytes, &query, &mut four) };
                assert_eq!((one, four), (right, right), "{spans} {blocks}");
            }
        }
    }
}
