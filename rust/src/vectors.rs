//! Vectors.

use std::path::PathBuf;
use std::sync::RwLockReadGuard;

use o_core::vectors::{self, Filter, FirstPass, Metric, Search};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::bytes::Bytes;
use crate::errors;
use crate::gil::{self, Shared};
use crate::lent::{Loans, VectorArray};

/// From so many products, or bytes of text, on the work passes 50 us, and the GIL is released around it.
const MUCH_WORK: usize = 500_000;
/// What a row costs at least, in products, and one that is looked for by its id.
const PRODUCTS_A_ROW: usize = 16;
const PRODUCTS_AN_ID: usize = 256;
const LONG_BYTES: usize = 512;

/// The vector of a text as float32, little-endian: hashed n-grams, the same bytes on every machine.
#[pyfunction]
#[pyo3(signature = (text, dimensions=256))]
pub fn embed<'py>(text: &Bound<'py, PyString>, dimensions: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = text.py();
    let text = text.to_string_lossy();
    let long = text.len() > LONG_BYTES;
    let vector = gil::away_if(py, long, || vectors::embed(&text, dimensions));
    floats(py, &vector.map_err(errors::vector)?)
}

fn floats<'py>(py: Python<'py>, vector: &[f32]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, 4 * vector.len(), |out| {
        for (place, number) in out.chunks_exact_mut(4).zip(vector) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        Ok(())
    })
}

const FLOATS: &[&str] = &["f", "B"];
const BOOLS: &[&str] = &["?", "B", "b"];

fn first_pass_of(name: &str) -> PyResult<FirstPass> {
    Ok(match name {
        "auto" => FirstPass::Auto,
        "exact" => FirstPass::Exact,
        "certified" => FirstPass::Certified,
        "int8" => FirstPass::Int8,
        "bfloat16" => FirstPass::Bfloat16,
        "float16" => FirstPass::Float16,
        "binary" => FirstPass::Binary,
        _ => return Err(PyValueError::new_err(format!("no first pass {name:?}"))),
    })
}

/// Vectors under ids (u64), and the exact best by cosine or product.
#[pyclass(frozen, module = "o_tui._native")]
pub struct VectorIndex {
    pub(crate) index: Shared<vectors::VectorIndex>,
    pub(crate) loans: Loans,
}

type Found = Vec<(u64, f32)>;
type Arrays<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// What some queries have found as two arrays, the ids and the scores, a row a query; what one has not found has id 0 and a
/// score of minus infinity.
fn arrays<'py>(py: Python<'py>, found: &[Found]) -> PyResult<Arrays<'py>> {
    let width = found.iter().map(Vec::len).max().unwrap_or(0);
    let nothing = (0, f32::NEG_INFINITY);
    let cells: Vec<(u64, f32)> = found
        .iter()
        .flat_map(|found| {
            let missing = std::iter::repeat_n(nothing, width - found.len());
            found.iter().copied().chain(missing)
        })
        .collect();
    let ids: Vec<u8> = cells.iter().flat_map(|(id, _)| id.to_ne_bytes()).collect();
    let scores: Vec<u8> = (cells.iter())
        .flat_map(|(_, score)| score.to_ne_bytes())
        .collect();
    let shaped = |bytes: Vec<u8>, format: &str| {
        let view = PyMemoryView::from(&PyBytes::new(py, &bytes))?;
        match cells.is_empty() {
            // A memoryview cannot have two dimensions and nothing in it.
            true => view.call_method1("cast", (format,)),
            false => view.call_method1("cast", (format, (found.len(), width))),
        }
    };
    Ok((shaped(ids, "Q")?, shaped(scores, "f")?))
}

impl VectorIndex {
    fn of(index: vectors::VectorIndex) -> Self {
        VectorIndex {
            index: Shared::new(index),
            loans: Loans::default(),
        }
    }

