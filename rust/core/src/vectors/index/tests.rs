use std::collections::BTreeMap;

use super::super::tests::{Dice, bytes};
use super::*;

fn plain_search(rows: &BTreeMap<u64, Vec<f32>>, query: &[f32], k: usize) -> Vec<(u64, f64)> {
    let length = |v: &[f32]| v.iter().map(|n| f64::from(*n).powi(2)).sum::<f64>().sqrt();
    let mut scores: Vec<(u64, f64)> = rows
        .iter()
        .map(|(id, row)| {
            let dot: f64 = row
                .iter()
                .zip(query)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum();
            (*id, dot / length(row) / length(query))
        })
        .collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores.truncate(k);
    scores
}

#[test]
fn it_is_what_a_plain_map_is() {
    for size in [1, 3, 16, 33] {
        let mut dice = Dice(size as u64);
        let mut index = VectorIndex::new(size).unwrap();
        let mut model = BTreeMap::new();
        for step in 0..2000 {
            let id = dice.roll(300) * 0x1_0000_0001;
            if dice.roll(3) == 0 {
                assert_eq!(index.remove(id), model.remove(&id).is_some());
            } else {
                let row = dice.vector(size);
                index.add(id, &bytes(&row)).unwrap();
                model.insert(id, row);
            }
            assert_eq!(index.len(), model.len());
            if step % 50 == 0 {
                let mut saved = vec![1; index.saved_bytes()];
                index.write(&mut saved);
                index = VectorIndex::read(&saved).unwrap();
            }
            if step % 20 == 0 && size > 1 {
                let query = dice.vector(size);
                let k = dice.roll(20) as usize;
                let found = index.search(&bytes(&query), k, None).unwrap();
                let expected = plain_search(&model, &query, k);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (f64::from(found.1) - expected.1).abs() < 1e-5,
                        "{found:?} {expected:?}"
                    );
                }
            }
        }
        for (id, row) in &model {
            let stored = index.get(*id).unwrap();
            let dot: f32 = stored.iter().zip(row).map(|(a, b)| a * b).sum();
            let length = row.iter().map(|n| n * n).sum::<f32>().sqrt();
            assert!((dot - length).abs() < 1e-4);
        }
    }
}

#[test]
fn only_among_the_ids_asked_for() {
    let mut index = VectorIndex::new(2).unwrap();
    for (id, row) in [
        (1, [1.0, 0.0]),
        (2, [0.9, 0.1]),
        (3, [0.0, 1.0]),
        (9, [1.0, 0.0]),
    ] {
        index.add(id, &bytes(&row)).unwrap();
    }
    let ids = |found: Vec<(u64, f32)>| found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let query = bytes(&[2.0, 0.0]);
    assert_eq!(ids(index.search(&query, 10, None).unwrap()), [1, 9, 2, 3]);
    assert_eq!(
        ids(index.search(&query, 10, Some(&[3, 2, 7, 2])).unwrap()),
        [2, 3]
    );
    assert_eq!(ids(index.search(&query, 1, Some(&[3, 2])).unwrap()), [2]);
    assert_eq!(index.search(&query, 0, None).unwrap(), []);
    assert_eq!(index.search(&query, 5, Some(&[])).unwrap(), []);
    assert_eq!(index.search(&query, usize::MAX, None).unwrap().len(), 4);
}

#[test]
fn bad_vectors_change_nothing() {
    let mut index = VectorIndex::new(2).unwrap();
    assert_eq!(
        index.add(1, &[0; 7]),
        Err(VectorError::Size {
            expected: 8,
            got: 7
        })
    );
    assert_eq!(
        index.add(1, &bytes(&[f32::NAN, 0.0])),
        Err(VectorError::NotFinite)
    );
    assert_eq!(
        index.search(&bytes(&[f32::INFINITY, 0.0]), 1, None),
        Err(VectorError::NotFinite)
    );
    assert!(index.is_empty());
    index.add(1, &bytes(&[0.0, 0.0])).unwrap();
    assert_eq!(
        index.search(&bytes(&[1.0, 0.0]), 1, None).unwrap(),
        [(1, 0.0)]
    );
    index.add(2, &bytes(&[f32::MAX, f32::MAX])).unwrap();
    assert!((index.search(&bytes(&[1e-30, 1e-30]), 1, None).unwrap()[0].1 - 1.0).abs() < 1e-5);
}

#[test]
fn damaged_bytes_are_refused() {
    let mut index = VectorIndex::new(3).unwrap();
    index.add(7, &bytes(&[1.0, 2.0, 3.0])).unwrap();
    index.add(8, &bytes(&[3.0, 2.0, 3.0])).unwrap();
    let mut saved = vec![0; index.saved_bytes()];
    index.write(&mut saved);
    for length in 0..saved.len() {
        assert!(VectorIndex::read(&saved[..length]).is_err());
    }
    for byte in 0..24 {
        let mut damaged = saved.clone();
        damaged[byte] ^= 0x80;
        assert!(VectorIndex::read(&damaged).is_err(), "byte {byte}");
    }
    let mut twice = saved.clone();
    twice[64] = 8;
    assert!(matches!(
        VectorIndex::read(&twice),
        Err(VectorError::Format("an id twice"))
    ));
    let mut huge = saved;
    huge[16..24].fill(0xff);
    assert!(VectorIndex::read(&huge).is_err());
}

#[test]
fn saving_keeps_every_bit() {
    let mut dice = Dice(5);
    let mut index = VectorIndex::new(5).unwrap();
    for id in 0..50 {
        index.add(id, &bytes(&dice.vector(5))).unwrap();
    }
    let mut saved = vec![0; index.saved_bytes()];
    index.write(&mut saved);
    let again = VectorIndex::read(&saved).unwrap();
    let mut twice = vec![0; again.saved_bytes()];
    again.write(&mut twice);
    assert_eq!(saved, twice);
}
