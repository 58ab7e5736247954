//! A growing array that begins at a line of the cache, so that no load of 64 bytes touches two lines.

use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::slice;

use super::index::prefer_huge_pages;

/// Numbers for which any bytes are a value, and of which a whole number fits into a line.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i32 {}
impl Plain for u64 {}
impl Plain for f32 {}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Numbers in whole lines; what is behind the last number is zeros or numbers that were there before.
pub(super) struct Aligned<T: Plain> {
    lines: Vec<Line>,
    count: usize,
    plain: PhantomData<T>,
}

fn lines<T>(count: usize) -> usize {
    (count * size_of::<T>()).div_ceil(size_of::<Line>())
}

impl<T: Plain> Aligned<T> {
    pub fn new() -> Self {
        Aligned {
            lines: Vec::new(),
            count: 0,
            plain: PhantomData,
        }
    }

    /// Makes room for `more` numbers; where much is needed, in pages of 2 MiB.
    pub fn try_reserve(&mut self, more: usize) -> Result<(), TryReserveError> {
        let room = self.lines.capacity();
        let needed = lines::<T>(self.count.saturating_add(more));
        self.lines
            .try_reserve(needed.saturating_sub(self.lines.len()))?;
        if self.lines.capacity() != room {
            prefer_huge_pages(&self.lines);
        }
        Ok(())
    }

    pub fn push(&mut self, number: T) {
        self.extend_from_slice(&[number]);
    }

    pub fn extend_from_slice(&mut self, numbers: &[T]) {
        let before = self.count;
        self.lengthen(before + numbers.len());
        self[before..].copy_from_slice(numbers);
    }

    pub fn extend(&mut self, numbers: impl ExactSizeIterator<Item = T>) {
        let before = self.count;
        self.lengthen(before + numbers.len());
        for (place, number) in self[before..].iter_mut().zip(numbers) {
            *place = number;
        }
    }

    /// Makes it `count` long, at its end with copies of `number`.
    pub fn resize(&mut self, count: usize, number: T) {
        let before = self.count.min(count);
        self.lengthen(count);
        self[before..].fill(number);
    }

    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    /// Takes a number out, and puts the last one into its place.
    pub fn swap_remove(&mut self, place: usize) {
        let last = self.count - 1;
        self.swap(place, last);
        self.truncate(last);
    }

    pub fn memory_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    fn lengthen(&mut self, count: usize) {
        let needed = lines::<T>(count);
        if needed > self.lines.len() {
            self.lines.resize(needed, Line([0; 64]));
        }
        self.count = count;
    }
}

impl<T: Plain> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let mut cells = Aligned::new();
        cells.extend_from_slice(numbers);
        cells
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `lines` holds at least `count` numbers, all written; any bytes are a number, and a line is aligned better.
        unsafe { slice::from_raw_parts(self.lines.as_ptr().cast(), self.count) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and any number leaves a line that may be read.
        unsafe { slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_that_begins_at_a_line() {
        let (mut cells, mut right) = (Aligned::<f32>::new(), Vec::new());
        for number in 0..100 {
            cells.push(number as f32);
            right.push(number as f32);
            assert_eq!(cells.as_ptr().addr() % 64, 0);
        }
        cells.truncate(33);
        right.truncate(33);
        cells.resize(70, 7.0);
        right.resize(70, 7.0);
        cells.swap_remove(3);
        right.swap_remove(3);
        cells.extend_from_slice(&[1.0, 2.0]);
        right.extend_from_slice(&[1.0, 2.0]);
        assert_eq!(cells[..], right);
        assert_eq!(Aligned::from(&right[..])[..], right);
        assert!(cells.memory_bytes() >= 4 * right.len());
    }
}
