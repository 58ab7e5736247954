//! What the tests share, and the searches against one another.

use super::codes::{Codes, Width};
use super::kernels::{Kernel, STRETCH};
use super::*;

pub(super) fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// A small generator, so that the tests need no crate: the same numbers on every run.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// -1 to 1.
    pub fn number(&mut self) -> f32 {
        self.roll(2001) as f32 / 1000.0 - 1.0
    }

    pub fn code(&mut self, levels: i8) -> i8 {
        let sides = 2 * u64::from(levels.unsigned_abs()) + 1;
        (self.roll(sides) as i16 - i16::from(levels)) as i8
    }

    pub fn vector(&mut self, size: usize) -> Vec<f32> {
        (0..size).map(|_| self.number()).collect()
    }
}

pub(super) const EXACT: Search<'static> = Search {
    k: 10,
    filter: Filter::All,
    first_pass: FirstPass::Exact,
    threads: 1,
};

/// An index of one kernel with these rows under ids that are not in their order.
pub(super) fn index_of(kernel: Kernel, metric: Metric, rows: &[Vec<f32>]) -> VectorIndex {
    let mut index = VectorIndex::with_metric(rows[0].len(), metric).unwrap();
    index.kernel = kernel;
    for (place, row) in rows.iter().enumerate() {
        let id = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        index.add(id, &bytes(row)).unwrap();
    }
    index
}

/// That a certified search gives what a plain scan gives, bit for bit, and returns it.
pub(super) fn same(
    index: &VectorIndex,
    query: &[f32],
    k: usize,
    filter: Filter<'_>,
) -> Vec<(u64, f32)> {
    let query = bytes(query);
    let search = Search { k, filter, ..EXACT };
    let plain = index.search_with(&query, &search).unwrap();
    let first_pass = FirstPass::Certified;
    let certified = Search {
        first_pass,
        ..search
    };
    let found = index.search_with(&query, &certified).unwrap();
    let bits = |found: &[(u64, f32)]| -> Vec<(u64, u32)> {
        found
            .iter()
            .map(|(id, score)| (*id, score.to_bits()))
            .collect()
    };
    assert_eq!(bits(&found), bits(&plain), "{:?} k {k}", index.kernel);
    plain
}

pub(super) type Make = fn(&mut Dice, usize, usize) -> Vec<f32>;

/// Rows that are hard in some way; the number is the row's.
pub(super) const HARD: [(&str, Make); 9] = [
    ("random", |dice, _, size| dice.vector(size)),
    ("equal", |_, _, size| vec![0.25; size]),
    ("all but equal", |dice, _, size| {
        (0..size)
            .map(|at| (at as f32).sin() + 1e-6 * dice.number())
            .collect()
    }),
    ("zeros", |_, _, size| vec![0.0; size]),
    ("one large number", |dice, number, size| {
        let mut row = dice.vector(size);
        row[number % size] = 1000.0;
        row
    }),
    ("sparse", |dice, _, size| {
        let mut row = vec![0.0; size];
        for _ in 0..3 {
            row[dice.roll(size as u64) as usize] = dice.number();
        }
        row
    }),
    ("few directions", |dice, number, size| {
        (0..size)
            .map(|at| ((at * (number % 5)) as f32).cos() + 1e-3 * dice.number())
            .collect()
    }),
    ("better and better", |dice, number, size| {
        (0..size)
            .map(|_| 1.0 + dice.number() / (1.0 + number as f32))
            .collect()
    }),
    ("far apart in size", |dice, _, size| {
        let scale = 10f32.powi(dice.roll(60) as i32 - 42);
        (0..size).map(|_| dice.number() * scale).collect()
    }),
];

