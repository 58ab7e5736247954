//! Rows by id in one matrix, and the exact nearest of them.

use super::dot::Dots;
use super::slots::{MOST_ROWS, Slots};
use super::top::Top;
use super::{VectorError, check_dimensions, floats, le_floats, normalise};

const MAGIC: &[u8; 8] = b"O_VECTOR";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;

/// Vectors of length 1 under ids, and the exact best by cosine.
///
/// Three arrays and nothing else: no threads, no allocation a row, so that forks share it. Saved as
/// `O_VECTOR`, version u32, dimensions u32, rows u64, zeros up to 64 bytes, the ids (u64), the rows (f32), all
/// little-endian.
pub struct VectorIndex {
    dimensions: usize,
    ids: Vec<u64>,
    rows: Vec<f32>,
    slots: Slots,
}

impl VectorIndex {
    /// An empty index.
    ///
    /// # Errors
    /// [`VectorError::Dimensions`].
    pub fn new(dimensions: usize) -> Result<Self, VectorError> {
        Ok(VectorIndex {
            dimensions: check_dimensions(dimensions)?,
            ids: Vec::new(),
            rows: Vec::new(),
            slots: Slots::new(),
        })
    }

    /// Numbers in a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes of its arrays.
    pub fn memory_bytes(&self) -> usize {
        8 * self.ids.capacity() + 4 * self.rows.capacity() + self.slots.memory_bytes()
    }

    /// Puts a vector (float32, little-endian) under `id`, in the place of the one that was there. It is stored with
    /// length 1; zeros stay zeros and are like nothing.
    ///
    /// # Errors
    /// A wrong size, a number that is not finite, no memory; then nothing has changed.
    pub fn add(&mut self, id: u64, vector: &[u8]) -> Result<(), VectorError> {
        let mut row = floats(vector, self.dimensions)?;
        normalise(&mut row);
        if let Some(place) = self.slots.row(id, &self.ids) {
            self.rows[place * self.dimensions..][..self.dimensions].copy_from_slice(&row);
            return Ok(());
        }
        self.reserve(1)?;
        self.slots.insert(id, self.ids.len(), &self.ids);
        self.ids.push(id);
        self.rows.extend_from_slice(&row);
        Ok(())
    }

    /// Makes room for `more` rows, so that adding them moves nothing: for who is about to be forked, because a fork that
    /// has to grow an array may copy all of it.
    ///
    /// # Errors
    /// No memory, or more rows than an index can have; nothing has changed.
    pub fn reserve(&mut self, more: usize) -> Result<(), VectorError> {
        if self.len().saturating_add(more) > MOST_ROWS {
            return Err(VectorError::TooMany);
        }
        let numbers = more * self.dimensions;
        self.ids
            .try_reserve(more)
            .map_err(|_| VectorError::OutOfMemory)?;
        let room = self.rows.capacity();
        self.rows
            .try_reserve(numbers)
            .map_err(|_| VectorError::OutOfMemory)?;
        if self.rows.capacity() != room {
            prefer_huge_pages(&self.rows);
        }
        self.slots.reserve(more, &self.ids)
    }

