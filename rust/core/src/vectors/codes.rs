//! Rows once more, as codes of one byte a number, with what the codes leave out.

use super::VectorError;
use super::kernels::{BLOCK, Bound, Facts, GROUP, Kernel, Quantised};
use super::mapped::Cells;

/// A row's code is stored with this added, because VNNI multiplies unsigned bytes by signed ones.
const OFFSET: u8 = 128;
const ROW_LEVELS: i8 = 127;

/// The codes of a matrix: blocks of [`BLOCK`] rows, the last one filled up with rows that reach nothing.
pub(super) struct Codes {
    dimensions: usize,
    rows: usize,
    pub blocks: Cells<u8>,
    pub scales: Cells<f32>,
    pub errors: Cells<f32>,
    pub lengths: Cells<f32>,
}

/// A query as codes, and what they leave out as codes once more: the second ones are only asked where the first do not
/// settle it, and leave almost nothing.
pub(super) struct CodedQuery {
    pub words: Vec<i32>,
    pub bound: Bound,
    pub fine_words: Vec<i32>,
    /// To be added to the first score; its slack is that of both together.
    pub fine: Bound,
}

/// Bytes of a block's codes.
pub(super) fn block_bytes(dimensions: usize) -> usize {
    dimensions.div_ceil(GROUP) * GROUP * BLOCK
}

impl Codes {
    pub fn new(dimensions: usize) -> Self {
        Codes {
            dimensions,
            rows: 0,
            blocks: Cells::new(),
            scales: Cells::new(),
            errors: Cells::new(),
            lengths: Cells::new(),
        }
    }

    /// Codes that were saved; None where the arrays do not fit one another.
    pub fn of(
        dimensions: usize,
        rows: usize,
        blocks: Cells<u8>,
        facts: [Cells<f32>; 3],
    ) -> Option<Self> {
        let padded = rows.next_multiple_of(BLOCK);
        let [scales, errors, lengths] = facts;
        let fits = blocks.len() == padded / BLOCK * block_bytes(dimensions)
            && [&scales, &errors, &lengths]
                .iter()
                .all(|fact| fact.len() == padded);
        fits.then_some(Codes {
            dimensions,
            rows,
            blocks,
            scales,
            errors,
            lengths,
        })
    }

    /// Makes room for `more` rows.
    pub fn reserve(&mut self, more: usize) -> Result<(), VectorError> {
        let rows = (self.rows + more).next_multiple_of(BLOCK);
        let fill = |cells: &mut Cells<f32>| {
            let cells = cells.own();
            cells.try_reserve(rows - cells.len().min(rows))
        };
        let blocks = self.blocks.own();
        let bytes = rows / BLOCK * block_bytes(self.dimensions);
        blocks
            .try_reserve(bytes - blocks.len().min(bytes))
            .and_then(|()| fill(&mut self.scales))
            .and_then(|()| fill(&mut self.errors))
            .and_then(|()| fill(&mut self.lengths))
            .map_err(|_| VectorError::OutOfMemory)
    }

    /// Adds a row; there must be room.
    pub fn push(&mut self, row: &[f32], kernel: Kernel) {
        if self.rows.is_multiple_of(BLOCK) {
            let blocks = self.blocks.own();
            blocks.resize(blocks.len() + block_bytes(self.dimensions), OFFSET);
            // An error of minus infinity: the best such a row can be is the worst there is.
            for (facts, empty) in [
                (&mut self.scales, 0.0),
                (&mut self.errors, f32::NEG_INFINITY),
                (&mut self.lengths, 0.0),
            ] {
                let facts = facts.own();
                facts.resize(facts.len() + BLOCK, empty);
            }
        }
        self.rows += 1;
        self.set(self.rows - 1, row, kernel);
    }

    /// Puts another row into a place.
    pub fn set(&mut self, place: usize, row: &[f32], kernel: Kernel) {
        let mut codes = vec![0i8; self.dimensions];
        let quantised = kernel.quantise(row, ROW_LEVELS, &mut codes);
        let codes: Vec<u8> = codes
            .iter()
            .map(|code| (*code as u8).wrapping_add(OFFSET))
            .collect();
        put(self.blocks.own(), self.dimensions, place, &codes);
        self.note(place, quantised);
    }

    fn note(&mut self, place: usize, quantised: Quantised) {
        self.scales.own()[place] = quantised.scale;
        self.errors.own()[place] = quantised.error;
        self.lengths.own()[place] = quantised.length;
    }

