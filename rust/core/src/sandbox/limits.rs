//! How much a process may use.

use std::fs;
use std::io::{Error, ErrorKind, Result};

use super::itself::check;
use super::{Profile, Settings};

/// Descriptors of an instance.
const AGENT_FILES: u64 = 64;
const PROGRAM_FILES: u64 = 1024;
/// Processes and threads of the user (in a user namespace: of this process): an instance makes none.
const AGENT_PROCESSES: u64 = 0;
/// Half of what programs may have: an evaluator can work beside a candidate that starts all that it can.
const AGENT_THREADS: u64 = 256;
const PROGRAM_PROCESSES: u64 = 512;

/// What a process has now, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    all: u64,
    data: u64,
}

/// What it has now, from /proc.
pub(super) fn present() -> Result<Present> {
    let text = fs::read_to_string("/proc/self/statm").map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::other("/proc is not mounted"),
        _ => error,
    })?;
    let pages: Vec<u64> = text
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // SAFETY: sysconf takes one number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    match pages[..] {
        [all, _, _, _, _, data, ..] => Ok(Present {
            all: all * page,
            data: data * page,
        }),
        _ => Err(Error::from_raw_os_error(libc::EBADMSG)),
    }
}

/// Sets the limits, soft and hard.
pub(super) fn set(settings: &Settings, present: Present) -> Result<()> {
    let agent = settings.profile == Profile::Agent;
    let pick = |of_agent, of_program| if agent { of_agent } else { of_program };
    lower(libc::RLIMIT_CORE, 0)?;
    lower(libc::RLIMIT_NOFILE, pick(AGENT_FILES, PROGRAM_FILES))?;
    let of_agent = if settings.concurrent {
        AGENT_THREADS
    } else {
        AGENT_PROCESSES
    };
    lower(libc::RLIMIT_NPROC, pick(of_agent, PROGRAM_PROCESSES))?;
    lower(libc::RLIMIT_FSIZE, settings.file_bytes)?;
    lower(libc::RLIMIT_MEMLOCK, 0)?;
    lower(libc::RLIMIT_MSGQUEUE, 0)?;
    if settings.memory_bytes > 0 {
        lower(
            libc::RLIMIT_AS,
            present.all.saturating_add(settings.memory_bytes),
        )?;
        lower(
            libc::RLIMIT_DATA,
            present.data.saturating_add(settings.memory_bytes),
        )?;
    }
    if settings.cpu_s > 0 {
        lower(libc::RLIMIT_CPU, settings.cpu_s)?;
    }
    Ok(())
}

/// A limit that is lower already stays.
fn lower(resource: libc::__rlimit_resource_t, value: u64) -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is ours and lives across the call.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    let value = value.min(limit.rlim_max);
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the same.
    check(unsafe { libc::setrlimit(resource, &raw const limit) })
}