    /// Takes a row out; the last one moves into its place. False where there was none.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(row) = self.slots.row(id, &self.ids) else {
            return false;
        };
        self.slots.remove(id, &self.ids);
        let last = self.ids.len() - 1;
        if row < last {
            self.slots.shift(self.ids[last], row, &self.ids);
            let (from, size) = (last * self.dimensions, self.dimensions);
            self.rows.copy_within(from..from + size, row * size);
        }
        self.ids.swap_remove(row);
        self.rows.truncate(last * self.dimensions);
        true
    }

    /// The vector under `id`, as it is stored.
    pub fn get(&self, id: u64) -> Option<&[f32]> {
        self.slots.row(id, &self.ids).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.dimensions..][..self.dimensions]
    }

    /// The `k` rows nearest to `query` by cosine, `(id, score)`, best first; equal scores by id. With `among`, only
    /// rows of these ids (those that there are; each at most once).
    ///
    /// # Errors
    /// A query of a wrong size, or with a number that is not finite.
    pub fn search(
        &self,
        query: &[u8],
        k: usize,
        among: Option<&[u64]>,
    ) -> Result<Vec<(u64, f32)>, VectorError> {
        let mut query = floats(query, self.dimensions)?;
        normalise(&mut query);
        match among {
            None => Ok(self.search_all(&query, k)),
            Some(ids) => Ok(self.search_some(&query, k, ids)),
        }
    }

    fn search_all(&self, query: &[f32], k: usize) -> Vec<(u64, f32)> {
        let mut top = Top::new(k.min(self.len()));
        let dots = Dots::detect();
        let size = self.dimensions;
        let blocks = self.rows.chunks_exact(4 * size);
        let tail = blocks.remainder().chunks_exact(size);
        let whole = self.len() / 4 * 4;
        for (block, ids) in blocks.zip(self.ids.chunks_exact(4)) {
            let (a, rest) = block.split_at(size);
            let (b, rest) = rest.split_at(size);
            let (c, d) = rest.split_at(size);
            for (score, id) in dots.four([a, b, c, d], query).into_iter().zip(ids) {
                top.offer(score, *id);
            }
        }
        for (row, id) in tail.zip(&self.ids[whole..]) {
            top.offer(dots.one(row, query), *id);
        }
        top.finish()
    }

    fn search_some(&self, query: &[f32], k: usize, ids: &[u64]) -> Vec<(u64, f32)> {
        let mut places: Vec<usize> = ids
            .iter()
            .filter_map(|id| self.slots.row(*id, &self.ids))
            .collect();
        // In the order of memory, and no row twice.
        places.sort_unstable();
        places.dedup();
        let mut top = Top::new(k.min(places.len()));
        let dots = Dots::detect();
        for place in places {
            top.offer(dots.one(self.row(place), query), self.ids[place]);
        }
        top.finish()
    }

    /// How many bytes [`VectorIndex::write`] writes.
    pub fn saved_bytes(&self) -> usize {
        HEADER_BYTES + 8 * self.ids.len() + 4 * self.rows.len()
    }

    /// Saves it into `out`, which has [`VectorIndex::saved_bytes`].
    pub fn write(&self, out: &mut [u8]) {
        let (header, body) = out.split_at_mut(HEADER_BYTES);
        let (ids, rows) = body.split_at_mut(8 * self.ids.len());
        header.fill(0);
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(self.dimensions as u32).to_le_bytes());
        header[16..24].copy_from_slice(&(self.ids.len() as u64).to_le_bytes());
        for (place, id) in ids.chunks_exact_mut(8).zip(&self.ids) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        for (place, number) in rows.chunks_exact_mut(4).zip(&self.rows) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads what [`VectorIndex::write`] wrote: the rows are copied as they are; only the table of ids is made.
    ///
    /// # Errors
    /// [`VectorError::Format`] where the bytes are not exactly an index; no memory.
    pub fn read(saved: &[u8]) -> Result<Self, VectorError> {
        Self::read_from(saved.len(), |at, out| {
            out.copy_from_slice(&saved[at..at + out.len()])
        })
    }

    /// [`VectorIndex::read`] of `length` bytes that cannot be borrowed: `copy(at, out)` fetches `out.len()` of them.
    ///
    /// # Errors
    /// As [`VectorIndex::read`].
    pub fn read_from(
        length: usize,
        mut copy: impl FnMut(usize, &mut [u8]),
    ) -> Result<Self, VectorError> {
        let body = length
            .checked_sub(HEADER_BYTES)
            .ok_or(VectorError::Format("the header is cut off"))?;
        let mut header = [0; HEADER_BYTES];
        copy(0, &mut header);
        if header[..8] != MAGIC[..] {
            return Err(VectorError::Format("these are not vectors"));
        }
        if number(&header[8..12]) != u64::from(VERSION) {
            return Err(VectorError::Format("another version"));
        }
        let mut index = VectorIndex::new(number(&header[12..16]) as usize)?;
        let count = number(&header[16..24]);
        // Checked against what is there before anything of that size is allocated.
        let row_bytes = 8 + 4 * index.dimensions as u64;
        if count.checked_mul(row_bytes) != Some(body as u64) {
            return Err(VectorError::Format("not as long as its header says"));
        }
        let count = count as usize;
        let numbers = count * index.dimensions;
        index
            .ids
            .try_reserve_exact(count)
            .map_err(|_| VectorError::OutOfMemory)?;
        index
            .rows
            .try_reserve_exact(numbers)
            .map_err(|_| VectorError::OutOfMemory)?;
        prefer_huge_pages(&index.rows);
        let rows = HEADER_BYTES + 8 * count;
        in_steps(HEADER_BYTES, rows, &mut copy, |ids| {
            index.ids.extend(ids.chunks_exact(8).map(number));
        });
        in_steps(rows, length, &mut copy, |rows| {
            index.rows.extend(le_floats(rows))
        });
        index.slots = Slots::of(&index.ids)?;
        Ok(index)
    }
}

/// Asks for pages of 2 MiB: a search meets fewer page-table walks, and the kernel frees a dead process sooner.
fn prefer_huge_pages(rows: &Vec<f32>) {
    const PAGE: usize = 4096;
    const WORTH_IT_BYTES: usize = 4 << 20;
    let bytes = 4 * rows.capacity();
    if cfg!(target_os = "linux") && bytes >= WORTH_IT_BYTES {
        let start = rows.as_ptr() as usize;
        let first = start.next_multiple_of(PAGE);
        let length = (start + bytes - first) / PAGE * PAGE;
        // SAFETY: the whole pages `first..first + length` lie within the allocation of `rows`; the advice changes
        // neither what is in them nor what may be done with them. That it is refused is of no interest.
        unsafe { libc::madvise(first as *mut libc::c_void, length, libc::MADV_HUGEPAGE) };
    }
}

/// Hands the bytes `from..to` on in steps that stay in the first cache.
fn in_steps(
    from: usize,
    to: usize,
    copy: &mut impl FnMut(usize, &mut [u8]),
    mut take: impl FnMut(&[u8]),
) {
    const STEP: usize = 16 * 1024;
    let mut step = [0; STEP];
    for at in (from..to).step_by(STEP) {
        let part = &mut step[..STEP.min(to - at)];
        copy(at, part);
        take(part);
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
