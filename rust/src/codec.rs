//! The codec.

use std::os::fd::RawFd;
use std::sync::Arc;

use o_core::codec::{
    self, CodecError, Cursor, Digested, NEW, PackedBody, Patched, Run, Section, Slices, Source,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::Bytes;
use crate::errors;
use crate::gil;

const RUN_BYTES: usize = 16;
/// Less than this is done without giving the GIL away.
const SMALL_BYTES: usize = 8 << 10;

type NamedSection = (String, u64, [u8; 32]);

fn all<'py>(parts: &[Bound<'py, PyAny>]) -> PyResult<Vec<Bytes<'py>>> {
    parts.iter().map(Bytes::of).collect()
}

fn slices<'a>(parts: &'a [Bytes<'_>]) -> Vec<&'a [u8]> {
    parts.iter().map(|part| &**part).collect()
}

fn file(descriptor: RawFd) -> PyResult<std::fs::File> {
    codec::duplicate(descriptor).map_err(errors::os)
}

/// Writes parts as zstd frames; returns (bytes in the file, bytes of the parts, SHA-256 of the bytes in the file).
#[pyfunction]
#[pyo3(signature = (fd, at, parts, tail=None))]
pub fn pack<'py>(
    py: Python<'py>,
    fd: RawFd,
    at: u64,
    parts: Vec<Bound<'py, PyAny>>,
    tail: Option<&[u8]>,
) -> PyResult<(u64, u64, Bound<'py, PyBytes>)> {
    let (file, parts) = (file(fd)?, all(&parts)?);
    let (parts, tail) = (slices(&parts), tail.unwrap_or_default());
    let packed = py
        .detach(|| codec::pack(&file, at, &[], &Slices::new(&parts), tail))
        .map_err(errors::codec)?;
    Ok((packed.packed, packed.body, PyBytes::new(py, &packed.sha256)))
}

/// The SHA-256 of each section, and the list of their chunks.
#[pyfunction]
pub fn fingerprint<'py>(
    py: Python<'py>,
    sections: Vec<Bound<'py, PyAny>>,
) -> PyResult<(Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>)> {
    let sections = all(&sections)?;
    let sections = slices(&sections);
    let found = py
        .detach(|| codec::fingerprint(&sections))
        .map_err(errors::codec)?;
    let digests = found
        .sha256
        .iter()
        .map(|digest| PyBytes::new(py, digest))
        .collect();
    Ok((digests, PyBytes::new(py, &found.chunks)))
}

type RunsAndData<'py> = Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>;

/// The runs of sections over a base and the bytes that it does not have; None where those are more than `limit`.
#[pyfunction]
pub fn delta<'py>(
    py: Python<'py>,
    sections: Vec<Bound<'py, PyAny>>,
    chunks: &[u8],
    base_chunks: &[u8],
    limit: u64,
) -> PyResult<RunsAndData<'py>> {
    let sections = all(&sections)?;
    let sections = slices(&sections);
    let found = py
        .detach(|| codec::delta(&sections, chunks, base_chunks, limit))
        .map_err(errors::codec)?;
    Ok(found.map(|found| {
        let raw: Vec<u8> = found
            .runs
            .iter()
            .flat_map(|run| [run.from, run.size])
            .flat_map(u64::to_le_bytes)
            .collect();
        (PyBytes::new(py, &raw), PyBytes::new(py, &found.data))
    }))
}

fn runs(raw: &[u8]) -> PyResult<Vec<Run>> {
    let number = |part: &[u8]| {
        part.first_chunk::<8>()
            .map_or(NEW, |raw| u64::from_le_bytes(*raw))
    };
    if !raw.len().is_multiple_of(RUN_BYTES) {
        return Err(PyValueError::new_err("a delta's runs are cut off"));
    }
    let read = |run: &[u8]| Run {
        from: number(run),
        size: number(&run[8..]),
    };
    Ok(raw.chunks_exact(RUN_BYTES).map(read).collect())
}

/// The SHA-256 of a region of a file.
#[pyfunction]
pub fn file_sha256<'py>(
    py: Python<'py>,
    fd: RawFd,
    at: u64,
    size: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let file = file(fd)?;
    let found = py
        .detach(|| codec::file_sha256(&file, at, size))
        .map_err(errors::codec)?;
    Ok(PyBytes::new(py, &found))
}

enum Content {
    Packed {
        body: Arc<PackedBody>,
        at: u64,
        size: u64,
    },
    Patched(Patched),
}

/// The body of a checkpoint, packed in a file.
#[pyclass(frozen, module = "o_tui._native")]
pub struct Body {
    content: Content,
}

impl Body {
    fn source(&self) -> &dyn Source {
        match &self.content {
            Content::Packed { body, .. } => body.as_ref(),
            Content::Patched(patched) => patched,
        }
    }

    /// The file's digest is compared too, where one is asked for and there is one file.
    fn files(&self, sha256: Option<[u8; 32]>) -> Vec<Digested<'_>> {
        match (&self.content, sha256) {
            (Content::Packed { body, at, size }, Some(sha256)) => vec![Digested {
                file: body.file(),
                at: *at,
                size: *size,
                sha256,
            }],
            _ => Vec::new(),
        }
    }
}

