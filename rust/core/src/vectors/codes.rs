//! Rows once more, as codes of one byte a number or of six bits, with what the codes leave out.

use super::VectorError;
use super::kernels::{BLOCK, Bound, Facts, GROUP, Kernel, Quantised, SPAN, SPAN_BYTES};
use super::mapped::Cells;

/// How many bits a code has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// One byte.
    Eight,
    /// Three quarters of it: [`SPAN`] dimensions of sixteen rows are a line of the low four bits of its first and second
    /// group, one of those of its third and fourth, and one of the high two bits of all four.
    Six,
}

/// The codes of a matrix: blocks of [`BLOCK`] rows, the last one filled up with rows that reach nothing.
pub(super) struct Codes {
    width: Width,
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
    /// As `bound`, for rows of six bits.
    pub rough: Bound,
}

impl Width {
    /// The largest code.
    fn levels(self) -> i8 {
        match self {
            Width::Eight => 127,
            Width::Six => 31,
        }
    }

    /// A row's code is stored with this added, because VNNI multiplies unsigned bytes by signed ones.
    fn offset(self) -> u8 {
        self.levels() as u8 + 1
    }

    /// Bytes of a block's codes.
    pub fn block_bytes(self, dimensions: usize) -> usize {
        match self {
            Width::Eight => dimensions.div_ceil(GROUP) * GROUP * BLOCK,
            Width::Six => dimensions.div_ceil(SPAN) * SPAN_BYTES,
        }
    }

    /// Puts a row's codes into its place in a block.
    fn put(self, block: &mut [u8], place: usize, codes: &[u8]) {
        let cell = place % BLOCK * GROUP;
        if self == Width::Eight {
            let groups = block.chunks_exact_mut(GROUP * BLOCK);
            for (codes, group) in codes.chunks(GROUP).zip(groups) {
                group[cell..][..codes.len()].copy_from_slice(codes);
            }
            return;
        }
        let spans = block.chunks_exact_mut(SPAN_BYTES);
        for (some, span) in codes.chunks(SPAN).zip(spans) {
            let mut codes = [self.offset(); SPAN];
            codes[..some.len()].copy_from_slice(some);
            for at in 0..GROUP {
                let [a, b, c, d] = [0, 1, 2, 3].map(|group| codes[group * GROUP + at]);
                let high = a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6;
                for (line, byte) in [a & 15 | b << 4, c & 15 | d << 4, high]
                    .into_iter()
                    .enumerate()
                {
                    span[line * GROUP * BLOCK + cell + at] = byte;
                }
            }
        }
    }

    /// Where the cells of a row begin, of [`GROUP`] bytes each: nothing of another row is in them.
    fn cells(self, dimensions: usize, place: usize) -> impl Iterator<Item = usize> {
        let size = self.block_bytes(dimensions);
        let first = place / BLOCK * size + place % BLOCK * GROUP;
        (first..first + size).step_by(GROUP * BLOCK)
    }
}

impl Codes {
    pub fn new(width: Width, dimensions: usize) -> Self {
        Codes {
            width,
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
        width: Width,
        dimensions: usize,
        rows: usize,
        blocks: Cells<u8>,
        facts: [Cells<f32>; 3],
    ) -> Option<Self> {
        let padded = rows.next_multiple_of(BLOCK);
        let [scales, errors, lengths] = facts;
        let fits = blocks.len() == padded / BLOCK * width.block_bytes(dimensions)
            && [&scales, &errors, &lengths]
                .iter()
                .all(|fact| fact.len() == padded);
        fits.then_some(Codes {
            width,
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
        let bytes = rows / BLOCK * self.block_bytes();
        let blocks = self.blocks.own();
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
            let bytes = self.block_bytes();
            let blocks = self.blocks.own();
            blocks.resize(blocks.len() + bytes, self.width.offset());
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
        let quantised = kernel.quantise(row, self.width.levels(), &mut codes);
        let offset = self.width.offset();
        let codes: Vec<u8> = codes
            .iter()
            .map(|code| (*code as u8).wrapping_add(offset))
            .collect();
        let block = place / BLOCK * self.block_bytes();
        let width = self.width;
        width.put(&mut self.blocks.own()[block..], place, &codes);
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
        let cells = |place| self.width.cells(self.dimensions, place);
        let blocks = self.blocks.own();
        for (from, to) in cells(last).zip(cells(place)) {
            blocks.copy_within(from..from + GROUP, to);
        }
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
            let bytes = last / BLOCK * self.block_bytes();
            self.blocks.own().truncate(bytes);
            for facts in [&mut self.scales, &mut self.errors, &mut self.lengths] {
                facts.own().truncate(last);
            }
        }
    }

    fn block_bytes(&self) -> usize {
        self.width.block_bytes(self.dimensions)
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
        let size = self.block_bytes();
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

impl CodedQuery {
    /// The words of the codes, filled up with zeros to whole spans.
    pub fn whole_spans(&self) -> Vec<i32> {
        let mut words = self.words.clone();
        words.resize(words.len().next_multiple_of(SPAN / GROUP), 0);
        words
    }

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
        let sum = |codes: &[i8]| codes.iter().map(|code| i32::from(*code)).sum::<i32>();
        let (sum, fine_sum) = (sum(&codes), sum(&fine_codes));
        let bound = |width: Width, sum: i32, quantised: Quantised| Bound {
            scale: quantised.scale,
            offset: i32::from(width.offset()) * sum,
            per_error: first.length * (1.0 + 8.0 * ROUNDING),
            per_length: (quantised.error + rounding) * (1.0 + 8.0 * ROUNDING),
        };
        CodedQuery {
            bound: bound(Width::Eight, sum, first),
            fine: bound(Width::Eight, fine_sum, second),
            rough: bound(Width::Six, sum, first),
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