    /// Changes the index, if nobody uses its arrays; `long` says whether it may take more than 50 us.
    fn change<T: Send>(
        &self,
        py: Python<'_>,
        long: impl FnOnce(&vectors::VectorIndex) -> bool,
        work: impl FnOnce(&mut vectors::VectorIndex) -> T + Send,
    ) -> PyResult<T> {
        let mut index = self.index.write(py);
        if self.loans.any() {
            return Err(PyBufferError::new_err(
                "its rows or ids are in use as an array; let go of that first",
            ));
        }
        let index = &mut *index;
        Ok(gil::away_if(py, long(index), || work(index)))
    }

    fn find(
        &self,
        py: Python<'_>,
        queries: &[u8],
        ids: Option<Vec<u64>>,
        mask: Option<&Bound<'_, PyAny>>,
        search: Search<'_>,
    ) -> PyResult<Vec<Found>> {
        let mask = mask.map(|mask| Bytes::of_items(mask, BOOLS)).transpose()?;
        let filter = match (&ids, &mask) {
            (None, None) => Filter::All,
            (Some(ids), None) => Filter::Ids(ids),
            (None, Some(mask)) => Filter::Mask(mask),
            (Some(_), Some(_)) => return Err(PyValueError::new_err("ids and a mask")),
        };
        let search = Search { filter, ..search };
        let index = self.prepared(py, search.first_pass)?;
        let (rows, least) = match &ids {
            None => (index.len(), PRODUCTS_A_ROW),
            Some(ids) => (ids.len(), PRODUCTS_AN_ID),
        };
        let products = rows.saturating_mul((queries.len() / 4).max(least));
        let long = products > MUCH_WORK;
        gil::away_if(py, long, || index.search_batch(queries, &search)).map_err(errors::vector)
    }

    /// The index, after the codes of a first pass are made if there are none.
    fn prepared(
        &self,
        py: Python<'_>,
        first_pass: FirstPass,
    ) -> PyResult<RwLockReadGuard<'_, vectors::VectorIndex>> {
        loop {
            let index = self.index.read(py);
            // Another thread may have just made others in their place.
            if index.prepared(first_pass) {
                return Ok(index);
            }
            drop(index);
            let mut index = self.index.write(py);
            let index = &mut *index;
            py.detach(|| index.prepare(first_pass))
                .map_err(errors::vector)?;
        }
    }
}

#[pymethods]
impl VectorIndex {
    #[new]
    #[pyo3(signature = (dimensions=256, metric="cosine"))]
    fn new(dimensions: usize, metric: &str) -> PyResult<Self> {
        let metric = match metric {
            "cosine" => Metric::Cosine,
            "dot" => Metric::Dot,
            _ => return Err(PyValueError::new_err(format!("no metric {metric:?}"))),
        };
        let index = vectors::VectorIndex::with_metric(dimensions, metric);
        Ok(Self::of(index.map_err(errors::vector)?))
    }

    /// Reads what `to_bytes` wrote; the rows are copied once.
    #[staticmethod]
    fn from_bytes(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = Bytes::of(data)?;
        let bytes: &[u8] = &bytes;
        let index = data.py().detach(|| vectors::VectorIndex::read(bytes));
        Ok(Self::of(index.map_err(errors::vector)?))
    }

