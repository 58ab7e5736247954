//! What the index knows of each block beside its words: number, sizes, and who its neighbours in its thread are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::pieces::Pieces;

const NONE: u32 = u32::MAX;
const REMOVED: u32 = u32::MAX - 1;
/// The largest number of blocks, removed ones included.
pub(super) const MOST_BLOCKS: usize = REMOVED as usize;
/// Bytes of a block where it is saved.
pub(super) const SAVED_BYTES: usize = 24;

/// How many terms a block has.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Sizes {
    pub text: u16,
    pub context: u16,
    pub source: u16,
    /// Those of the texts of its neighbours together.
    pub around: u16,
}

/// The slots of the block before in the same thread, the one before that, the next, and the one after that.
type Near = [u32; 4];

const ALONE: Near = [NONE; 4];

/// Sums over the blocks that are there.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Totals {
    pub blocks: u64,
    pub numbers: u64,
    pub text: u64,
    pub context: u64,
    pub source: u64,
    pub around: u64,
}

impl Totals {
    fn change(&mut self, number: u64, sizes: Sizes, by: impl Fn(u64, u64) -> u64) {
        self.blocks = by(self.blocks, 1);
        self.numbers = by(self.numbers, number);
        self.text = by(self.text, sizes.text.into());
        self.context = by(self.context, sizes.context.into());
        self.source = by(self.source, sizes.source.into());
        self.around = by(self.around, sizes.around.into());
    }
}

/// Keys that are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The blocks' table. A block's place in it is its *slot*; slots go up as numbers do.
#[derive(Default)]
pub(super) struct Blocks {
    numbers: Pieces<u64>,
    threads: Pieces<u64>,
    near: Pieces<Near>,
    sizes: Pieces<Sizes>,
    /// The last slot of each thread.
    ends: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    pub totals: Totals,
    pub removed: usize,
}

impl Blocks {
    /// Slots, those of removed blocks included.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.numbers.memory_bytes()
            + self.threads.memory_bytes()
            + self.near.memory_bytes()
            + self.sizes.memory_bytes()
            + self.ends.capacity() * 16
    }

    /// How many terms the block in a slot has; None past the end.
    #[inline]
    pub fn sizes(&self, slot: u32) -> Option<Sizes> {
        self.sizes.get(slot)
    }

    /// The same of all blocks in a piece of the table.
    pub fn sizes_of_piece(&self, piece: usize) -> &[Sizes] {
        self.sizes.piece(piece)
    }

    /// The number of the block in a slot.
    pub fn number(&self, slot: u32) -> Option<u64> {
        self.numbers.get(slot)
    }

    /// There is a block in a slot.
    #[inline]
    pub fn is_there(&self, slot: u32) -> bool {
        match self.removed {
            0 => (slot as usize) < self.len(),
            _ => self.near.get(slot).is_some_and(|near| near[0] != REMOVED),
        }
    }

    fn slots(&self) -> impl Iterator<Item = u32> {
        0..self.len() as u32
    }

    /// The slot of the block with a number.
    pub fn slot(&self, number: u64) -> Option<u32> {
        let slot = self.numbers.up_to(number).checked_sub(1)? as u32;
        (self.number(slot) == Some(number) && self.is_there(slot)).then_some(slot)
    }

    /// A number may follow: it is above those of all blocks that are there.
    pub fn may_add(&mut self, number: u64) -> bool {
        // Removed blocks at the end may have had higher ones, that are given anew now.
        for slot in (0..self.len() as u32).rev() {
            let there = self.is_there(slot);
            match self.numbers.get_mut(slot) {
                Some(last) if *last >= number && there => return false,
                Some(last) if *last > number => *last = number,
                _ => break,
            }
        }
        true
    }

    /// Puts a block behind all others; `thread` 0 is none.
    pub fn add(&mut self, number: u64, thread: u64, sizes: Sizes) {
        let slot = self.len() as u32;
        let previous = match thread {
            0 => NONE,
            _ => self.ends.insert(thread, slot).unwrap_or(NONE),
        };
        self.totals.change(number, sizes, u64::wrapping_add);
        self.numbers.push(number);
        self.threads.push(thread);
        self.sizes.push(sizes);
        self.near.push([previous, NONE, NONE, NONE]);
        if let Some(near) = self.near.get_mut(previous) {
            near[2] = slot;
            self.measure(slot);
            for near in self.near(slot) {
                self.measure(near);
            }
        }
    }

    /// Takes out the block in a slot; its neighbours become each other's.
    pub fn remove(&mut self, slot: u32) {
        let near = self.near(slot);
        let (Some(number), Some(sizes)) = (self.number(slot), self.sizes(slot)) else {
            return;
        };
        self.removed += 1;
        self.totals.change(number, sizes, u64::wrapping_sub);
        let [previous, _, next, _] = near;
        if let Some(own) = self.near.get_mut(slot) {
            *own = [REMOVED, NONE, NONE, NONE];
        }
        if let Some(near) = self.near.get_mut(previous) {
            near[2] = next;
        }
        match (self.near.get_mut(next), self.threads.get(slot)) {
            (Some(near), _) => near[0] = previous,
            (None, Some(thread)) if thread != 0 => {
                match previous {
                    NONE => self.ends.remove(&thread),
                    _ => self.ends.insert(thread, previous),
                };
            }
            _ => {}
        }
        for slot in near {
            self.measure(slot);
        }
    }

    /// The slots of the two blocks before and the two after in its thread; past the end where there is none.
    #[inline]
    pub fn near(&self, slot: u32) -> [u32; 4] {
        self.near.get(slot).unwrap_or(ALONE)
    }

    /// Looks anew at who and what is around a block, whose next ones are known.
    fn measure(&mut self, slot: u32) {
        let [previous, _, next, _] = self.near(slot);
        let near = [previous, self.near(previous)[0], next, self.near(next)[2]];
        if let Some(own) = self.near.get_mut(slot) {
            *own = near;
        }
        let around = near
            .iter()
            .filter_map(|near| self.sizes(*near))
            .fold(0u16, |sum, near| sum.saturating_add(near.text));
        if let Some(sizes) = self.sizes.get_mut(slot) {
            let before = std::mem::replace(&mut sizes.around, around);
            self.totals.around = self.totals.around - u64::from(before) + u64::from(around);
        }
    }

    /// Where each slot is when the removed ones have gone.
    pub fn moved(&self) -> Vec<Option<u32>> {
        let mut next = 0;
        self.slots()
            .map(|slot| {
                let there = self.is_there(slot);
                let now = there.then_some(next);
                next += u32::from(there);
                now
            })
            .collect()
    }

    /// Those that are there, without slots of removed ones.
    pub fn swept(&self) -> Self {
        let mut kept = Blocks::default();
        for slot in self.slots().filter(|slot| self.is_there(*slot)) {
            let sizes = self.sizes(slot).unwrap_or_default();
            let (number, thread) = (self.number(slot), self.threads.get(slot));
            kept.add(
                number.unwrap_or(0),
                thread.unwrap_or(0),
                Sizes { around: 0, ..sizes },
            );
        }
        kept
    }

    /// Saves all slots, the last number of each says whether it is a removed one. Links and what is around follow from
    /// the threads.
    pub fn write(&self, out: &mut Vec<u8>) {
        for slot in self.slots() {
            let sizes = self.sizes(slot).unwrap_or_default();
            out.extend_from_slice(&self.number(slot).unwrap_or(0).to_le_bytes());
            out.extend_from_slice(&self.threads.get(slot).unwrap_or(0).to_le_bytes());
            let removed = u16::from(!self.is_there(slot));
            for size in [sizes.text, sizes.context, sizes.source, removed] {
                out.extend_from_slice(&size.to_le_bytes());
            }
        }
    }

    /// Reads what `write` wrote; None where the numbers do not go up.
    pub fn read(saved: &[u8]) -> Option<Self> {
        let mut blocks = Blocks::default();
        for row in saved.chunks_exact(SAVED_BYTES) {
            let number = u64_at(row, 0);
            if !blocks.may_add(number) {
                return None;
            }
            let sizes = Sizes {
                text: u16_at(row, 16),
                context: u16_at(row, 18),
                source: u16_at(row, 20),
                around: 0,
            };
            blocks.add(number, u64_at(row, 8), sizes);
            if u16_at(row, 22) != 0 {
                blocks.remove(blocks.len() as u32 - 1);
            }
        }
        Some(blocks)
    }
}

