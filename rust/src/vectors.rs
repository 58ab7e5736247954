//! Vectors.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use o_core::vectors;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::errors;

/// From so many products, or bytes of text, on the work passes 50 us, and the GIL is released around it.
const MUCH_WORK: usize = 100_000;
const LONG_BYTES: usize = 512;

/// The vector of a text as float32, little-endian: hashed n-grams, the same bytes on every machine.
#[pyfunction]
#[pyo3(signature = (text, dimensions=256))]
pub fn embed<'py>(text: &Bound<'py, PyString>, dimensions: usize) -> PyResult<Bound<'py, PyBytes>> {
    let py = text.py();
    let text = text.to_string_lossy();
    let vector = if text.len() < LONG_BYTES {
        vectors::embed(&text, dimensions)
    } else {
        py.detach(|| vectors::embed(&text, dimensions))
    };
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

/// Vectors under ids (u64), and the exact best by cosine.
#[pyclass(frozen, module = "o_tui._native")]
pub struct VectorIndex {
    // A lock and not a borrow: who adds while another thread searches waits, and gets no exception. It is never held
    // while the GIL is waited for.
    index: RwLock<vectors::VectorIndex>,
}

impl VectorIndex {
    fn read(&self) -> RwLockReadGuard<'_, vectors::VectorIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, vectors::VectorIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl VectorIndex {
    #[new]
    #[pyo3(signature = (dimensions=256))]
    fn new(dimensions: usize) -> PyResult<Self> {
        let index = vectors::VectorIndex::new(dimensions).map_err(errors::vector)?;
        Ok(VectorIndex {
            index: RwLock::new(index),
        })
    }

    /// Reads what `to_bytes` wrote; the rows are copied once.
    #[staticmethod]
    fn from_bytes(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = data.py();
        let index = if let Ok(bytes) = data.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            py.detach(|| vectors::VectorIndex::read(bytes))
        } else {
            let buffer = PyBuffer::<u8>::get(data)?;
            let cells = buffer
                .as_slice(py)
                .ok_or_else(|| PyBufferError::new_err("the buffer is not contiguous"))?;
            vectors::VectorIndex::read_from(cells.len(), |at, out| {
                for (place, cell) in out.iter_mut().zip(&cells[at..]) {
                    *place = cell.get();
                }
            })
        };
        Ok(VectorIndex {
            index: RwLock::new(index.map_err(errors::vector)?),
        })
    }

    /// All of it, to be kept.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let index = self.read();
        PyBytes::new_with(py, index.saved_bytes(), |out| {
            index.write(out);
            Ok(())
        })
    }

    /// Puts a vector under an id, in the place of the one that was there.
    fn add(&self, id: u64, vector: &[u8]) -> PyResult<()> {
        self.write().add(id, vector).map_err(errors::vector)
    }

    /// Makes room for `rows` more vectors, so that adding them moves nothing.
    fn reserve(&self, rows: usize) -> PyResult<()> {
        self.write().reserve(rows).map_err(errors::vector)
    }

    /// Takes a vector out; False where there was none.
    fn remove(&self, id: u64) -> bool {
        self.write().remove(id)
    }

    /// The vector under an id, with length 1 as it is stored.
    fn get<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.read().get(id).map(|row| floats(py, row)).transpose()
    }

    /// The `k` nearest by cosine, best first.
    #[pyo3(signature = (query, k=10, ids=None))]
    fn search(
        &self,
        py: Python<'_>,
        query: &[u8],
        k: usize,
        ids: Option<Vec<u64>>,
    ) -> PyResult<Vec<(u64, f32)>> {
        let rows = ids.as_ref().map_or_else(|| self.read().len(), Vec::len);
        let work = || self.read().search(query, k, ids.as_deref());
        let found = match rows.saturating_mul(query.len() / 4) > MUCH_WORK {
            true => py.detach(work),
            false => work(),
        };
        found.map_err(errors::vector)
    }

    fn __len__(&self) -> usize {
        self.read().len()
    }

    fn __contains__(&self, id: u64) -> bool {
        self.read().get(id).is_some()
    }

    /// Numbers in a vector.
    #[getter]
    fn dimensions(&self) -> usize {
        self.read().dimensions()
    }

    /// Bytes that its arrays take.
    #[getter]
    fn memory_bytes(&self) -> usize {
        self.read().memory_bytes()
    }
}