    /// All of it, to be kept.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let index = self.index.read(py);
        let index = &*index;
        PyBytes::new_with(py, index.saved_bytes(), |out| {
            py.detach(|| index.write(out));
            Ok(())
        })
    }

    /// Maps a file that `save` wrote.
    #[staticmethod]
    fn map(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let index = py.detach(|| vectors::VectorIndex::map(&path));
        Ok(Self::of(index.map_err(errors::vector_file)?))
    }

    /// Writes a file that `map` maps.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let index = self.index.read(py);
        py.detach(|| index.save(&path)).map_err(errors::vector_file)
    }

    /// Puts a vector under an id, in the place of the one that was there.
    fn add(&self, py: Python<'_>, id: u64, vector: &Bound<'_, PyAny>) -> PyResult<()> {
        let vector = Bytes::of_items(vector, FLOATS)?;
        let vector: &[u8] = &vector;
        let added = self.change(py, |index| index.is_full(), |index| index.add(id, vector))?;
        added.map_err(errors::vector)
    }

    /// Makes room for `rows` more vectors, so that adding them moves nothing.
    fn reserve(&self, py: Python<'_>, rows: usize) -> PyResult<()> {
        let reserved = self.change(py, |_| true, |index| index.reserve(rows))?;
        reserved.map_err(errors::vector)
    }

    /// Takes a vector out; False where there was none.
    fn remove(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        self.change(py, |index| index.is_full(), |index| index.remove(id))
    }

    /// The vector under an id, as it is stored.
    fn get<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.index
            .read(py)
            .get(id)
            .map(|row| floats(py, row))
            .transpose()
    }

    /// The `k` nearest, best first.
    #[pyo3(signature = (query, k=10, ids=None, *, mask=None, first_pass="auto", threads=0))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn search(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyAny>,
        k: usize,
        ids: Option<Vec<u64>>,
        mask: Option<&Bound<'_, PyAny>>,
        first_pass: &str,
        threads: usize,
    ) -> PyResult<Found> {
        let query = Bytes::of_items(query, FLOATS)?;
        let (expected, got) = (4 * self.index.read(py).dimensions(), query.len());
        if got != expected {
            return Err(errors::vector(vectors::VectorError::Size { expected, got }));
        }
        let search = Search {
            k,
            first_pass: first_pass_of(first_pass)?,
            threads,
            ..Search::default()
        };
        let found = self.find(py, &query, ids, mask, search)?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// The `k` nearest of each of several queries.
    #[pyo3(signature = (queries, k=10, ids=None, *, mask=None, first_pass="auto", threads=0))]
    #[allow(clippy::too_many_arguments)] // Python's keywords
    fn search_batch(
        &self,
        py: Python<'_>,
        queries: &Bound<'_, PyAny>,
        k: usize,
        ids: Option<Vec<u64>>,
        mask: Option<&Bound<'_, PyAny>>,
        first_pass: &str,
        threads: usize,
    ) -> PyResult<Vec<Found>> {
        let queries = Bytes::of_items(queries, FLOATS)?;
        let search = Search {
            k,
            first_pass: first_pass_of(first_pass)?,
            threads,
            ..Search::default()
        };
        self.find(py, &queries, ids, mask, search)
    }

    /// The `k` nearest of each of several queries, as arrays of ids and of scores.
    #[pyo3(signature = (queries, k=10, *, mask=None, first_pass="auto", threads=0))]
    fn search_arrays<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        mask: Option<&Bound<'py, PyAny>>,
        first_pass: &str,
        threads: usize,
    ) -> PyResult<Arrays<'py>> {
        let found = self.search_batch(py, queries, k, None, mask, first_pass, threads)?;
        arrays(py, &found)
    }

    /// The rows as a read-only array, not copied.
    fn rows(slf: Bound<'_, Self>) -> VectorArray {
        VectorArray::lend(slf, false)
    }

    /// The ids as a read-only array, in the order of the rows.
    fn ids(slf: Bound<'_, Self>) -> VectorArray {
        VectorArray::lend(slf, true)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.index.read(py).len()
    }

    fn __contains__(&self, py: Python<'_>, id: u64) -> bool {
        self.index.read(py).get(id).is_some()
    }

    /// Numbers in a vector.
    #[getter]
    fn dimensions(&self, py: Python<'_>) -> usize {
        self.index.read(py).dimensions()
    }

    /// Bytes that its arrays take.
    #[getter]
    fn memory_bytes(&self, py: Python<'_>) -> usize {
        self.index.read(py).memory_bytes()
    }
}
