//! One search: what is asked, which way is taken, on how many threads.

use std::borrow::Cow;
use std::ops::Range;
use std::thread;

use super::batch;
use super::certified;
use super::index::VectorIndex;
use super::kernels::{BLOCK, STRETCH};
use super::matrix::Matrix;
use super::shortlist::Codebook;
use super::top::Top;
use super::{LONGEST, Metric, VectorError, le_floats, normalise};

/// Bytes that one thread reads in about 2 ms; below that a second one is not worth its start.
const THREAD_BYTES: usize = 40 << 20;
/// Below so many numbers a plain scan is as quick as anything.
const SMALL: usize = 32 * 1024;
/// From so many numbers on a sketch is looked at before the codes: fewer are near enough (measured: 6,000 rows of 384).
const FAR: usize = 2 << 20;
/// Of fewer than one row in so many, only those are visited.
const FEW: usize = 8;

/// How rows are looked at before they are scored in float32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstPass {
    /// The quicker of the exact ones.
    #[default]
    Auto,
    /// Not at all: every row is scored.
    Exact,
    /// By codes of 8 bits with a bound on their error: the answer is exact.
    Certified,
    /// By codes of 8 bits; a few of the best may be missed.
    Int8,
    /// In 16 bits, with the exponent of float32.
    Bfloat16,
    /// In 16 bits, with more digits.
    Float16,
    /// By signs only.
    Binary,
}

/// Which rows may be found.
#[derive(Clone, Copy, Debug, Default)]
pub enum Filter<'a> {
    /// Every row.
    #[default]
    All,
    /// Those of these ids that there are.
    Ids(&'a [u64]),
    /// A byte a row, in the order of [`VectorIndex::ids`]; 0: not this one.
    Mask(&'a [u8]),
}

/// What is asked beside the query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// How many at most.
    pub k: usize,
    /// Which rows.
    pub filter: Filter<'a>,
    /// How they are looked at first.
    pub first_pass: FirstPass,
    /// On how many threads at most; 0: as many as there are processors, where it is worth it.
    pub threads: usize,
}

enum Places<'a> {
    Rows(Option<Cow<'a, [u8]>>),
    Few(Vec<u32>),
}

impl VectorIndex {
    /// The best for each of the queries (float32, little-endian, one after the other): `(id, score)`, best first, equal
    /// scores by id.
    ///
    /// # Errors
    /// A query of a wrong size, or with a number that is not finite; a mask of a wrong size; a first pass whose codes were
    /// not made ([`VectorIndex::prepare`]).
    pub fn search_batch(
        &self,
        queries: &[u8],
        search: &Search<'_>,
    ) -> Result<Vec<Vec<(u64, f32)>>, VectorError> {
        let size = 4 * self.dimensions();
        if !queries.len().is_multiple_of(size) {
            return Err(VectorError::Size {
                expected: queries.len().next_multiple_of(size),
                got: queries.len(),
            });
        }
        let queries = self.vectors(queries, queries.len() / size)?;
        let queries: Vec<&[f32]> = queries.chunks_exact(self.dimensions()).collect();
        let tops = self.find(&queries, search)?;
        Ok(tops.into_iter().map(Top::finish).collect())
    }

    /// Reads a vector as this index keeps it.
    pub(super) fn vector(&self, bytes: &[u8]) -> Result<Vec<f32>, VectorError> {
        self.vectors(bytes, 1)
    }

    /// Reads so many vectors as this index keeps them, one after the other.
    fn vectors(&self, bytes: &[u8], count: usize) -> Result<Vec<f32>, VectorError> {
        let expected = 4 * count * self.dimensions();
        if bytes.len() != expected {
            let got = bytes.len();
            return Err(VectorError::Size { expected, got });
        }
        let mut vectors: Vec<f32> = le_floats(bytes).collect();
        for vector in vectors.chunks_exact_mut(self.dimensions()) {
            let squares = self.kernel.square(vector);
            // The squares of float32 do not overflow float64, so a sum that is not finite has such a number in it.
            if !squares.is_finite() {
                return Err(VectorError::NotFinite);
            }
            match self.metric() {
                Metric::Cosine => normalise(vector, squares),
                Metric::Dot if squares.sqrt() > f64::from(LONGEST) => {
                    return Err(VectorError::TooLong);
                }
                Metric::Dot => {}
            }
        }
        Ok(vectors)
    }

    fn find(&self, queries: &[&[f32]], search: &Search<'_>) -> Result<Vec<Top>, VectorError> {
        let pass = self.pass(search)?;
        match self.places(search.filter)? {
            Places::Few(places) => {
                let matrix = self.matrix(None);
                let each = |query: &&[f32]| {
                    let mut top = Top::new(search.k.min(places.len()));
                    matrix.scan_places(query, &places, &mut top);
                    top
                };
                Ok(queries.iter().map(each).collect())
            }
            Places::Rows(mask) => {
                let matrix = self.matrix(mask.as_deref());
                let k = search.k.min(self.len());
                let part = |rows| self.part(&matrix, pass, queries, k, rows);
                let bytes = self
                    .read_bytes(pass)
                    .saturating_mul(queries.len().div_ceil(8));
                Ok(on_threads(self.len(), threads(search.threads, bytes), part))
            }
        }
    }