/// The number at `at`, which is in `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let number = &bytes[at..at + 8];
    number
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(threads: &[u64]) -> Blocks {
        let mut blocks = Blocks::default();
        for (at, thread) in threads.iter().enumerate() {
            assert!(blocks.may_add(at as u64 + 1));
            let sizes = Sizes {
                text: 10 + at as u16,
                ..Sizes::default()
            };
            blocks.add(at as u64 + 1, *thread, sizes);
        }
        blocks
    }

    #[test]
    fn threads_that_are_interleaved_are_kept_apart() {
        let blocks = table(&[7, 8, 7, 0, 7, 8]);
        assert_eq!(blocks.near(2), [0, NONE, 4, NONE]);
        assert_eq!(blocks.near(3), [NONE; 4]);
        assert_eq!(blocks.sizes(2).unwrap().around, 10 + 14);
    }

    #[test]
    fn who_loses_a_neighbour_gets_the_next_one() {
        let mut blocks = table(&[7; 5]);
        blocks.remove(2);
        assert_eq!(blocks.near(1), [0, NONE, 3, 4]);
        assert_eq!(blocks.sizes(1).unwrap().around, 10 + 13 + 14);
        assert_eq!((blocks.slot(3), blocks.slot(4)), (None, Some(3)));
        blocks.remove(4);
        blocks.remove(3);
        assert!(blocks.may_add(3) && !blocks.may_add(2));
        blocks.add(3, 7, Sizes::default());
        assert_eq!(
            (blocks.slot(3), blocks.near(5)),
            (Some(5), [1, 0, NONE, NONE])
        );
    }

    #[test]
    fn what_is_read_back_has_the_same_neighbours_and_sums() {
        let mut blocks = table(&[7, 8, 7, 0, 7, 8, 7]);
        blocks.remove(2);
        let mut saved = Vec::new();
        blocks.write(&mut saved);
        let again = Blocks::read(&saved).unwrap();
        assert_eq!(again.totals, blocks.totals);
        for slot in [0, 1, 3, 4, 5, 6] {
            assert_eq!(again.near(slot), blocks.near(slot));
        }
        assert!(!again.is_there(2) && again.removed == 1);
        let swept = blocks.swept();
        assert_eq!((swept.totals, swept.removed), (blocks.totals, 0));
        assert_eq!(swept.near(1), [NONE, NONE, 4, NONE]);
        assert_eq!(swept.near(3), [0, NONE, 5, NONE]);
    }
}
