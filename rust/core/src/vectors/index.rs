//! Rows by id in one matrix.

use super::binary::Binary;
use super::codes::{Codes, Width};
use super::half::{Half, Kind};
use super::kernels::Kernel;
use super::mapped::Cells;
use super::matrix::Matrix;
use super::search::{Filter, FirstPass, Search};
use super::slots::{MOST_ROWS, Slots};
use super::{VectorError, check_dimensions};

/// What a score is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// The cosine: vectors are stored with length 1.
    #[default]
    Cosine,
    /// The product: vectors are stored as they come.
    Dot,
}

/// Vectors under ids, and the exact best by cosine or product.
///
/// Plain arrays and nothing else: no threads, no allocation a row, so that forks share it. Beside the rows lie their codes
/// of one byte a number, which most searches read instead.
pub struct VectorIndex {
    pub(super) dimensions: usize,
    pub(super) metric: Metric,
    pub(super) ids: Cells<u64>,
    pub(super) rows: Cells<f32>,
    pub(super) slots: Slots,
    pub(super) codes: Codes,
    /// The codes once more with fewer bits; only where the processor gains by it.
    pub(super) sketch: Option<Codes>,
    pub(super) half: Option<Half>,
    pub(super) binary: Option<Binary>,
    pub(super) kernel: Kernel,
    /// Rows that all arrays have room for.
    room: usize,
}

impl VectorIndex {
    /// An empty index, by cosine.
    ///
    /// # Errors
    /// [`VectorError::Dimensions`].
    pub fn new(dimensions: usize) -> Result<Self, VectorError> {
        Self::with_metric(dimensions, Metric::Cosine)
    }

    /// An empty index.
    ///
    /// # Errors
    /// [`VectorError::Dimensions`].
    pub fn with_metric(dimensions: usize, metric: Metric) -> Result<Self, VectorError> {
        let dimensions = check_dimensions(dimensions)?;
        let kernel = Kernel::detect();
        let sketch = || Codes::new(Width::Six, dimensions);
        Ok(VectorIndex {
            dimensions,
            metric,
            ids: Cells::new(),
            rows: Cells::new(),
            slots: Slots::new(),
            codes: Codes::new(Width::Eight, dimensions),
            sketch: kernel.sketched().then(sketch),
            half: None,
            binary: None,
            kernel,
            room: 0,
        })
    }

    /// Numbers in a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// What a score is.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids, in the order of the rows.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// All rows, one after the other, as they are stored.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Bytes of its arrays.
    pub fn memory_bytes(&self) -> usize {
        let half = self.half.as_ref().map_or(0, Half::memory_bytes);
        let binary = self.binary.as_ref().map_or(0, Binary::memory_bytes);
        let rows = self.ids.memory_bytes() + self.rows.memory_bytes();
        let sketch = self.sketch.as_ref().map_or(0, Codes::memory_bytes);
        rows + self.slots.memory_bytes() + self.codes.memory_bytes() + sketch + half + binary
    }

    /// Puts a vector (float32, little-endian) under `id`, in the place of the one that was there. By cosine it is stored
    /// with length 1; zeros stay zeros and are like nothing.
    ///
    /// # Errors
    /// A wrong size, a number that is not finite, no memory; then nothing has changed.
    pub fn add(&mut self, id: u64, vector: &[u8]) -> Result<(), VectorError> {
        let kernel = self.kernel;
        let row = self.vector(vector)?;
        if let Some(place) = self.slots.row(id, &self.ids) {
            self.replace(place, &row);
            return Ok(());
        }
        if self.is_full() {
            let left = MOST_ROWS - self.len();
            self.reserve(self.len().clamp(1, left.max(1)))?;
        }
        self.slots.insert(id, self.ids.len(), &self.ids);
        self.ids.own().push(id);
        self.rows.own().extend_from_slice(&row);
        for codes in self.all_codes() {
            codes.push(&row, kernel);
        }
        if let Some(half) = &mut self.half {
            half.push(&row);
        }
        if let Some(binary) = &mut self.binary {
            binary.push(&row);
        }
        Ok(())
    }

    /// Its codes, and their sketch.
    pub(super) fn all_codes(&mut self) -> impl Iterator<Item = &mut Codes> {
        std::iter::once(&mut self.codes).chain(self.sketch.as_mut())
    }

    fn replace(&mut self, place: usize, row: &[f32]) {
        let kernel = self.kernel;
        self.rows.own()[place * self.dimensions..][..self.dimensions].copy_from_slice(row);
        for codes in self.all_codes() {
            codes.set(place, row, kernel);
        }
        if let Some(half) = &mut self.half {
            half.set(place, row);
        }
        if let Some(binary) = &mut self.binary {
            binary.set(place, row);
        }
    }

    /// Makes room for `more` rows, so that adding them moves nothing: for who is about to be forked, because a fork that
    /// has to grow an array may copy all of it.
    ///
    /// # Errors
    /// No memory, or more rows than an index can have; nothing has changed.
    pub fn reserve(&mut self, more: usize) -> Result<(), VectorError> {
        let room = self.len().saturating_add(more);
        if room > MOST_ROWS {
            return Err(VectorError::TooMany);
        }
        let (ids, rows) = (self.ids.own(), self.rows.own());
        ids.try_reserve(more)
            .and_then(|()| rows.try_reserve(more * self.dimensions))
            .map_err(|_| VectorError::OutOfMemory)?;
        for codes in self.all_codes() {
            codes.reserve(more)?;
        }
        if let Some(half) = &mut self.half {
            half.reserve(more)?;
        }
        if let Some(binary) = &mut self.binary {
            binary.reserve(more)?;
        }
        self.slots.reserve(more, &self.ids)?;
        self.room = self.room.max(room);
        Ok(())
    }

