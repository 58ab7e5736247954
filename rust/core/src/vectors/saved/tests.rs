use super::super::Filter;
use super::super::kernels::Kernel;
use super::super::tests::{Dice, bytes, index_of, same, sketch_of, sketched};
use super::*;

#[test]
fn a_file_without_a_sketch_is_mapped_and_changed_as_well() {
    let mut dice = Dice(25);
    let rows: Vec<Vec<f32>> = (0..100).map(|_| dice.vector(21)).collect();
    let path = std::env::temp_dir().join(format!("o-vectors-old-{}", std::process::id()));
    for with in [false, true] {
        let mut index = index_of(Kernel::detect(), Metric::Cosine, &rows);
        index.sketch = with.then(|| sketch_of(&index));
        index.save(&path).unwrap();
        let mut mapped = VectorIndex::map(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped.sketch.is_some(), with);
        mapped.add(7, &bytes(&rows[3])).unwrap();
        assert!(mapped.remove(mapped.ids()[0]));
        assert_eq!(same(&mapped, &rows[3], 2, Filter::All).len(), 2);
        if let Some(sketch) = &mapped.sketch {
            let found = sketched(&mapped, sketch, &rows[3], 2, None);
            assert_eq!(found, same(&mapped, &rows[3], 2, Filter::All));
        }
    }
}

#[test]
fn a_mapped_index_is_the_one_that_was_saved_and_may_change() {
    let mut dice = Dice(16);
    let rows: Vec<Vec<f32>> = (0..700).map(|_| dice.vector(21)).collect();
    let path = std::env::temp_dir().join(format!("o-vectors-{}", std::process::id()));
    let mut index = index_of(Kernel::detect(), Metric::Cosine, &rows);
    index.save(&path).unwrap();
    let mut mapped = VectorIndex::map(&path).unwrap();
    assert!(mapped.memory_bytes() < index.memory_bytes() / 2);
    let query = dice.vector(21);
    let found = same(&mapped, &query, 10, Filter::All);
    assert_eq!(found, same(&index, &query, 10, Filter::All));
    for index in [&mut index, &mut mapped] {
        index.add(5, &bytes(&rows[3])).unwrap();
        assert!(index.remove(found[0].0));
    }
    let changed = same(&mapped, &query, 10, Filter::All);
    assert_eq!(changed, same(&index, &query, 10, Filter::All));
    assert_ne!(changed, found);
    let saved = std::fs::read(&path).unwrap();
    for length in (0..saved.len()).step_by(97) {
        std::fs::write(&path, &saved[..length]).unwrap();
        assert!(VectorIndex::map(&path).is_err(), "{length}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(VectorIndex::map(&path).is_err());
}

#[test]
fn saved_numbers_that_are_not_finite_are_refused() {
    let mut index = VectorIndex::new(2).unwrap();
    index.add(1, &bytes(&[1.0, 2.0])).unwrap();
    let mut saved = vec![0; index.saved_bytes()];
    index.write(&mut saved);
    for number in [f32::NAN, f32::INFINITY] {
        saved[72..76].copy_from_slice(&number.to_le_bytes());
        assert!(matches!(
            VectorIndex::read(&saved),
            Err(VectorError::Format(_))
        ));
    }
}
