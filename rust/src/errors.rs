//! Errors of the core as Python's.

use o_core::codec::CodecError;
use o_core::memory::MemoryError;
use o_core::vectors::VectorError;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;

/// ValueError, or MemoryError.
pub fn vector(error: VectorError) -> PyErr {
    match error {
        VectorError::OutOfMemory => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// ValueError where a file is not what it should be, else OSError.
pub fn vector_file(error: std::io::Error) -> PyErr {
    match error.downcast::<VectorError>() {
        Ok(wrong) => vector(wrong),
        Err(error) => os(error),
    }
}

/// ValueError.
pub fn memory(error: MemoryError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// OSError with its errno; Python makes ProcessLookupError, PermissionError and the like of it.
pub fn os(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(errno) => PyOSError::new_err((errno, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// ValueError for bytes that are not what they should be; OSError, MemoryError.
pub fn codec(error: CodecError) -> PyErr {
    match error {
        CodecError::Corrupt(text) => PyValueError::new_err(text),
        CodecError::Io(error) => os(error),
        CodecError::OutOfMemory => PyMemoryError::new_err(error.to_string()),
    }
}
