//! The memory's index.

use o_core::memory::{self, Fields, Meaning, Weights};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::bytes::Bytes;
use crate::errors;
use crate::gil::{self, Shared};
use crate::vectors::VectorIndex;

/// From so many bytes of a block's text on the work may pass 50 us, and the GIL is released around it.
const LONG_BYTES: usize = 2_048;
/// The same for blocks times bytes of a query.
const MUCH_WORK: usize = 6_000;

/// What of a memory is searched: numbers of blocks by their words.
#[pyclass(frozen, module = "o_tui._native")]
pub struct MemoryIndex {
    index: Shared<memory::MemoryIndex>,
    stamp: u64,
}

/// Weights by their names in Python; those that are not given are the usual ones.
fn weights_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<Weights> {
    let mut weights = Weights::default();
    for (name, value) in given.into_iter().flatten() {
        let name: String = name.extract()?;
        let weight = match name.as_str() {
            "text" => &mut weights.text,
            "context" => &mut weights.context,
            "source" => &mut weights.source,
            "neighbour" => &mut weights.neighbour,
            "repeats" => &mut weights.repeats,
            "length" => &mut weights.length,
            "coverage" => &mut weights.coverage,
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "no weight is called {name:?}"
                )));
            }
        };
        *weight = value.extract()?;
    }
    Ok(weights)
}

fn is_long(index: &memory::MemoryIndex, query: &str) -> bool {
    index.len().saturating_mul(query.len()) > MUCH_WORK
}

#[pymethods]
impl MemoryIndex {
    #[new]
    fn new() -> Self {
        MemoryIndex {
            index: Shared::default(),
            stamp: 0,
        }
    }

    /// Reads what `to_bytes` wrote.
    #[staticmethod]
    fn from_bytes(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = Bytes::of(data)?;
        let bytes: &[u8] = &bytes;
        let read = data.py().detach(|| memory::MemoryIndex::from_bytes(bytes));
        let (index, stamp) = read.map_err(errors::memory)?;
        Ok(MemoryIndex {
            index: Shared::new(index),
            stamp,
        })
    }

    /// All of it, to be kept, with a number that says of when it is.
    #[pyo3(signature = (stamp=0))]
    fn to_bytes<'py>(&self, py: Python<'py>, stamp: u64) -> Bound<'py, PyBytes> {
        let index = self.index.read(py);
        let saved = py.detach(|| index.to_bytes(stamp));
        PyBytes::new(py, &saved)
    }

    /// Adds a block.
    #[pyo3(signature = (number, text, context=None, source=None, thread=None))]
    fn add(
        &self,
        py: Python<'_>,
        number: u64,
        text: &Bound<'_, PyString>,
        context: Option<&Bound<'_, PyString>>,
        source: Option<&Bound<'_, PyString>>,
        thread: Option<&Bound<'_, PyString>>,
    ) -> PyResult<()> {
        let text = text.to_string_lossy();
        let [context, source, thread] = [context, source, thread].map(|field| {
            field
                .map(|field| field.to_string_lossy())
                .unwrap_or_default()
        });
        let fields = Fields {
            text: &text,
            context: &context,
            source: &source,
            thread: &thread,
        };
        let long = text.len() + context.len() > LONG_BYTES;
        let mut index = self.index.write(py);
        let index = &mut *index;
        let added = gil::away_if(py, long, || index.add(number, &fields));
        added.map_err(errors::memory)
    }

    /// Gives back the memory that searches count in.
    fn rest(&self, py: Python<'_>) {
        self.index.read(py).rest();
    }

    /// Takes a block out; False where there was none.
    fn remove(&self, py: Python<'_>, number: u64) -> bool {
        let mut index = self.index.write(py);
        let index = &mut *index;
        py.detach(|| index.remove(number))
    }

    /// The `k` best blocks for any of the words of `query`, best first.
    #[pyo3(signature = (query, k=10, **weights))]
    fn find(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyString>,
        k: usize,
        weights: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<(u64, f32, f32)>> {
        let query = query.to_string_lossy();
        let weights = weights_of(weights)?;
        let index = self.index.read(py);
        let long = is_long(&index, &query);
        let found = gil::away_if(py, long, || index.find(&query, k, &weights)).into_iter();
        Ok(found
            .map(|found| (found.number, found.score, found.coverage))
            .collect())
    }

    /// The `k` best blocks by words and meaning together, best first.
    #[pyo3(signature = (query, k=10, *, vectors=None, vector=None, meaning=0.0, **weights))]
    #[allow(clippy::too_many_arguments)] // by their names in Python
    fn search(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyString>,
        k: usize,
        vectors: Option<&Bound<'_, VectorIndex>>,
        vector: Option<&Bound<'_, PyBytes>>,
        meaning: f64,
        weights: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<(u64, f64, f64)>> {
        let query = query.to_string_lossy();
        let weights = weights_of(weights)?;
        let vectors = vectors.map(|vectors| vectors.get().index.read(py));
        let meaning = vectors
            .as_deref()
            .zip(vector)
            .map(|(vectors, query)| Meaning {
                vectors,
                query: query.as_bytes(),
                weight: meaning,
            });
        let index = self.index.read(py);
        let long = meaning.is_some() || is_long(&index, &query);
        let found = gil::away_if(py, long, || index.search(&query, k, &weights, meaning));
        let found = found.map_err(errors::vector)?.into_iter();
        Ok(found
            .map(|found| (found.number, found.score, found.cosine))
            .collect())
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.index.read(py).len()
    }

    fn __contains__(&self, py: Python<'_>, number: u64) -> bool {
        self.index.read(py).contains(number)
    }

    /// The sum of the blocks' numbers.
    #[getter]
    fn numbers(&self, py: Python<'_>) -> u64 {
        self.index.read(py).numbers()
    }

    /// What was given to `to_bytes`.
    #[getter]
    fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Bytes that its arrays take.
    #[getter]
    fn memory_bytes(&self, py: Python<'_>) -> usize {
        self.index.read(py).memory_bytes()
    }
}