    /// The first pass that is taken: never one that cannot gain anything.
    fn pass(&self, search: &Search<'_>) -> Result<FirstPass, VectorError> {
        if !self.prepared(search.first_pass) {
            return Err(VectorError::NotPrepared);
        }
        let numbers = self.len() * self.dimensions();
        let most_of_them = search.k.saturating_mul(16) > self.len();
        Ok(match search.first_pass {
            FirstPass::Auto if numbers < SMALL || most_of_them => FirstPass::Exact,
            FirstPass::Auto => FirstPass::Certified,
            asked => asked,
        })
    }

    fn places<'a>(&self, filter: Filter<'a>) -> Result<Places<'a>, VectorError> {
        match filter {
            Filter::All => Ok(Places::Rows(None)),
            Filter::Ids(ids) => {
                let mut places: Vec<u32> = ids.iter().filter_map(|id| self.place(*id)).collect();
                // In the order of memory, and no row twice.
                places.sort_unstable();
                places.dedup();
                if places.len() * FEW < self.len() {
                    return Ok(Places::Few(places));
                }
                let mut mask = vec![0; self.len()];
                for place in places {
                    mask[place as usize] = 1;
                }
                Ok(Places::Rows(Some(Cow::Owned(mask))))
            }
            Filter::Mask(mask) if mask.len() != self.len() => Err(VectorError::Mask {
                expected: self.len(),
                got: mask.len(),
            }),
            Filter::Mask(mask) => {
                let allowed = mask.iter().filter(|byte| **byte != 0).count();
                if allowed * FEW >= self.len() {
                    return Ok(Places::Rows(Some(Cow::Borrowed(mask))));
                }
                Ok(Places::Few(set_places(mask, allowed)))
            }
        }
    }

    fn part(
        &self,
        matrix: &Matrix<'_>,
        pass: FirstPass,
        queries: &[&[f32]],
        k: usize,
        rows: Range<usize>,
    ) -> Vec<Top> {
        let far = rows.len() * self.dimensions() >= FAR;
        let codebook = match pass {
            FirstPass::Certified if matrix.kernel.tiled(queries.len()) => {
                return batch::search(matrix, &self.codes, queries, k, rows, far);
            }
            FirstPass::Certified => {
                let worth = far && self.kernel.sketched();
                let sketch = self.sketch.as_ref().filter(|_| worth);
                return certified::search(matrix, &self.codes, sketch, queries, k, rows);
            }
            FirstPass::Int8 => Some(Codebook::Bytes(&self.codes)),
            FirstPass::Binary => self.binary.as_ref().map(Codebook::Signs),
            FirstPass::Bfloat16 | FirstPass::Float16 => {
                let half = self.half.as_ref();
                half.map(|half| Codebook::Halves(half, &self.codes))
            }
            FirstPass::Auto | FirstPass::Exact => None,
        };
        match codebook {
            Some(book) => queries
                .iter()
                .map(|query| book.search(matrix, query, k, rows.clone()))
                .collect(),
            None => scan(matrix, queries, k, rows),
        }
    }
}

/// Every row, a stretch after the other for all queries: it is read from memory once.
fn scan(matrix: &Matrix<'_>, queries: &[&[f32]], k: usize, rows: Range<usize>) -> Vec<Top> {
    const IN_CACHE: usize = 8 * BLOCK;
    let mut tops: Vec<Top> = queries.iter().map(|_| Top::new(k)).collect();
    for start in rows.clone().step_by(IN_CACHE) {
        let stretch = start..(start + IN_CACHE).min(rows.end);
        for (query, top) in queries.iter().zip(&mut tops) {
            matrix.scan(query, stretch.clone(), top);
        }
    }
    tops
}

/// The places of the bytes that are not 0; eight zeros are passed over at once.
fn set_places(mask: &[u8], count: usize) -> Vec<u32> {
    let mut places = Vec::with_capacity(count);
    let mut note = |at: usize, bytes: &[u8]| {
        let set = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        places.extend(set.map(|(place, _)| (at + place) as u32));
    };
    let words = mask.chunks_exact(8);
    let tail = words.remainder();
    for (number, word) in words.enumerate() {
        if word != [0; 8] {
            note(8 * number, word);
        }
    }
    note(mask.len() - tail.len(), tail);
    places
}

fn threads(asked: usize, bytes: usize) -> usize {
    let worth = bytes / THREAD_BYTES;
    if worth < 2 || asked == 1 {
        return 1;
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    worth.min(if asked == 0 { processors } else { asked })
}

/// Has `work` done on parts of the rows, and puts together what each has found. No thread outlives the call; where none
/// can be started (an instance may be allowed none) its part is done here.
pub(super) fn on_threads(
    rows: usize,
    threads: usize,
    work: impl Fn(Range<usize>) -> Vec<Top> + Sync,
) -> Vec<Top> {
    let size = rows.div_ceil(threads).next_multiple_of(STRETCH);
    let part = |number: usize| number * size..((number + 1) * size).min(rows);
    if threads == 1 {
        return work(0..rows);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = (1..threads)
            .map(part)
            .filter(|rows| !rows.is_empty())
            .map(|rows| {
                let mine = rows.clone();
                let started = thread::Builder::new().spawn_scoped(scope, || work(mine));
                (started.ok(), rows)
            })
            .collect();
        let mut tops = work(part(0));
        for (started, rows) in parts {
            let found = started.and_then(|thread| thread.join().ok());
            let found = found.unwrap_or_else(|| work(rows));
            for (top, more) in tops.iter_mut().zip(found) {
                top.absorb(more);
            }
        }
        tops
    })
}