fn sections(named: Vec<NamedSection>) -> Vec<Section> {
    let make = |(name, size, sha256)| Section { name, size, sha256 };
    named.into_iter().map(make).collect()
}

#[pymethods]
impl Body {
    #[new]
    fn new(py: Python<'_>, fd: RawFd, at: u64, size: u64) -> PyResult<Self> {
        let file = file(fd)?;
        let body = py
            .detach(|| PackedBody::open(file, at, size))
            .map_err(errors::codec)?;
        Ok(Body {
            content: Content::Packed {
                body: Arc::new(body),
                at,
                size,
            },
        })
    }

    /// Bytes of the body, unpacked.
    #[getter]
    fn size(&self) -> u64 {
        self.source().size()
    }

    /// A small part of it.
    fn read<'py>(&self, py: Python<'py>, at: u64, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        if at
            .checked_add(size as u64)
            .is_none_or(|end| end > self.size())
        {
            return Err(errors::codec(CodecError::Corrupt(
                "the body is too short".into(),
            )));
        }
        PyBytes::new_with(py, size, |out| {
            py.detach(|| self.source().fill(&mut Cursor::default(), at, out))
                .map_err(errors::codec)
        })
    }

    /// What lies behind the frames in a skippable one; empty where there is none.
    fn tail<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let Content::Packed { body, .. } = &self.content else {
            return Ok(PyBytes::new(py, &[]));
        };
        let tail = py.detach(|| body.tail()).map_err(errors::codec)?;
        Ok(PyBytes::new(py, &tail))
    }

    /// Another body: runs over what begins at `at` of this one, and new bytes.
    fn patched(&self, py: Python<'_>, at: u64, runs: &[u8], data: &[u8]) -> PyResult<Body> {
        let Content::Packed { body, .. } = &self.content else {
            return Err(PyValueError::new_err("a delta over a delta"));
        };
        let patched = py.detach(|| {
            let runs = self::runs(runs)?;
            Patched::new(body.clone(), at, &runs, data.to_vec()).map_err(errors::codec)
        })?;
        Ok(Body {
            content: Content::Patched(patched),
        })
    }

    /// The sections that begin at `at`, one after the other, every digest compared.
    #[pyo3(signature = (at, sections, sha256=None))]
    fn unpack<'py>(
        &self,
        py: Python<'py>,
        at: u64,
        sections: Vec<NamedSection>,
        sha256: Option<[u8; 32]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (sections, files) = (self::sections(sections), self.files(sha256));
        let size = self.size().saturating_sub(at) as usize;
        PyBytes::new_with(py, size, |out| {
            py.detach(|| codec::unpack(self.source(), at, &sections, &files, out))
                .map_err(errors::codec)
        })
    }

    /// Compares every digest and keeps nothing.
    #[pyo3(signature = (at, sections, sha256=None))]
    fn check(
        &self,
        py: Python<'_>,
        at: u64,
        sections: Vec<NamedSection>,
        sha256: Option<[u8; 32]>,
    ) -> PyResult<()> {
        let (sections, files) = (self::sections(sections), self.files(sha256));
        py.detach(|| codec::check(self.source(), at, &sections, &files))
            .map_err(errors::codec)
    }

    /// Writes `head` and all of the body into a file as `pack` does.
    fn repack<'py>(
        &self,
        py: Python<'py>,
        fd: RawFd,
        at: u64,
        head: &[u8],
    ) -> PyResult<(u64, u64, Bound<'py, PyBytes>)> {
        let file = file(fd)?;
        let packed = py
            .detach(|| codec::pack(&file, at, head, self.source(), &[]))
            .map_err(errors::codec)?;
        Ok((packed.packed, packed.body, PyBytes::new(py, &packed.sha256)))
    }
}

/// A dictionary for small blocks, from samples of them.
#[pyfunction]
#[pyo3(signature = (samples, size=16_384))]
pub fn train_dictionary<'py>(
    py: Python<'py>,
    samples: Vec<Bound<'py, PyBytes>>,
    size: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let samples: Vec<&[u8]> = samples.iter().map(|sample| sample.as_bytes()).collect();
    let dictionary = py
        .detach(|| codec::train(&samples, size))
        .map_err(errors::codec)?;
    Ok(PyBytes::new(py, &dictionary))
}

/// A dictionary, made ready once for many blocks.
#[pyclass(frozen, module = "o_tui._native")]
pub struct Dictionary {
    dictionary: codec::Dictionary,
}

#[pymethods]
impl Dictionary {
    #[new]
    fn new(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let dictionary = py.detach(|| codec::Dictionary::new(data));
        let dictionary = dictionary.map_err(errors::codec)?;
        Ok(Dictionary { dictionary })
    }

    /// One block as a zstd frame.
    fn compress<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let large = data.len() > SMALL_BYTES;
        let packed = gil::away_if(py, large, || self.dictionary.compress(data));
        Ok(PyBytes::new(py, &packed.map_err(errors::codec)?))
    }

    /// What `compress` was given, at most `limit` bytes.
    #[pyo3(signature = (packed, limit=67_108_864))]
    fn decompress<'py>(
        &self,
        py: Python<'py>,
        packed: &[u8],
        limit: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let data = py.detach(|| self.dictionary.decompress(packed, limit));
        Ok(PyBytes::new(py, &data.map_err(errors::codec)?))
    }
}
