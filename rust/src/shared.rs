//! Shared counters.

use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use o_core::shared;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors;
use crate::gil;
use crate::sandbox::{Row, ViolationRing, rows};

/// From so many on the work may pass 50 us.
const MANY_SHARES: usize = 16;

/// An instance's own counters: it writes them, the guardian reads them.
#[pyclass(frozen, module = "o_tui._native")]
pub struct SharedCounters {
    counters: shared::Counters,
    fd: Mutex<Option<OwnedFd>>,
}

#[pymethods]
impl SharedCounters {
    #[new]
    fn new() -> PyResult<Self> {
        let (counters, fd) = shared::Counters::create().map_err(errors::os)?;
        let fd = Mutex::new(Some(fd));
        Ok(SharedCounters { counters, fd })
    }

    /// The descriptor for the reader, once: from here on it is the caller's to close.
    fn detach_fd(&self) -> PyResult<i32> {
        let mut fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        let fd = fd
            .take()
            .ok_or_else(|| PyValueError::new_err("it was detached before"))?;
        Ok(fd.into_raw_fd())
    }

    /// One request has ended.
    fn record(&self, latency_us: u64, ok: bool) {
        self.counters.record(latency_us, ok);
    }

    /// It lives.
    #[pyo3(signature = (seq, busy, resident_bytes=None))]
    fn beat(&self, seq: u64, busy: bool, resident_bytes: Option<u64>) {
        self.counters.beat(seq, busy, resident_bytes);
    }

    /// Where this process's refusals are recorded: the end of the region.
    fn ring(&self) -> PyResult<ViolationRing> {
        let ring = self
            .counters
            .ring()
            .ok_or_else(|| PyValueError::new_err("no ring"))?;
        Ok(ViolationRing { ring })
    }

    /// What a reader would see.
    fn read(&self) -> Option<SharedReading> {
        self.counters.read().map(SharedReading::from)
    }
}

/// Counters as they were together at one moment.
#[pyclass(frozen, get_all, module = "o_tui._native")]
pub struct SharedReading {
    seq: u64,
    requests: u64,
    latency_us: u64,
    errors: u64,
    heartbeat_ns: u64,
    busy: bool,
    resident_bytes: u64,
}

impl From<shared::Reading> for SharedReading {
    fn from(read: shared::Reading) -> Self {
        SharedReading {
            seq: read.seq,
            requests: read.requests,
            latency_us: read.latency_us,
            errors: read.errors,
            heartbeat_ns: read.heartbeat_ns,
            busy: read.busy,
            resident_bytes: read.resident_bytes,
        }
    }
}

/// The reading end of another process's counters.
#[pyclass(frozen, module = "o_tui._native")]
pub struct SharedReader {
    reader: shared::Reader,
}

#[pymethods]
impl SharedReader {
    #[new]
    fn new(fd: i32) -> PyResult<Self> {
        let reader = shared::Reader::open(fd).map_err(errors::os)?;
        Ok(SharedReader { reader })
    }

    /// The counters; None where the writer stands in the middle of an update.
    fn read(&self) -> Option<SharedReading> {
        self.reader.read().map(SharedReading::from)
    }

    /// How many latencies there are, and below which the shares of them lie, in microseconds.
    fn latency_us(&self, py: Python<'_>, shares: Vec<f64>) -> (u64, Vec<u64>) {
        let counts = self.reader.latency();
        let of = |share| counts.quantile(share);
        let latencies = gil::away_if(py, shares.len() > MANY_SHARES, || {
            shares.into_iter().map(of).collect()
        });
        (counts.total(), latencies)
    }

    /// How much was refused, as the writer says.
    fn violation_count(&self) -> u64 {
        self.reader.violation_count()
    }

    /// `(number, layer, call, errno, path, time_ns)`, oldest first.
    #[pyo3(signature = (after=0))]
    fn violations(&self, after: u64) -> Vec<Row> {
        rows(self.reader.violations(), after)
    }
}
