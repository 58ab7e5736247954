//! What the guardian asks of Linux about processes, and what a process of ours does to itself.

use std::fs;
use std::io::{Error, ErrorKind, Result};

/// What a process holds of the memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident: everything that is mapped and in memory.
    pub rss: u64,
    /// Proportional: shared pages are divided among those who share them.
    pub pss: u64,
    /// Pages that nobody else has.
    pub private: u64,
}

fn check(result: libc::c_int) -> Result<libc::c_int> {
    match result {
        -1 => Err(Error::last_os_error()),
        good => Ok(good),
    }
}

/// A process that has gone, whichever way it shows.
fn gone(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::from_raw_os_error(libc::ESRCH),
        _ => error,
    }
}

fn read(pid: u32, name: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(gone)
}

fn garbled() -> Error {
    Error::from_raw_os_error(libc::EBADMSG)
}

/// Has `signal` sent to this process when the thread that made it ends; 0 takes that back.
///
/// # Errors
/// No such signal.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    let signal =
        libc::c_ulong::try_from(signal).map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: PR_SET_PDEATHSIG takes one number and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(|_| ())
}

/// From here on whoever is left behind by a process below this one becomes its child.
///
/// # Errors
/// The kernel refuses.
pub fn adopt_orphans() -> Result<()> {
    let one: libc::c_ulong = 1;
    // SAFETY: PR_SET_CHILD_SUBREAPER takes one number and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, one) }).map(|_| ())
}

/// From here on no program that this process runs gains rights, no other process of the user may look into it,
/// and it leaves no core file. The first cannot be taken back.
///
/// # Errors
/// The kernel refuses.
pub fn set_no_new_privs_not_dumpable() -> Result<()> {
    let (zero, one): (libc::c_ulong, libc::c_ulong) = (0, 1);
    // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers and touches no memory of ours; the unused ones must be 0.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) })?;
    // SAFETY: PR_SET_DUMPABLE takes numbers and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, zero, zero, zero, zero) }).map(|_| ())
}

/// Closes the file descriptors `first..=last`, those that are open.
///
/// # Errors
/// `first` is greater than `last`.
pub fn close_range(first: u32, last: u32) -> Result<()> {
    let none: libc::c_uint = 0;
    // SAFETY: the system call takes three numbers. That descriptors of others are closed is what it is asked for.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, none) };
    match result {
        -1 => match Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) => close_each(first, last),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// For kernels before 5.9.
fn close_each(first: u32, last: u32) -> Result<()> {
    let names = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let open: Vec<libc::c_int> = names.filter_map(|name| name.parse().ok()).collect();
    for fd in open {
        if u32::try_from(fd).is_ok_and(|fd| (first..=last).contains(&fd)) {
            // SAFETY: close takes one number; a descriptor that is closed already is an error that is of no interest.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Lets this process take its memory in small pages from here on: in a huge one, what is used keeps 2 MB.
///
/// # Errors
/// The kernel refuses.
pub fn set_small_pages() -> Result<()> {
    let (zero, one): (libc::c_ulong, libc::c_ulong) = (0, 1);
    // SAFETY: PR_SET_THP_DISABLE takes numbers and touches no memory of ours; the unused ones must be 0.
    check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, one, zero, zero, zero) }).map(|_| ())
}

/// Gives whole free pages of the heap back to the system, those between what is in use too: after a fork they would
/// stay this process' own. Only glibc can.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    give_back_heap();
}

#[cfg(target_env = "gnu")]
fn give_back_heap() {
    // SAFETY: takes a number; what is in use stays where it is.
    unsafe { libc::malloc_trim(0) };
    // With huge pages glibc keeps up to 2 MB at the end of the heap. It is taken, so that no other thread can use it
    // meanwhile, emptied, and put back.
    // SAFETY: only counts.
    let free = usize::try_from(unsafe { libc::mallinfo() }.keepcost).unwrap_or(0);
    let size = free.saturating_sub(END_BYTES);
    if size < page_bytes() {
        return;
    }
    // SAFETY: takes a number; what comes of it is used only where it is not null.
    let room = unsafe { libc::malloc(size) };
    if room.is_null() {
        return;
    }
    let start = (room as usize).next_multiple_of(page_bytes());
    let end = (room as usize + size) / page_bytes() * page_bytes();
    if start < end {
        // SAFETY: whole pages inside of what malloc has just given to us; they read as zeros then.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
    // SAFETY: came from malloc, is not used any more, and is freed once.
    unsafe { libc::free(room) };
}

/// What stays of the heap's end when nearly all of it is asked for: malloc's own headers.
#[cfg(target_env = "gnu")]
const END_BYTES: usize = 256;

pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf takes one number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// What a process holds, from `/proc/<pid>/smaps_rollup`.
///
/// # Errors
/// ESRCH: it has gone. EACCES: it is another user's, or not dumpable (then [`rss`] still works).
pub fn memory(pid: u32) -> Result<Memory> {
    let text = read(pid, "smaps_rollup")?;
    if text.is_empty() {
        return Err(Error::from_raw_os_error(libc::ESRCH));
    }
    parse_memory(&text).ok_or_else(garbled)
}

fn parse_memory(text: &str) -> Option<Memory> {
    let mut memory = Memory {
        rss: 0,
        pss: 0,
        private: 0,
    };
    let mut seen = false;
    for line in text.lines().skip(1) {
        let (name, value) = line.split_once(':')?;
        let kilobytes = || value.trim().strip_suffix(" kB")?.parse::<u64>().ok();
        let into = match name {
            "Rss" => &mut memory.rss,
            "Pss" => {
                seen = true;
                &mut memory.pss
            }
            "Private_Clean" | "Private_Dirty" | "Private_Hugetlb" => &mut memory.private,
            _ => continue,
        };
        *into = into.saturating_add(kilobytes()?.saturating_mul(1024));
    }
    seen.then_some(memory)
}

/// The resident bytes of a process, from `/proc/<pid>/statm`: cheap, and allowed for every process.
///
/// # Errors
/// ESRCH: it has gone.
pub fn rss(pid: u32) -> Result<u64> {
    let text = read(pid, "statm")?;
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .ok_or_else(garbled)?;
    Ok(pages.saturating_mul(page_bytes() as u64))
}

/// The CPU time of a process (all its threads, user and system), in nanoseconds.
///
/// Read from its CPU clock; where that is not allowed from `schedstat` (its first thread only), then from `stat`
/// (in ticks).
///
/// # Errors
/// ESRCH: it has gone.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    clock_ns(pid)
        .or_else(|_| schedstat_ns(pid))
        .or_else(|_| stat_ns(pid))
}

