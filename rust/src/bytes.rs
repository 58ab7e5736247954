//! Bytes of Python's objects, to be read while the GIL is away.

use std::ops::{Deref, Range};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// What nobody changes: a `bytes` object or a part of one that a `memoryview` shows, as it is; others are copied once.
pub struct Bytes<'py> {
    of: Bound<'py, PyBytes>,
    range: Range<usize>,
}

impl<'py> Bytes<'py> {
    /// Those of a contiguous buffer.
    pub fn of(data: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::checked(data, |_| Ok(()))
    }

    /// Those of a contiguous buffer whose items are of one of these formats of the module `struct`, or of `bytes`.
    pub fn of_items(data: &Bound<'py, PyAny>, formats: &[&str]) -> PyResult<Self> {
        Self::checked(data, |format| {
            // Not by pyo3's own comparison, which takes big-endian numbers for this machine's.
            let item = format.strip_prefix(['@', '=', '<']).unwrap_or(format);
            if formats.contains(&item) {
                return Ok(());
            }
            let text = format!("a buffer of items {format:?}; they should be of {formats:?}");
            Err(PyTypeError::new_err(text))
        })
    }

    fn checked(
        data: &Bound<'py, PyAny>,
        check: impl FnOnce(&str) -> PyResult<()>,
    ) -> PyResult<Self> {
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return Ok(Self::whole(bytes.clone()));
        }
        // A view says the shape and the strides of every buffer, which not every object does.
        let view = PyMemoryView::from(data)?;
        let buffer = PyUntypedBuffer::get(&view)?;
        check(&buffer.format().to_string_lossy())?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not contiguous"));
        }
        if let Ok(of) = view.getattr("obj")?.cast_into::<PyBytes>() {
            let first = of.as_bytes().as_ptr().addr();
            let start = buffer.buf_ptr().addr().wrapping_sub(first);
            let range = start..start.saturating_add(buffer.len_bytes());
            if of.as_bytes().get(range.clone()).is_some() {
                return Ok(Bytes { of, range });
            }
        }
        let copied = view.call_method0("tobytes")?.cast_into()?;
        Ok(Self::whole(copied))
    }

    fn whole(of: Bound<'py, PyBytes>) -> Self {
        let range = 0..of.as_bytes().len();
        Bytes { of, range }
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.of.as_bytes()[self.range.clone()]
    }
}