    /// Moves the last row into `place`, and takes the last place away.
    pub fn swap_remove(&mut self, place: usize) {
        let last = self.rows - 1;
        let moved = self.codes(last);
        put(self.blocks.own(), self.dimensions, place, &moved);
        let nothing = Quantised {
            scale: 0.0,
            error: f32::NEG_INFINITY,
            length: 0.0,
        };
        let kept = Quantised {
            scale: self.scales[last],
            error: self.errors[last],
            length: self.lengths[last],
        };
        self.note(place, kept);
        self.note(last, nothing);
        self.rows = last;
        if last.is_multiple_of(BLOCK) {
            let bytes = last / BLOCK * block_bytes(self.dimensions);
            self.blocks.own().truncate(bytes);
            for facts in [&mut self.scales, &mut self.errors, &mut self.lengths] {
                facts.own().truncate(last);
            }
        }
    }

    fn codes(&self, place: usize) -> Vec<u8> {
        let block = place / BLOCK * block_bytes(self.dimensions);
        let mut codes = vec![0; self.dimensions];
        let groups = self.blocks[block..].chunks_exact(GROUP * BLOCK);
        for (codes, group) in codes.chunks_mut(GROUP).zip(groups) {
            let cells = &group[place % BLOCK * GROUP..];
            codes.copy_from_slice(&cells[..codes.len()]);
        }
        codes
    }

    /// What is known of the rows from `first` on, of so many at most; whole blocks.
    pub fn facts(&self, first: usize, rows: usize) -> Facts<'_> {
        let end = (first + rows).next_multiple_of(BLOCK);
        let rows = first..end.min(self.scales.len());
        Facts {
            scales: &self.scales[rows.clone()],
            errors: &self.errors[rows.clone()],
            lengths: &self.lengths[rows],
        }
    }

    /// The blocks from row `first` on, those of so many rows at most.
    pub fn blocks(&self, first: usize, rows: usize) -> &[u8] {
        let size = block_bytes(self.dimensions);
        let end = self.blocks.len().min((first + rows).div_ceil(BLOCK) * size);
        &self.blocks[first / BLOCK * size..end]
    }

    /// Bytes that one search reads.
    pub fn read_bytes(&self) -> usize {
        self.blocks.len() + 12 * self.scales.len()
    }

    pub fn memory_bytes(&self) -> usize {
        let facts = [&self.scales, &self.errors, &self.lengths];
        let facts: usize = facts.iter().map(|facts| facts.memory_bytes()).sum();
        self.blocks.memory_bytes() + facts
    }
}

fn put(blocks: &mut [u8], dimensions: usize, place: usize, codes: &[u8]) {
    let block = &mut blocks[place / BLOCK * block_bytes(dimensions)..];
    let groups = block.chunks_exact_mut(GROUP * BLOCK);
    for (codes, group) in codes.chunks(GROUP).zip(groups) {
        let cells = &mut group[place % BLOCK * GROUP..];
        cells[..codes.len()].copy_from_slice(codes);
    }
}

impl CodedQuery {
    /// Codes of a query, and by how much a score that they give can be wrong.
    ///
    /// With row = s·c + e and query = t·p + f the exact product differs from s·t·(c·p) by e·query + s·c·f, which is at
    /// most |e|·|query| + |s·c|·|f|. A float32 score differs from that product by the rounding of its sums, at most
    /// γ·|row|·|query| with γ = n·u / (1 - n·u), in whatever order it is summed; and what is done with the codes'
    /// product rounds a few times more.
    pub fn new(query: &[f32], kernel: Kernel) -> Self {
        const ROUNDING: f32 = f32::EPSILON / 2.0;
        const STEPS: usize = 32;
        let (codes, first) = codes_of(query, kernel);
        let mut left = vec![0.0; query.len()];
        kernel.left(query, &codes, first.scale, &mut left);
        let (fine_codes, second) = codes_of(&left, kernel);
        let rounding = (query.len() + STEPS) as f32 * ROUNDING;
        let rounding = rounding / (1.0 - rounding) * (first.length + first.error);
        let bound = |codes: &[i8], quantised: Quantised| Bound {
            scale: quantised.scale,
            offset: i32::from(OFFSET) * codes.iter().map(|code| i32::from(*code)).sum::<i32>(),
            per_error: first.length * (1.0 + 8.0 * ROUNDING),
            per_length: (quantised.error + rounding) * (1.0 + 8.0 * ROUNDING),
        };
        CodedQuery {
            bound: bound(&codes, first),
            fine: bound(&fine_codes, second),
            words: words(&codes),
            fine_words: words(&fine_codes),
        }
    }
}

fn codes_of(numbers: &[f32], kernel: Kernel) -> (Vec<i8>, Quantised) {
    let mut codes = vec![0i8; numbers.len().next_multiple_of(GROUP)];
    let quantised = kernel.quantise(numbers, kernel.query_levels(), &mut codes[..numbers.len()]);
    (codes, quantised)
}

fn words(codes: &[i8]) -> Vec<i32> {
    let mut words = vec![0; codes.len() / GROUP];
    for (word, group) in words.iter_mut().zip(codes.as_chunks::<GROUP>().0) {
        *word = i32::from_le_bytes(group.map(|code| code as u8));
    }
    words
}
