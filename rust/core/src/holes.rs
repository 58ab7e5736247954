//! Free pieces of memory between what is in use: used up before a fork, because a process that uses one copies its page.

use std::fs;
use std::io::Result;
use std::ops::Range;

/// Memory taken from an allocator; it goes back when this is dropped.
pub trait Piece {
    /// Where it lies.
    fn address(&self) -> usize;
}

/// Takes pieces of each size until one comes from where nothing has been: that one goes back, the others stay taken.
/// None: there is no more.
fn fill<P: Piece>(
    take: impl Fn(usize) -> Option<P>,
    sizes: impl Iterator<Item = usize>,
    fresh: impl Fn(usize) -> bool,
) {
    for size in sizes {
        while let Some(piece) = take(size) {
            if fresh(piece.address()) {
                break;
            }
            std::mem::forget(piece);
        }
    }
}

/// For an allocator that has memory mapped when it has none left: some kilobytes to a megabyte are mapped by this.
///
/// # Errors
/// The mappings cannot be read.
pub fn fill_mapped<P: Piece>(
    take: impl Fn(usize) -> Option<P>,
    sizes: impl Iterator<Item = usize>,
) -> Result<()> {
    let text = fs::read_to_string("/proc/self/maps")?;
    let before: Vec<Range<usize>> = text.lines().filter_map(range).collect();
    fill(take, sizes, |at| {
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

    /// Memory of malloc's.
    struct Piece(NonNull<c_void>);

    impl Piece {
        fn take(size: usize) -> Option<Piece> {
            // SAFETY: takes a number; null is seen.
            NonNull::new(unsafe { libc::malloc(size) }).map(Piece)
        }
    }

    impl super::Piece for Piece {
        fn address(&self) -> usize {
            self.0.addr().get()
        }
    }

    impl Drop for Piece {
        fn drop(&mut self) {
            // SAFETY: came from malloc, is not used any more, and is freed once.
            unsafe { libc::free(self.0.as_ptr()) };
        }
    }

    pub(super) fn fill_heap() {
        // SAFETY: only counts.
        let last_free = unsafe { libc::mallinfo2() }.keepcost;
        // SAFETY: with 0 it only tells where the heap ends.
        let end = unsafe { libc::sbrk(0) } as usize;
        let used_to = end.saturating_sub(last_free);
        let sizes = (SMALLEST_BYTES..=LARGEST_BYTES).rev().step_by(STEP_BYTES);
        super::fill(Piece::take, sizes, |at| at >= used_to);
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, fill};
    use std::cell::RefCell;

    /// One that says where it lay when it goes back.
    struct Taken<'a> {
        at: usize,
        back: &'a RefCell<Vec<usize>>,
    }

    impl Piece for Taken<'_> {
        fn address(&self) -> usize {
            self.at
        }
    }

    impl Drop for Taken<'_> {
        fn drop(&mut self) {
            self.back.borrow_mut().push(self.at);
        }
    }

    #[test]
    fn all_holes_are_taken_and_only_what_is_new_goes_back() {
        let holes = RefCell::new(vec![(8, 16), (40, 32), (72, 16)]);
        let back = RefCell::default();
        // Holes by their size, then what is new, from 1000 on.
        let take = |size| {
            let mut holes = holes.borrow_mut();
            let fits = holes.iter().position(|hole| hole.1 == size);
            let at = fits.map_or(1000 + size, |index| holes.remove(index).0);
            Some(Taken { at, back: &back })
        };
        fill(take, [32, 16].into_iter(), |at| at >= 1000);
        assert!(holes.borrow().is_empty());
        assert_eq!(*back.borrow(), [1032, 1016]);
    }

    #[test]
    fn a_line_of_the_mappings() {
        let line = "7f00a000-7f00b000 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(super::range(line), Some(0x7f00_a000..0x7f00_b000));
        assert_eq!(super::range(""), None);
    }
}
