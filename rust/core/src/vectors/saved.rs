//! An index as bytes: for checkpoints only the ids and the rows, in a file that is mapped the codes too.
//!
//! Both begin with `O_VECTOR`, version u32, dimensions u32, rows u64, metric u32 (0 cosine, 1 product), zeros up to 64
//! bytes; all numbers are little-endian.
//!
//! - Version 1: the ids (u64), the rows (f32).
//! - Version 2: ids, rows, and of the codes scales, errors, lengths (f32 each) and blocks (u8), each array from a multiple
//!   of 64 bytes on, so that it can be used where it lies.
//! - Version 3: as version 2, and the same four arrays of the sketch.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codes::{Codes, Width};
use super::index::{Metric, VectorIndex};
use super::kernels::BLOCK;
use super::mapped::{Cells, Map};
use super::slots::Slots;
use super::{LONGEST, VectorError, le_floats};

const MAGIC: &[u8; 8] = b"O_VECTOR";
const VERSION: u32 = 1;
const MAPPED_VERSION: u32 = 2;
const SKETCHED_VERSION: u32 = 3;
const HEADER_BYTES: usize = 64;
const ALIGNED: usize = 64;
/// Read at a time: an array that grows by so much is still in the first cache when it is filled.
const STEP_BYTES: usize = 16 * 1024;

struct Header {
    version: u32,
    dimensions: usize,
    rows: u64,
    metric: Metric,
}

impl Header {
    fn parse(bytes: &[u8], versions: &[u32]) -> Result<Header, VectorError> {
        if bytes.len() < HEADER_BYTES {
            return Err(VectorError::Format("the header is cut off"));
        }
        if bytes[..8] != MAGIC[..] {
            return Err(VectorError::Format("these are not vectors"));
        }
        let version = number(&bytes[8..12]) as u32;
        if !versions.contains(&version) {
            return Err(VectorError::Format("another version"));
        }
        let metric = match number(&bytes[24..28]) {
            0 => Metric::Cosine,
            1 => Metric::Dot,
            _ => return Err(VectorError::Format("another metric")),
        };
        Ok(Header {
            version,
            dimensions: super::check_dimensions(number(&bytes[12..16]) as usize)?,
            rows: number(&bytes[16..24]),
            metric,
        })
    }
}