#[test]
fn certified_is_exact_whatever_the_rows_are() {
    let mut dice = Dice(11);
    for (name, make) in HARD {
        for (size, count) in [(1, 40), (3, 700), (17, 400), (64, 900), (100, 300)] {
            let rows: Vec<Vec<f32>> = (0..count).map(|n| make(&mut dice, n, size)).collect();
            for (kernel, metric) in Kernel::available()
                .into_iter()
                .flat_map(|kernel| [(kernel, Metric::Cosine), (kernel, Metric::Dot)])
            {
                let index = index_of(kernel, metric, &rows);
                for k in [0, 1, 10, 70, count, count + 5] {
                    let query = make(&mut dice, 3, size);
                    let found = same(&index, &query, k, Filter::All);
                    assert_eq!(found.len(), k.min(count), "{name}");
                    same(&index, &rows[count / 2], k, Filter::All);
                }
            }
        }
    }
}

/// What a certified search finds that looks at a sketch first, however few the rows are.
pub(super) fn sketched(
    index: &VectorIndex,
    sketch: &Codes,
    query: &[f32],
    k: usize,
    mask: Option<&[u8]>,
) -> Vec<(u64, f32)> {
    let query = index.vector(&bytes(query)).unwrap();
    let matrix = index.matrix(mask);
    let (k, rows) = (k.min(index.len()), 0..index.len());
    let tops = certified::search(&matrix, &index.codes, Some(sketch), &[&query], k, rows);
    tops.into_iter().next().unwrap().finish()
}

pub(super) fn sketch_of(index: &VectorIndex) -> Codes {
    let mut sketch = Codes::new(Width::Six, index.dimensions());
    sketch.reserve(index.len()).unwrap();
    for row in index.rows().chunks_exact(index.dimensions()) {
        sketch.push(row, index.kernel);
    }
    sketch
}

