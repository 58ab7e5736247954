//! Processes.

use o_core::{process, turns};
use pyo3::prelude::*;

use crate::errors;

/// Has `signal` sent to this process when the thread that made it ends; 0 takes that back.
#[pyfunction]
pub fn set_parent_death_signal(signal: i32) -> PyResult<()> {
    process::set_parent_death_signal(signal).map_err(errors::os)
}

/// Whoever is left behind by a process below this one becomes its child.
#[pyfunction]
pub fn adopt_orphans() -> PyResult<()> {
    process::adopt_orphans().map_err(errors::os)
}

/// Memory comes in small pages from here on.
#[pyfunction]
pub fn set_small_pages() -> PyResult<()> {
    process::set_small_pages().map_err(errors::os)
}

/// The thread that calls asks the scheduler for the shortest turns.
#[pyfunction]
pub fn set_short_turns() -> PyResult<()> {
    turns::set_short_turns().map_err(errors::os)
}

/// Gives whole free pages of the heap back to the system.
#[pyfunction]
pub fn give_back_memory(py: Python<'_>) {
    py.detach(process::give_back);
}

/// Resident, proportional and private bytes of a process.
#[pyfunction]
pub fn process_rss_pss(py: Python<'_>, pid: u32) -> PyResult<(u64, u64, u64)> {
    // The kernel walks all pages: milliseconds for a large process.
    let memory = py.detach(|| process::memory(pid)).map_err(errors::os)?;
    Ok((memory.rss, memory.pss, memory.private))
}

/// Resident bytes of a process: cheap, and allowed for every process.
#[pyfunction]
pub fn process_rss(pid: u32) -> PyResult<u64> {
    process::rss(pid).map_err(errors::os)
}

/// CPU time of a process in nanoseconds.
#[pyfunction]
pub fn process_cpu_ns(pid: u32) -> PyResult<u64> {
    process::cpu_ns(pid).map_err(errors::os)
}