impl VectorIndex {
    fn header(&self, version: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&version.to_le_bytes());
        header[12..16].copy_from_slice(&(self.dimensions as u32).to_le_bytes());
        header[16..24].copy_from_slice(&(self.ids.len() as u64).to_le_bytes());
        header[24] = u8::from(self.metric == Metric::Dot);
        header
    }

    /// How many bytes [`VectorIndex::write`] writes.
    pub fn saved_bytes(&self) -> usize {
        HEADER_BYTES + 8 * self.ids.len() + 4 * self.rows.len()
    }

    /// Writes ids and rows into `out`, which has [`VectorIndex::saved_bytes`].
    pub fn write(&self, out: &mut [u8]) {
        let (header, body) = out.split_at_mut(HEADER_BYTES);
        let (ids, rows) = body.split_at_mut(8 * self.ids.len());
        header.copy_from_slice(&self.header(VERSION));
        for (place, id) in ids.chunks_exact_mut(8).zip(self.ids.iter()) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        for (place, number) in rows.chunks_exact_mut(4).zip(self.rows.iter()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads what [`VectorIndex::write`] wrote: the rows are copied as they are; the table of ids and the codes are made.
    ///
    /// # Errors
    /// [`VectorError::Format`] where the bytes are not exactly an index; no memory.
    pub fn read(saved: &[u8]) -> Result<Self, VectorError> {
        let header = Header::parse(saved, &[VERSION])?;
        // Checked against what is there before anything of that size is allocated.
        let row_bytes = 8 + 4 * header.dimensions as u64;
        if header.rows.checked_mul(row_bytes) != Some((saved.len() - HEADER_BYTES) as u64) {
            return Err(VectorError::Format("not as long as its header says"));
        }
        let count = header.rows as usize;
        let mut index = VectorIndex::with_metric(header.dimensions, header.metric)?;
        let (ids, numbers) = (index.ids.own(), index.rows.own());
        ids.try_reserve(count)
            .and_then(|()| numbers.try_reserve(count * header.dimensions))
            .map_err(|_| VectorError::OutOfMemory)?;
        let (saved_ids, saved_rows) = saved[HEADER_BYTES..].split_at(8 * count);
        for part in saved_ids.chunks(STEP_BYTES) {
            ids.extend(part.chunks_exact(8).map(number));
        }
        for part in saved_rows.chunks(STEP_BYTES) {
            numbers.extend(le_floats(part));
        }
        index.slots = Slots::of(&index.ids)?;
        index.encode()?;
        Ok(index)
    }

    /// Makes the codes of all rows.
    fn encode(&mut self) -> Result<(), VectorError> {
        for codes in std::iter::once(&mut self.codes).chain(&mut self.sketch) {
            codes.reserve(self.ids.len())?;
            for row in self.rows.chunks_exact(self.dimensions) {
                codes.push(row, self.kernel);
            }
        }
        let rows = self.ids.len();
        let (errors, lengths) = (&self.codes.errors[..rows], &self.codes.lengths[..rows]);
        match errors
            .iter()
            .chain(lengths)
            .all(|length| *length <= LONGEST)
        {
            true => Ok(()),
            false => Err(VectorError::Format(
                "a number that is not finite, or too large",
            )),
        }
    }

    /// Writes everything into a file that [`VectorIndex::map`] maps: beside `path` first, then under its name.
    ///
    /// # Errors
    /// What the file system says; then what was there is there still, unless only the folder could not be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside: PathBuf = path.with_file_name(name);
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let result = self
            .save_to(&beside)
            .and_then(|()| fs::rename(&beside, path))
            // the new name is durable only then
            .and_then(|()| File::open(folder.unwrap_or(Path::new(".")))?.sync_all());
        if result.is_err() {
            // That it is not there to be removed is as good.
            let _ = fs::remove_file(&beside);
        }
        result
    }

    fn save_to(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let version = match self.sketch {
            Some(_) => SKETCHED_VERSION,
            None => MAPPED_VERSION,
        };
        out.write_all(&self.header(version))?;
        write_aligned(&mut out, self.ids.iter().map(|id| id.to_le_bytes()))?;
        write_aligned(
            &mut out,
            self.rows.iter().map(|number| number.to_le_bytes()),
        )?;
        for codes in std::iter::once(&self.codes).chain(&self.sketch) {
            for numbers in [&codes.scales, &codes.errors, &codes.lengths] {
                write_aligned(&mut out, numbers.iter().map(|number| number.to_le_bytes()))?;
            }
            write_aligned(&mut out, codes.blocks.iter().map(|code| [*code]))?;
        }
        out.into_inner()?.sync_all()
    }

    /// Maps a file that [`VectorIndex::save`] wrote: nothing of it is copied, and it is shared with all who map it. The
    /// first change copies it. The file must not be cut shorter meanwhile; what its codes say is believed.
    ///
    /// # Errors
    /// `InvalidData` with a [`VectorError`] where it is not such a file; what the file system says.
    pub fn map(path: &Path) -> io::Result<Self> {
        let map = Arc::new(Map::of(&File::open(path)?)?);
        Self::mapped(&map).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn mapped(map: &Arc<Map>) -> Result<Self, VectorError> {
        if cfg!(target_endian = "big") {
            return Err(VectorError::Format(
                "this machine's numbers are the other way round",
            ));
        }
        let header = Header::parse(map.bytes(), &[MAPPED_VERSION, SKETCHED_VERSION])?;
        let wrong = VectorError::Format("not as long as its header says");
        let rows = usize::try_from(header.rows).map_err(|_| wrong)?;
        let numbers = rows.checked_mul(header.dimensions).ok_or(wrong)?;
        let mut at = HEADER_BYTES;
        let ids = take::<u64>(map, &mut at, rows).ok_or(wrong)?;
        let matrix = take::<f32>(map, &mut at, numbers).ok_or(wrong)?;
        let mut codes = |width| take_codes(map, &mut at, width, header.dimensions, rows);
        let eight = codes(Width::Eight).ok_or(wrong)?;
        // What was saved without one is searched without one.
        let six = match header.version {
            SKETCHED_VERSION => Some(codes(Width::Six).ok_or(wrong)?),
            _ => None,
        };
        if at != map.bytes().len() {
            return Err(wrong);
        }
        let mut index = VectorIndex::with_metric(header.dimensions, header.metric)?;
        index.slots = Slots::of(&ids)?;
        index.codes = eight;
        index.sketch = six;
        index.ids = ids;
        index.rows = matrix;
        Ok(index)
    }
}

/// The array that begins at `at`; `at` is where the next one begins afterwards.
fn take<T: super::aligned::Plain>(
    map: &Arc<Map>,
    at: &mut usize,
    count: usize,
) -> Option<Cells<T>> {
    let cells = Cells::mapped(map, *at, count)?;
    *at = (*at + count * size_of::<T>()).next_multiple_of(ALIGNED);
    Some(cells)
}

/// The codes of so many rows that begin at `at`.
fn take_codes(
    map: &Arc<Map>,
    at: &mut usize,
    width: Width,
    dimensions: usize,
    rows: usize,
) -> Option<Codes> {
    let padded = rows.checked_next_multiple_of(BLOCK)?;
    let mut floats = || take::<f32>(map, at, padded);
    let facts = [floats()?, floats()?, floats()?];
    let bytes = (padded / BLOCK).checked_mul(width.block_bytes(dimensions))?;
    let blocks = take::<u8>(map, at, bytes)?;
    Codes::of(width, dimensions, rows, blocks, facts)
}

fn write_aligned<const N: usize>(
    out: &mut impl Write,
    cells: impl ExactSizeIterator<Item = [u8; N]>,
) -> io::Result<()> {
    let bytes = cells.len() * N;
    for cell in cells {
        out.write_all(&cell)?;
    }
    out.write_all(&[0; ALIGNED][..bytes.next_multiple_of(ALIGNED) - bytes])
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