fn clock_ns(pid: u32) -> Result<u64> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| Error::from_raw_os_error(libc::ESRCH))?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is ours and lives across the call.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if error != 0 {
        return Err(Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours and lives across the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    match (seconds, rest) {
        (Ok(seconds), Ok(rest)) => Ok(seconds.saturating_mul(1_000_000_000).saturating_add(rest)),
        _ => Err(garbled()),
    }
}

fn schedstat_ns(pid: u32) -> Result<u64> {
    let text = read(pid, "schedstat")?;
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .ok_or_else(garbled)
}

fn stat_ns(pid: u32) -> Result<u64> {
    let text = read(pid, "stat")?;
    // SAFETY: sysconf takes one number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let tick_ns = 1_000_000_000 / u64::try_from(ticks).unwrap_or(100).max(1);
    parse_stat(&text)
        .map(|ticks| ticks.saturating_mul(tick_ns))
        .ok_or_else(garbled)
}

/// `utime + stime`. The name before them is in parentheses and may hold anything, parentheses too.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user.saturating_add(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: u32 = 0x7fff_fff0;

    #[test]
    fn memory_of_this_process() {
        let held = vec![1u8; 8 << 20];
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.private >= held.len() as u64, "{memory:?}");
        assert!(
            memory.private <= memory.pss && memory.pss <= memory.rss,
            "{memory:?}"
        );
        assert!(rss(std::process::id()).unwrap() >= held.len() as u64);
    }

    #[test]
    fn who_has_gone() {
        for error in [
            memory(NOBODY).unwrap_err(),
            rss(NOBODY).unwrap_err(),
            cpu_ns(NOBODY).unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        }
    }

    #[test]
    fn rollups() {
        let text = "55-7f ---p 0 00:00 0    [rollup]\nRss:   12 kB\nPss:  8 kB\nPss_Anon: 9 kB\n\
                    Private_Clean: 1 kB\nPrivate_Dirty:  2 kB\nPrivate_Hugetlb: 4 kB\n";
        let memory = parse_memory(text).unwrap();
        assert_eq!(
            (memory.rss, memory.pss, memory.private),
            (12 << 10, 8 << 10, 7 << 10)
        );
        assert_eq!(parse_memory("55-7f\nPss: x kB\n"), None);
        assert_eq!(parse_memory("55-7f\nRss: 1 kB\n"), None);
        assert_eq!(parse_memory("55-7f\nnonsense\n"), None);
    }

    #[test]
    fn all_ways_to_the_cpu_time_agree() {
        let id = std::process::id();
        let mut sum = 0u64;
        while clock_ns(id).unwrap() < 60_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let (stat, clock) = (stat_ns(id).unwrap(), clock_ns(id).unwrap());
        assert!(
            stat <= clock + 50_000_000 && stat + 50_000_000 >= clock,
            "{stat} {clock} {sum}"
        );
        assert!(schedstat_ns(id).unwrap() <= clock_ns(id).unwrap());
        assert_eq!(
            parse_stat("1 (a) b) c) R 1 1 1 0 -1 0 0 0 0 0 25 17 0 0"),
            Some(42)
        );
        assert_eq!(parse_stat("1 (a R"), None);
    }

    #[test]
    fn bad_arguments() {
        assert_eq!(
            set_parent_death_signal(-1).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        assert_eq!(
            set_parent_death_signal(999).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        assert_eq!(
            close_range(9, 8).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }

    #[test]
    fn both_ways_to_close() {
        use std::os::fd::AsRawFd;
        for way in [close_range, close_each] {
            let file = fs::File::open("/dev/null").unwrap();
            // SAFETY: dup of an open descriptor to a number far above those that the tests use.
            let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 900) };
            assert!(high >= 900);
            way(900, 1000).unwrap();
            // SAFETY: F_GETFD takes a number.
            assert_eq!(unsafe { libc::fcntl(high, libc::F_GETFD) }, -1);
        }
    }
}
