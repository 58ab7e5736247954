//! Free pieces of memory between what is in use: used up before a fork, because a process that uses one copies its page.

use std::ffi::c_void;
use std::fs;
use std::io::Result;
use std::ops::Range;
use std::ptr::NonNull;

/// Takes `size` bytes from an allocator, or gives nothing.
pub trait Allocator {
    /// None: there is no more.
    fn take(&self, size: usize) -> Option<NonNull<c_void>>;
    /// Gives back what `take` gave.
    fn give_back(&self, taken: NonNull<c_void>);
}

/// Takes pieces of each size until one comes from where nothing has been: that one goes back, the others stay taken.
fn fill(
    allocator: &impl Allocator,
    sizes: impl Iterator<Item = usize>,
    fresh: impl Fn(usize) -> bool,
) {
    for size in sizes {
        while let Some(taken) = allocator.take(size) {
            if fresh(taken.as_ptr() as usize) {
                allocator.give_back(taken);
                break;
            }
        }
    }
}

/// For an allocator that has memory mapped when it has none left: some kilobytes to a megabyte are mapped by this.
///
/// # Errors
/// The mappings cannot be read.
pub fn fill_mapped(allocator: &impl Allocator, sizes: impl Iterator<Item = usize>) -> Result<()> {
    let text = fs::read_to_string("/proc/self/maps")?;
    let before: Vec<Range<usize>> = text.lines().filter_map(range).collect();
    fill(allocator, sizes, |at| {
        !before.iter().any(|range| range.contains(&at))
    });
    Ok(())
}

fn range(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

/// For `malloc`'s own heap. Only glibc's is known.
pub fn fill_heap() {
    #[cfg(target_env = "gnu")]
    glibc::fill_heap();
}

#[cfg(target_env = "gnu")]
mod glibc {
    use std::ffi::c_void;
    use std::ptr::NonNull;

    /// Larger holes are used up by several pieces.
    const LARGEST_BYTES: usize = 64 * 1024;
    const SMALLEST_BYTES: usize = 24;
    const STEP_BYTES: usize = 16;

    struct Malloc;

    impl super::Allocator for Malloc {
        fn take(&self, size: usize) -> Option<NonNull<c_void>> {
            // SAFETY: takes a number; null is seen.
            NonNull::new(unsafe { libc::malloc(size) })
        }

        fn give_back(&self, taken: NonNull<c_void>) {
            // SAFETY: came from malloc, is not used any more, and is freed once.
            unsafe { libc::free(taken.as_ptr()) };
        }
    }

    pub(super) fn fill_heap() {
        // SAFETY: only counts.
        let last_free = unsafe { libc::mallinfo2() }.keepcost;
        // SAFETY: with 0 it only tells where the heap ends.
        let end = unsafe { libc::sbrk(0) } as usize;
        let used_to = end.saturating_sub(last_free);
        let sizes = (SMALLEST_BYTES..=LARGEST_BYTES).rev().step_by(STEP_BYTES);
        super::fill(&Malloc, sizes, |at| at >= used_to);
    }
}

#[cfg(test)]
mod tests {
    use super::{Allocator, fill};
    use std::cell::RefCell;
    use std::ffi::c_void;
    use std::ptr::{NonNull, without_provenance_mut};

    /// Gives its holes by size, then what is new, from 1000 on.
    struct Holes(RefCell<Vec<(usize, usize)>>, RefCell<Vec<usize>>);

    impl Allocator for Holes {
        fn take(&self, size: usize) -> Option<NonNull<c_void>> {
            let mut holes = self.0.borrow_mut();
            let fits = holes.iter().position(|hole| hole.1 == size);
            let at = fits.map_or(1000 + size, |index| holes.remove(index).0);
            NonNull::new(without_provenance_mut(at))
        }

        fn give_back(&self, taken: NonNull<c_void>) {
            self.1.borrow_mut().push(taken.as_ptr() as usize);
        }
    }

    #[test]
    fn all_holes_are_taken_and_only_what_is_new_goes_back() {
        let holes = Holes(
            RefCell::new(vec![(8, 16), (40, 32), (72, 16)]),
            RefCell::default(),
        );
        fill(&holes, [32, 16].into_iter(), |at| at >= 1000);
        assert!(holes.0.borrow().is_empty());
        assert_eq!(*holes.1.borrow(), [1032, 1016]);
    }

    #[test]
    fn a_line_of_the_mappings() {
        let line = "7f00a000-7f00b000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(super::range(line), Some(0x7f00_a000..0x7f00_b000));
        assert_eq!(super::range(""), None);
    }
}
