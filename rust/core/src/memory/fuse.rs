//! Words and meaning together: one list from the scores of words and the cosines of embeddings.

use std::collections::BTreeMap;

use super::{Found, MemoryIndex, Weights};
use crate::vectors::{VectorError, VectorIndex};

/// What an embedding model says of the query.
#[derive(Clone, Copy)]
pub struct Meaning<'a> {
    /// The blocks' embeddings, by their numbers.
    pub vectors: &'a VectorIndex,
    /// The query's: float32, little-endian.
    pub query: &'a [u8],
    /// How much of a score it makes, 0 to 1.
    pub weight: f64,
}

/// A block that was found by words or meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// The block's number.
    pub number: u64,
    /// 0 to 1: by words alone, the best one's is the share of the query's words that it has.
    pub score: f64,
    /// Of its embedding with the query's; 0 without one.
    pub cosine: f64,
}

impl MemoryIndex {
    /// The `k` best by words and meaning, best first; equal scores by number, the smaller first.
    ///
    /// Scores are `(1 - weight) * words + weight * cosine`, where nothing counts below 0: of the `k` best by words, and
    /// of the `k` nearest.
    ///
    /// # Errors
    /// The query's embedding is not as long as the others, or has a number that is not finite.
    pub fn search(
        &self,
        query: &str,
        k: usize,
        weights: &Weights,
        meaning: Option<Meaning<'_>>,
    ) -> Result<Vec<Fused>, VectorError> {
        let mut fused = by_words(&self.find(query, k, weights));
        if let Some(meaning) = meaning.filter(|meaning| meaning.weight > 0.0) {
            add(&mut fused, &meaning, k)?;
        }
        let mut fused: Vec<Fused> = fused.into_values().collect();
        fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
        fused.truncate(k);
        Ok(fused)
    }
}

fn by_words(found: &[Found]) -> BTreeMap<u64, Fused> {
    let Some(best) = found.first() else {
        return BTreeMap::new();
    };
    let fused = found.iter().map(|found| Fused {
        number: found.number,
        score: f64::from(found.score) / f64::from(best.score) * f64::from(best.coverage),
        cosine: 0.0,
    });
    fused.map(|fused| (fused.number, fused)).collect()
}

fn add(
    fused: &mut BTreeMap<u64, Fused>,
    meaning: &Meaning<'_>,
    k: usize,
) -> Result<(), VectorError> {
    let among: Vec<u64> = fused.keys().copied().collect();
    let (vectors, query) = (meaning.vectors, meaning.query);
    let mut cosines = vectors.search(query, among.len(), Some(&among))?;
    cosines.extend(vectors.search(query, k, None)?);
    for (number, cosine) in cosines {
        let found = fused.entry(number).or_insert(Fused {
            number,
            score: 0.0,
            cosine: 0.0,
        });
        found.cosine = f64::from(cosine);
    }
    let weight = meaning.weight;
    for found in fused.values_mut() {
        found.score = (1.0 - weight) * found.score + weight * found.cosine.max(0.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::*;

    fn weights() -> Weights {
        Weights {
            text: 1.0,
            context: 0.5,
            source: 0.5,
            neighbour: 0.0,
            repeats: 1.2,
            length: 0.75,
            coverage: 0.7,
        }
    }

    fn vector(numbers: [f32; 2]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn what_is_near_is_found_without_a_word_and_words_without_a_vector() {
        let mut index = MemoryIndex::new();
        let mut vectors = VectorIndex::new(2).unwrap();
        for (number, text) in [(1, "the cat sleeps"), (2, "a dog barks"), (3, "rain falls")] {
            let fields = Fields {
                text,
                ..Fields::default()
            };
            index.add(number, &fields).unwrap();
        }
        vectors.add(2, &vector([1.0, 0.0])).unwrap();
        vectors.add(3, &vector([0.0, 1.0])).unwrap();
        let query = vector([1.0, 0.0]);
        let meaning = |weight| {
            Some(Meaning {
                vectors: &vectors,
                query: &query,
                weight,
            })
        };
        let words = index.search("cat", 10, &weights(), None).unwrap();
        assert_eq!((words.len(), words[0].number, words[0].score), (1, 1, 1.0));
        assert_eq!(
            words,
            index.search("cat", 10, &weights(), meaning(0.0)).unwrap()
        );

        let both = index.search("cat", 10, &weights(), meaning(0.25)).unwrap();
        let found: Vec<(u64, f64, f64)> =
            both.iter().map(|f| (f.number, f.score, f.cosine)).collect();
        assert_eq!(found, [(1, 0.75, 0.0), (2, 0.25, 1.0), (3, 0.0, 0.0)]);
        assert_eq!(
            index.search("cat", 1, &weights(), meaning(0.9)).unwrap()[0].number,
            2
        );

        let short = Meaning {
            vectors: &vectors,
            query: &query[..4],
            weight: 0.5,
        };
        assert!(index.search("cat", 1, &weights(), Some(short)).is_err());
    }
}