#[test]
fn a_sketch_changes_no_answer_whatever_the_rows_are() {
    let mut dice = Dice(21);
    for (name, make) in HARD {
        for (size, count) in [(3, 700), (40, 500)] {
            let rows: Vec<Vec<f32>> = (0..count).map(|n| make(&mut dice, n, size)).collect();
            let mask: Vec<u8> = (0..count).map(|_| (dice.roll(3) > 0).into()).collect();
            for (kernel, metric) in Kernel::available()
                .into_iter()
                .flat_map(|kernel| [(kernel, Metric::Cosine), (kernel, Metric::Dot)])
            {
                let index = index_of(kernel, metric, &rows);
                let sketch = sketch_of(&index);
                for (k, query) in [(1, count / 2), (2, count - 1)] {
                    let query = make(&mut dice, query, size);
                    let right = same(&index, &query, k, Filter::All);
                    assert_eq!(
                        sketched(&index, &sketch, &query, k, None),
                        right,
                        "{name} {k}"
                    );
                    let right = same(&index, &query, k, Filter::Mask(&mask));
                    assert_eq!(
                        sketched(&index, &sketch, &query, k, Some(&mask)),
                        right,
                        "{name} {k}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_that_are_all_alike_are_scanned_before_a_query_has_codes() {
    let mut dice = Dice(25);
    let (_, alike) = HARD[2];
    let rows: Vec<Vec<f32>> = (0..1000).map(|n| alike(&mut dice, n, 64)).collect();
    for kernel in Kernel::available() {
        let mut index = index_of(kernel, Metric::Cosine, &rows);
        let right = same(&index, &rows[7], 10, Filter::All);
        // Who looked at codes that say wrongly that no row reaches anything would find little: only the sample keeps its own.
        let errors = index.codes.errors.own().iter_mut().enumerate();
        for (_, error) in errors.filter(|(row, _)| row % 250 > 0) {
            *error = f32::NEG_INFINITY;
        }
        assert_eq!(same(&index, &rows[7], 10, Filter::All), right, "{kernel:?}");
    }
}

#[test]
fn rows_that_only_seemed_alike_are_compared_by_codes_later() {
    let mut dice = Dice(26);
    let mut rows: Vec<Vec<f32>> = (0..2800).map(|_| dice.vector(48)).collect();
    let middle = rows[1].clone();
    for row in [0, 700, 1400, 2100] {
        rows[row].clone_from(&middle);
    }
    for (kernel, metric) in Kernel::available()
        .into_iter()
        .flat_map(|kernel| [(kernel, Metric::Cosine), (kernel, Metric::Dot)])
    {
        let index = index_of(kernel, metric, &rows);
        let sketch = sketch_of(&index);
        for query in [&middle, &rows[2799], &vec![0.0; 48]] {
            let right = same(&index, query, 10, Filter::All);
            assert_eq!(sketched(&index, &sketch, query, 10, None), right);
        }
    }
}

#[test]
fn what_a_sketch_rules_out_is_not_looked_at_again() {
    let mut dice = Dice(22);
    let mut rows: Vec<Vec<f32>> = (0..3000).map(|_| dice.vector(64)).collect();
    rows[2500] = rows[0].clone();
    let index = index_of(Kernel::detect(), Metric::Cosine, &rows);
    let mut sketch = sketch_of(&index);
    let best = |sketch: &Codes| sketched(&index, sketch, &rows[0], 2, None);
    assert_eq!(best(&sketch), same(&index, &rows[0], 2, Filter::All));
    // One that says wrongly that the row reaches nothing is believed: so it is the sketch that decides.
    sketch.errors.own()[2500] = f32::NEG_INFINITY;
    assert!(best(&sketch).iter().all(|(id, _)| *id != index.ids()[2500]));
}

#[test]
fn a_sketch_follows_what_is_added_and_removed() {
    let mut dice = Dice(23);
    let mut index = VectorIndex::new(40).unwrap();
    index.sketch = Some(Codes::new(Width::Six, 40));
    for step in 0..4000 {
        let id = dice.roll(1200);
        match dice.roll(4) {
            0 => drop(index.remove(id)),
            _ => index.add(id, &bytes(&dice.vector(40))).unwrap(),
        }
        if step % 150 == 149 {
            let query = dice.vector(40);
            let right = same(&index, &query, 3, Filter::All);
            let sketch = index.sketch.as_ref().unwrap();
            assert_eq!(sketched(&index, sketch, &query, 3, None), right);
        }
    }
}

#[test]
fn many_rows_far_away_are_searched_by_their_sketch() {
    let mut dice = Dice(24);
    let rows: Vec<Vec<f32>> = (0..9000).map(|_| dice.vector(256)).collect();
    let mut index = index_of(Kernel::detect(), Metric::Cosine, &rows);
    for number in 0..3 {
        same(&index, &rows[number * 4000], 10, Filter::All);
    }
    index.sketch = None;
    same(&index, &rows[7], 10, Filter::All);
}

#[test]
fn equal_scores_are_ordered_by_id_at_the_edge_too() {
    let rows: Vec<Vec<f32>> = (0..1000)
        .map(|n| vec![f32::from(n % 3 == 0), 1.0])
        .collect();
    for kernel in Kernel::available() {
        let index = index_of(kernel, Metric::Cosine, &rows);
        let mut ids: Vec<u64> = index.ids().iter().copied().step_by(3).collect();
        ids.sort_unstable();
        for k in [1, 7, 100, 334] {
            let found = same(&index, &[1.0, 1.0], k, Filter::All);
            let found: Vec<u64> = found.into_iter().map(|(id, _)| id).collect();
            assert_eq!(found, ids[..k]);
        }
    }
}

#[test]
fn what_is_filtered_out_is_not_found_and_changes_nothing_else() {
    let mut dice = Dice(12);
    let rows: Vec<Vec<f32>> = (0..900).map(|_| dice.vector(33)).collect();
    for kernel in Kernel::available() {
        let index = index_of(kernel, Metric::Cosine, &rows);
        let query = dice.vector(33);
        let all = same(&index, &query, 900, Filter::All);
        for one_in in [1, 2, 5, 30, 1000] {
            let mask: Vec<u8> = (0..900).map(|_| (dice.roll(one_in) == 0).into()).collect();
            let ids: Vec<u64> = (index.ids().iter().zip(&mask))
                .filter_map(|(id, allowed)| (*allowed == 1).then_some(*id))
                .collect();
            let mut right = all.clone();
            right.retain(|(id, _)| ids.contains(id));
            right.truncate(10);
            assert_eq!(same(&index, &query, 10, Filter::Mask(&mask)), right);
            assert_eq!(same(&index, &query, 10, Filter::Ids(&ids)), right);
        }
        let wrong = Search {
            filter: Filter::Mask(&[1; 899]),
            ..EXACT
        };
        let error = index.search_with(&bytes(&query), &wrong);
        assert_eq!(
            error,
            Err(VectorError::Mask {
                expected: 900,
                got: 899
            })
        );
    }
}

#[test]
fn every_first_pass_follows_what_is_added_and_removed() {
    let passes = [
        (FirstPass::Certified, 100),
        (FirstPass::Int8, 95),
        (FirstPass::Float16, 95),
        (FirstPass::Bfloat16, 95),
        (FirstPass::Binary, 60),
    ];
    for (first_pass, least_percent) in passes {
        let mut dice = Dice(14);
        let mut index = VectorIndex::new(96).unwrap();
        let search = Search {
            first_pass,
            ..EXACT
        };
        assert_eq!(
            index.prepared(first_pass),
            index.search_with(&[0; 384], &search).is_ok()
        );
        index.prepare(first_pass).unwrap();
        let (mut hits, mut asked) = (0, 0);
        for step in 0..4000 {
            let id = dice.roll(1500);
            match dice.roll(4) {
                0 => drop(index.remove(id)),
                _ => index.add(id, &bytes(&dice.vector(96))).unwrap(),
            }
            if step % 40 == 39 {
                let query = bytes(&dice.vector(96));
                let right = index.search_with(&query, &EXACT).unwrap();
                let found = index.search_with(&query, &search).unwrap();
                assert_eq!(found.len(), right.len());
                hits += found.iter().filter(|one| right.contains(one)).count();
                asked += right.len();
            }
        }
        assert!(
            100 * hits >= least_percent * asked,
            "{first_pass:?} {hits} of {asked}"
        );
    }
}

#[test]
fn threads_find_what_one_finds() {
    let mut dice = Dice(15);
    let rows: Vec<Vec<f32>> = (0..10 * STRETCH + 5).map(|_| dice.vector(8)).collect();
    let index = index_of(Kernel::detect(), Metric::Cosine, &rows);
    let query = dice.vector(8);
    let one = same(&index, &query, 10, Filter::All);
    for threads in [2, 3, 7, 40] {
        let matrix = index.matrix(None);
        let found = search::on_threads(index.len(), threads, |rows| {
            let query = {
                let mut query = query.clone();
                let squares = index.kernel.square(&query);
                normalise(&mut query, squares);
                query
            };
            certified::search(&matrix, &index.codes, None, &[&query], 10, rows)
        });
        let found: Vec<_> = found.into_iter().map(top::Top::finish).collect();
        assert_eq!(found, std::slice::from_ref(&one), "{threads}");
    }
}

#[test]
fn products_keep_lengths_and_refuse_those_that_overflow() {
    let mut index = VectorIndex::with_metric(2, Metric::Dot).unwrap();
    index.add(1, &bytes(&[3.0, 4.0])).unwrap();
    index.add(2, &bytes(&[300.0, -4.0])).unwrap();
    assert_eq!(index.get(1), Some(&[3.0, 4.0][..]));
    let found = index.search(&bytes(&[1.0, 1.0]), 2, None).unwrap();
    assert_eq!(found, [(2, 296.0), (1, 7.0)]);
    assert_eq!(
        index.add(3, &bytes(&[1e19, 0.0])),
        Err(VectorError::TooLong)
    );
    assert_eq!(index.len(), 2);
    let mut saved = vec![0; index.saved_bytes()];
    index.write(&mut saved);
    assert_eq!(VectorIndex::read(&saved).unwrap().metric(), Metric::Dot);
}
