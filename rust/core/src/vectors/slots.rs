//! Which row an id is in: open addressing in one array, no allocation a row.

use super::VectorError;

const EMPTY: u32 = u32::MAX;
const SMALLEST: usize = 16;
/// The largest row number is the mark of an empty place.
pub(super) const MOST_ROWS: usize = EMPTY as usize;

/// Row numbers in a table of a power of two, at most half full. The ids themselves are in the index.
pub(super) struct Slots {
    table: Vec<u32>,
}

fn spread(id: u64) -> usize {
    let mut hash = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) as usize
}

impl Slots {
    pub fn new() -> Self {
        Slots { table: Vec::new() }
    }

    /// A table for `ids`; refuses an id that is there twice.
    pub fn of(ids: &[u64]) -> Result<Self, VectorError> {
        let mut slots = Slots::new();
        slots.resize(ids.len(), &[])?;
        for (row, id) in ids.iter().enumerate() {
            match slots.find(*id, ids) {
                Ok(_) => return Err(VectorError::Format("an id twice")),
                Err(place) => slots.table[place] = row as u32,
            }
        }
        Ok(slots)
    }

    /// Makes room for `more` rows than `ids` has.
    pub fn reserve(&mut self, more: usize, ids: &[u64]) -> Result<(), VectorError> {
        let rows = ids.len().saturating_add(more);
        if rows > self.table.len() / 2 {
            self.resize(rows, ids)?;
        }
        Ok(())
    }

    fn resize(&mut self, rows: usize, ids: &[u64]) -> Result<(), VectorError> {
        if rows > MOST_ROWS {
            return Err(VectorError::TooMany);
        }
        let size = (2 * rows).next_power_of_two().max(SMALLEST);
        let mut table = Vec::new();
        table
            .try_reserve_exact(size)
            .map_err(|_| VectorError::OutOfMemory)?;
        table.resize(size, EMPTY);
        self.table = table;
        for (row, id) in ids.iter().enumerate() {
            if let Err(place) = self.find(*id, ids) {
                self.table[place] = row as u32;
            }
        }
        Ok(())
    }

    /// The place of `id`, or the empty place where it would go.
    fn find(&self, id: u64, ids: &[u64]) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut place = spread(id) & mask;
        loop {
            match self.table[place] {
                EMPTY => return Err(place),
                row if ids[row as usize] == id => return Ok(place),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// The row of `id`.
    pub fn row(&self, id: u64, ids: &[u64]) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        self.find(id, ids)
            .ok()
            .map(|place| self.table[place] as usize)
    }

    /// Notes that `id`, which is new, goes to `row`; there must be room.
    pub fn insert(&mut self, id: u64, row: usize, ids: &[u64]) {
        if let Err(place) = self.find(id, ids) {
            self.table[place] = row as u32;
        }
    }

    /// Notes that `id` is in another row now.
    pub fn shift(&mut self, id: u64, row: usize, ids: &[u64]) {
        if let Ok(place) = self.find(id, ids) {
            self.table[place] = row as u32;
        }
    }

    /// Forgets `id`, and closes the gap so that no tombstones pile up.
    pub fn remove(&mut self, id: u64, ids: &[u64]) {
        let Ok(mut gap) = self.find(id, ids) else {
            return;
        };
        let mask = self.table.len() - 1;
        let mut place = gap;
        loop {
            place = (place + 1) & mask;
            let row = self.table[place];
            if row == EMPTY {
                break;
            }
            let home = spread(ids[row as usize]) & mask;
            // The row may move into the gap unless its home lies behind the gap.
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(gap) & mask) {
                self.table[gap] = row;
                gap = place;
            }
        }
        self.table[gap] = EMPTY;
    }

    pub fn memory_bytes(&self) -> usize {
        4 * self.table.capacity()
    }
}
