use super::super::tests::{Dice, EXACT, HARD, bytes, index_of};
use super::super::{FirstPass, Metric, Search};
use super::*;

#[test]
fn a_batch_is_its_queries_one_by_one() {
    let mut dice = Dice(13);
    let mut rows: Vec<Vec<f32>> = (0..1000).map(|_| dice.vector(40)).collect();
    rows.extend((0..500).map(|_| vec![0.5; 40]));
    for kernel in Kernel::available() {
        let index = index_of(kernel, Metric::Cosine, &rows);
        for count in [0, 1, 2, 3, 7, 8, 9, 20] {
            let mut queries: Vec<Vec<f32>> = (0..count).map(|_| dice.vector(40)).collect();
            if let Some(last) = queries.last_mut() {
                *last = vec![0.5; 40];
            }
            for first_pass in [FirstPass::Exact, FirstPass::Certified, FirstPass::Int8] {
                let search = Search {
                    first_pass,
                    ..EXACT
                };
                let one = |query: &Vec<f32>| index.search_with(&bytes(query), &search).unwrap();
                let found = index
                    .search_batch(&bytes(&queries.concat()), &search)
                    .unwrap();
                assert_eq!(found, queries.iter().map(one).collect::<Vec<_>>());
            }
        }
        assert!(index.search_batch(&[0; 7], &EXACT).is_err());
    }
}

#[test]
fn a_batch_finds_what_each_of_its_queries_finds() {
    let mut dice = Dice(17);
    // More rows than one stretch has, so that a floor is carried on.
    let count = STRETCH + 300;
    for (name, make) in HARD {
        let rows: Vec<Vec<f32>> = (0..count).map(|n| make(&mut dice, n, 12)).collect();
        for kernel in Kernel::available() {
            let index = index_of(kernel, Metric::Dot, &rows);
            let queries: Vec<u8> = (0..33)
                .flat_map(|n| bytes(&make(&mut dice, n, 12)))
                .collect();
            let first_pass = FirstPass::Certified;
            let certified = Search {
                first_pass,
                ..EXACT
            };
            for some in [2, 3, 9, 33] {
                let queries = &queries[..48 * some];
                let right = index.search_batch(queries, &EXACT).unwrap();
                let found = index.search_batch(queries, &certified).unwrap();
                assert_eq!(found, right, "{name} {kernel:?} {some}");
            }
        }
    }
}

#[test]
fn scores_by_tiles_are_no_more_wrong_than_they_say() {
    let mut dice = Dice(19);
    let mut tightest = 0f64;
    for (name, make) in HARD {
        for size in [1, 3, 17, 70] {
            let rows: Vec<Vec<f32>> = (0..48).map(|n| make(&mut dice, n, size)).collect();
            let mut queries: Vec<Vec<f32>> = (0..8).map(|n| make(&mut dice, n, size)).collect();
            queries[0] = rows[7].clone();
            // Its codes leave out more than those of the others, which have slack to spare then.
            queries[1][0] = 1e4;
            for kernel in Kernel::available() {
                let index = index_of(kernel, Metric::Dot, &rows);
                let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
                let tiles = Tiles::of(&queries, kernel);
                let facts = index.codes.facts(0, rows.len());
                let compared = Compared {
                    tiles: &tiles,
                    queries: 8,
                    blocks: index.codes.blocks(0, rows.len()),
                    scales: facts.scales,
                    under: &[0.0; 48],
                    far: size > 16,
                };
                let mut lanes = [Scores([[f32::MIN; BLOCK]; PARTY])];
                let mut found = [Scores([[0.0; BLOCK]; PARTY]); 3];
                kernel.scores(compared, &mut lanes, &mut found);
                for (number, query) in queries.iter().enumerate() {
                    let length = f64::from(tiles.lengths[number]);
                    for (row, numbers) in rows.iter().enumerate().filter(|_| length > 0.0) {
                        let right = f64::from(kernel.dot(numbers, query)) / length;
                        let score = f64::from(found[row / BLOCK].0[number][row % BLOCK]);
                        let slack = tiles.slack(facts.errors[row], facts.lengths[row]);
                        let slack = f64::from(slack - tiles.spare(number) * facts.lengths[row]);
                        let wrong = (right - score).abs();
                        assert!(wrong <= slack, "{name} {kernel:?} {size}: {wrong} {slack}");
                        tightest = tightest.max(wrong / slack);
                    }
                }
            }
        }
    }
    // It is a bound that is met, not one that holds because it is far away.
    assert!(tightest > 0.5, "{tightest}");
}

/// Also without tiles: the loops are then plain ones.
#[test]
fn a_party_by_tiles_finds_what_a_plain_scan_finds() {
    let mut dice = Dice(18);
    for (name, make) in HARD {
        for (size, count, k) in [(3, 1100, 10), (17, 70, 3), (70, 90, 70)] {
            let rows: Vec<Vec<f32>> = (0..count).map(|n| make(&mut dice, n, size)).collect();
            let mask: Vec<u8> = (0..count).map(|_| u8::from(dice.roll(3) != 0)).collect();
            let mut queries: Vec<Vec<f32>> = (0..34).map(|n| make(&mut dice, n, size)).collect();
            queries[1] = rows[count / 2].clone();
            queries[2] = vec![0.0; size];
            queries[3].iter_mut().for_each(|number| *number *= 1e-30);
            queries[4].iter_mut().for_each(|number| *number *= 1e15);
            let kernels = Kernel::available().into_iter();
            let tiled = |kernel: &Kernel| kernel.tiled(34) || *kernel == Kernel::Portable;
            for kernel in kernels.filter(tiled) {
                let index = index_of(kernel, Metric::Dot, &rows);
                for mask in [None, Some(&mask[..])] {
                    let matrix = index.matrix(mask);
                    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
                    let found = search(&matrix, &index.codes, &queries, k, 0..count, k > 1);
                    for (query, top) in queries.iter().zip(found) {
                        let mut right = Top::new(k);
                        matrix.scan(query, 0..count, &mut right);
                        let (found, right) = (top.finish(), right.finish());
                        assert_eq!(found, right, "{name} {kernel:?} {size} {count}");
                    }
                }
            }
        }
    }
}
