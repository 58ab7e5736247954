use super::*;

const WEIGHTS: Weights = Weights {
    text: 1.0,
    context: 0.5,
    source: 0.5,
    neighbour: 0.5,
    repeats: 1.2,
    length: 0.75,
    coverage: 0.7,
};
const TEXTS: [&str; 8] = [
    "We painted the house in May",
    "A cat sat on the mat",
    "The painter came with his brushes and the cat watched",
    "Nothing to see here",
    "Caroline likes hiking in the mountains",
    "She was there with Melanie",
    "They saw an eagle",
    "The demo is on Friday",
];

fn filled(count: u64, thread: &str) -> MemoryIndex {
    let mut index = MemoryIndex::new();
    for number in 1..=count {
        let text = TEXTS[(number as usize - 1) % TEXTS.len()];
        let text = format!("{text} {number}");
        let fields = Fields {
            text: &text,
            thread,
            ..Fields::default()
        };
        index.add(number, &fields).unwrap();
    }
    index
}

fn numbers(found: &[Found]) -> Vec<u64> {
    found.iter().map(|found| found.number).collect()
}

#[test]
fn words_are_found_in_whatever_form() {
    let index = filled(8, "");
    assert_eq!(numbers(&index.find("painting houses", 5, &WEIGHTS)), [1]);
    assert_eq!(numbers(&index.find("CATS", 1, &WEIGHTS)), [2]);
    assert_eq!(index.find("zebra", 5, &WEIGHTS), []);
    assert_eq!(index.find("", 5, &WEIGHTS), []);
    assert_eq!(index.find("cat", 0, &WEIGHTS), []);
}

/// Blocks of no thread have no neighbours, so it must make no difference how much these weigh: one way goes through the
/// blocks' table term by term, the other piece by piece.
#[test]
fn both_ways_to_count_find_the_same_to_the_bit() {
    let mut index = filled(10_000, "");
    for number in (1..=10_000).step_by(7) {
        assert!(index.remove(number));
    }
    for query in [
        "painting cats and eagles 4097",
        "mountains 9999",
        "the",
        "zebra",
    ] {
        for (context, coverage) in [(0.5, 0.7), (0.0, 0.0)] {
            let beside = Weights {
                context,
                coverage,
                ..WEIGHTS
            };
            let alone = Weights {
                neighbour: 0.0,
                ..beside
            };
            for k in [1, 10, 5_000] {
                let found = index.find(query, k, &alone);
                assert_eq!(found, index.find(query, k, &beside), "{query} {k}");
            }
        }
    }
}

#[test]
fn who_stands_beside_a_word_is_found_after_who_has_it() {
    let index = filled(8, "talk");
    let found = numbers(&index.find("hiking in the mountains", 8, &WEIGHTS));
    assert_eq!(found[0], 5);
    assert!(found.contains(&6) && found.contains(&7) && found.contains(&3));
    assert_eq!(numbers(&index.find("hiking Melanie", 2, &WEIGHTS)), [6, 5]);
    let apart = filled(8, "");
    assert_eq!(numbers(&apart.find("hiking", 8, &WEIGHTS)), [5]);
}

#[test]
fn context_and_source_count_less_than_text() {
    let mut index = MemoryIndex::new();
    let other = Fields {
        text: "nothing of it",
        ..Fields::default()
    };
    index
        .add(
            1,
            &Fields {
                context: "the harbour",
                ..other
            },
        )
        .unwrap();
    index
        .add(
            2,
            &Fields {
                source: "harbour.txt",
                ..other
            },
        )
        .unwrap();
    index
        .add(
            3,
            &Fields {
                text: "at the harbour",
                ..other
            },
        )
        .unwrap();
    let found = index.find("harbour", 5, &WEIGHTS);
    assert_eq!(found[0].number, 3);
    assert_eq!(
        (found.len(), found[0].coverage, found[1].coverage),
        (3, 1.0, 0.5)
    );
}

#[test]
fn what_was_removed_is_not_found_and_counts_nowhere() {
    let mut index = filled(4000, "talk");
    let mut fresh = MemoryIndex::new();
    for number in (1..=4000u64).filter(|number| number % 3 == 0) {
        let text = format!("{} {number}", TEXTS[(number as usize - 1) % TEXTS.len()]);
        fresh
            .add(
                number,
                &Fields {
                    text: &text,
                    thread: "talk",
                    ..Fields::default()
                },
            )
            .unwrap();
    }
    for number in (1..=4000u64).filter(|number| number % 3 != 0) {
        assert!(index.remove(number));
        assert!(!index.remove(number));
    }
    assert_eq!(
        (index.len(), index.numbers()),
        (fresh.len(), fresh.numbers())
    );
    assert!(!index.contains(1) && index.contains(3));
    for query in [
        "painting cats",
        "hiking mountains 3999",
        "demo Friday",
        "the",
    ] {
        assert_eq!(
            index.find(query, 50, &WEIGHTS),
            fresh.find(query, 50, &WEIGHTS)
        );
    }
}

#[test]
fn the_same_blocks_give_the_same_scores_to_the_bit() {
    let mut index = filled(6000, "talk");
    for number in 5000..5100 {
        index.remove(number);
    }
    let (again, stamp) = MemoryIndex::from_bytes(&index.to_bytes(42)).unwrap();
    assert_eq!(
        (stamp, again.len(), again.numbers()),
        (42, index.len(), index.numbers())
    );
    for query in ["painting cats", "eagle 5101", "Friday demo 17"] {
        assert_eq!(
            index.find(query, 100, &WEIGHTS),
            again.find(query, 100, &WEIGHTS)
        );
    }
    assert_eq!(index.to_bytes(42), again.to_bytes(42));
}

#[test]
fn more_may_be_asked_for_than_there_are() {
    let mut index = MemoryIndex::new();
    for number in 0..30 {
        let text = "word ".repeat(30 - number as usize);
        let fields = Fields {
            text: &text,
            ..Fields::default()
        };
        index.add(number, &fields).unwrap();
    }
    let all = index.find("word", 30, &WEIGHTS);
    assert_eq!(all.len(), 30);
    for k in [31, usize::MAX / 2 + 1, usize::MAX] {
        assert_eq!(numbers(&index.find("word", k, &WEIGHTS)), numbers(&all));
    }
}

#[test]
fn numbers_go_up() {
    let mut index = filled(3, "");
    let fields = Fields {
        text: "again",
        ..Fields::default()
    };
    assert_eq!(index.add(3, &fields), Err(MemoryError::Order(3)));
    assert!(index.remove(3) && index.remove(2));
    index.add(2, &fields).unwrap();
    assert_eq!(numbers(&index.find("again", 5, &WEIGHTS)), [2]);
}

#[test]
fn only_whole_indexes_are_read() {
    let saved = filled(20, "talk").to_bytes(1);
    for cut in [0, 8, 63, 64, 200, saved.len() - 1] {
        assert!(MemoryIndex::from_bytes(&saved[..cut]).is_err());
    }
    for at in 0..saved.len() {
        let mut damaged = saved.clone();
        damaged[at] ^= 0x55;
        // Whether it is refused or not: whoever reads it comes to no harm.
        if let Ok((mut index, _)) = MemoryIndex::from_bytes(&damaged) {
            index.find("painting cats hiking", 5, &WEIGHTS);
            index.remove(3);
        }
    }
}