    /// The next row moves all others: no room is left for it, or they lie in a mapped file.
    pub fn is_full(&self) -> bool {
        self.len() >= self.room
    }

    /// Takes a row out; the last one moves into its place. False where there was none.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.slots.row(id, &self.ids) else {
            return false;
        };
        self.slots.remove(id, &self.ids);
        let last = self.ids.len() - 1;
        if place < last {
            self.slots.shift(self.ids[last], place, &self.ids);
            let (from, size) = (last * self.dimensions, self.dimensions);
            self.rows.own().copy_within(from..from + size, place * size);
        }
        self.ids.own().swap_remove(place);
        self.rows.own().truncate(last * self.dimensions);
        for codes in self.all_codes() {
            codes.swap_remove(place);
        }
        if let Some(half) = &mut self.half {
            half.swap_remove(place);
        }
        if let Some(binary) = &mut self.binary {
            binary.swap_remove(place);
        }
        true
    }

    /// Makes the codes of a first pass, and keeps them up to date from then on. Those of 8 bits are always there.
    ///
    /// # Errors
    /// No memory.
    pub fn prepare(&mut self, first_pass: FirstPass) -> Result<(), VectorError> {
        if self.prepared(first_pass) {
            return Ok(());
        }
        let more = self.room.saturating_sub(self.len());
        match half_kind(first_pass) {
            Some(kind) => {
                let mut half = Half::of(kind, self.dimensions, &self.rows)?;
                half.reserve(more)?;
                self.half = Some(half);
            }
            None => {
                let mut binary = Binary::of(self.dimensions, &self.rows)?;
                binary.reserve(more)?;
                self.binary = Some(binary);
            }
        }
        Ok(())
    }

    /// The codes of a first pass are there.
    pub fn prepared(&self, first_pass: FirstPass) -> bool {
        match half_kind(first_pass) {
            Some(kind) => self.half.as_ref().is_some_and(|half| half.kind == kind),
            None => first_pass != FirstPass::Binary || self.binary.is_some(),
        }
    }

    /// Bytes that a search with this first pass reads, but for those of rescoring.
    pub(super) fn read_bytes(&self, first_pass: FirstPass) -> usize {
        let half = || self.half.as_ref().map_or(0, Half::read_bytes);
        match first_pass {
            FirstPass::Exact => 4 * self.rows.len(),
            FirstPass::Binary => self.binary.as_ref().map_or(0, Binary::read_bytes),
            FirstPass::Bfloat16 | FirstPass::Float16 => half(),
            FirstPass::Auto | FirstPass::Certified | FirstPass::Int8 => self.codes.read_bytes(),
        }
    }

    /// The vector under `id`, as it is stored.
    pub fn get(&self, id: u64) -> Option<&[f32]> {
        let row = self.slots.row(id, &self.ids)?;
        Some(&self.rows[row * self.dimensions..][..self.dimensions])
    }

    pub(super) fn place(&self, id: u64) -> Option<u32> {
        self.slots.row(id, &self.ids).map(|row| row as u32)
    }

    pub(super) fn matrix<'a>(&'a self, mask: Option<&'a [u8]>) -> Matrix<'a> {
        Matrix {
            kernel: self.kernel,
            dimensions: self.dimensions,
            rows: &self.rows,
            ids: &self.ids,
            mask,
        }
    }

    /// The `k` rows nearest to `query`, `(id, score)`, best first; equal scores by id. With `among`, only rows of these
    /// ids (those that there are; each at most once). Always exact.
    ///
    /// # Errors
    /// A query of a wrong size, or with a number that is not finite.
    pub fn search(
        &self,
        query: &[u8],
        k: usize,
        among: Option<&[u64]>,
    ) -> Result<Vec<(u64, f32)>, VectorError> {
        let filter = among.map_or(Filter::All, Filter::Ids);
        let (first_pass, threads) = (FirstPass::Auto, 0);
        self.search_with(
            query,
            &Search {
                k,
                filter,
                first_pass,
                threads,
            },
        )
    }

    /// [`VectorIndex::search_batch`] of one query.
    ///
    /// # Errors
    /// As there.
    pub fn search_with(
        &self,
        query: &[u8],
        search: &Search<'_>,
    ) -> Result<Vec<(u64, f32)>, VectorError> {
        if query.len() != 4 * self.dimensions {
            let (expected, got) = (4 * self.dimensions, query.len());
            return Err(VectorError::Size { expected, got });
        }
        let found = self.search_batch(query, search)?;
        Ok(found.into_iter().next().unwrap_or_default())
    }
}

fn half_kind(first_pass: FirstPass) -> Option<Kind> {
    match first_pass {
        FirstPass::Bfloat16 => Some(Kind::Bfloat16),
        FirstPass::Float16 => Some(Kind::Float16),
        _ => None,
    }
}

/// Asks for pages of 2 MiB: a search meets fewer page-table walks, and the kernel frees a dead process sooner.
pub(super) fn prefer_huge_pages<T>(cells: &Vec<T>) {
    const PAGE: usize = 4096;
    const WORTH_IT_BYTES: usize = 4 << 20;
    let bytes = size_of::<T>() * cells.capacity();
    if cfg!(target_os = "linux") && bytes >= WORTH_IT_BYTES {
        let start = cells.as_ptr() as usize;
        let first = start.next_multiple_of(PAGE);
        let length = (start + bytes - first) / PAGE * PAGE;
        // SAFETY: the whole pages `first..first + length` lie within the allocation of `cells`; the advice changes
        // neither what is in them nor what may be done with them. That it is refused is of no interest.
        unsafe { libc::madvise(first as *mut libc::c_void, length, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests;
