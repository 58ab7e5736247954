//! How long the turns are that a thread asks the scheduler for.

use std::io::{Error, Result};
use std::mem::size_of;

/// The shortest turn that Linux takes as it is asked for.
pub const SHORTEST_NS: u64 = 100_000;

/// Asks for the shortest turns for the thread that calls: when it wakes it takes a core from whoever asked for longer
/// ones, as long as it has not used up its share. Otherwise it would wait for the tick (4 ms) or the end of a turn.
///
/// It gets no more of the machine, only sooner. Threads and processes that it starts have ordinary turns again. Linux
/// before 6.12 takes note and does nothing; a thread with another policy than the ordinary one is left as it is.
///
/// # Errors
/// The kernel refuses.
pub fn set_short_turns() -> Result<()> {
    let mut asked = turns()?;
    if asked.sched_policy == libc::SCHED_OTHER.cast_unsigned() {
        asked.sched_flags |= u64::from(libc::SCHED_FLAG_RESET_ON_FORK.cast_unsigned());
        asked.sched_runtime = SHORTEST_NS;
        let none: libc::c_uint = 0;
        // SAFETY: 0 is the thread that calls; the kernel reads `asked`, which says its own size.
        let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const asked, none) };
        if done == -1 {
            return Err(Error::last_os_error());
        }
    }
    Ok(())
}

/// What the scheduler has noted of the thread that calls.
fn turns() -> Result<libc::sched_attr> {
    // SAFETY: zeros are a `sched_attr`.
    let mut found: libc::sched_attr = unsafe { std::mem::zeroed() };
    let (size, none): (libc::c_uint, libc::c_uint) = (size_of::<libc::sched_attr>() as u32, 0);
    // SAFETY: 0 is the thread that calls; the kernel writes at most `size` bytes of `found`, which is ours.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, none) };
    match done {
        -1 => Err(Error::last_os_error()),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn for_the_thread_that_asks_and_no_other() {
        let ordinary = turns().unwrap();
        let (own, started) = thread::spawn(|| {
            set_short_turns().unwrap();
            let started = thread::spawn(|| turns().unwrap()).join().unwrap();
            (turns().unwrap(), started)
        })
        .join()
        .unwrap();
        // 0: a kernel that does not know of turns
        assert!(
            [0, SHORTEST_NS].contains(&own.sched_runtime),
            "{}",
            own.sched_runtime
        );
        assert_eq!(own.sched_nice, ordinary.sched_nice);
        assert_eq!(started.sched_runtime, ordinary.sched_runtime);
        assert_eq!(turns().unwrap().sched_runtime, ordinary.sched_runtime);
    }

    #[test]
    fn another_policy_stays() {
        thread::spawn(|| {
            let none = libc::sched_param { sched_priority: 0 };
            // SAFETY: 0 is the thread that calls; `none` is ours.
            let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
            assert_eq!(done, 0);
            set_short_turns().unwrap();
            let idle = libc::SCHED_IDLE.cast_unsigned();
            assert_eq!(turns().unwrap().sched_policy, idle);
        })
        .join()
        .unwrap();
    }
}
