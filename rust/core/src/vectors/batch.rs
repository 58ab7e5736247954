//! The exact best of many queries at once, by two passes as in `certified`: a party of queries is compared with a stretch
//! of rows' codes by tiles, and only rows that can be among a query's best are scored in float32.
//!
//! Scores by codes are those of queries of length 1, so that the bound on a row's score is the same number for all of
//! them. A row is in one of a few lanes; each lane keeps the most that one of its rows scores at least. The k-th best of
//! the lanes is a floor: k rows reach it, whatever the rounding. A row whose highest value lies below is beaten by them. Ties
//! reach the floor and are settled by id in the second pass. So the answer is that of a plain scan, bit for bit.
//!
//! Where the codes cannot tell rows apart, a query scans a stretch plainly, and does not look at the codes of more and
//! more stretches after it.

use std::cell::Cell;
use std::ops::Range;

use super::codes::Codes;
use super::kernels::{BLOCK, Kernel, Margins, PARTY, STRETCH, Scores, Tiles};
use super::matrix::Matrix;
use super::top::Top;

/// Lanes for each of the k: with more of them it is rarer that two of the best share one.
const LANES: usize = 3;
/// Stretches whose codes are not looked at after the first one whose codes told nothing; each time twice as many.
const LONGEST_REST: usize = 32;
/// Candidates for each of the k that are kept before the beaten ones are dropped.
const MANY: usize = 8;
/// Lower than any score, but not than what may not be found.
const LOWEST: f32 = f32::MIN;

/// What there is to be searched, and for how many.
#[derive(Clone, Copy)]
struct Field<'a> {
    matrix: &'a Matrix<'a>,
    codes: &'a Codes,
    k: usize,
    /// The codes come from beyond the near caches.
    far: bool,
}

/// One query, and what was found for it.
struct Asked<'a> {
    query: &'a [f32],
    /// Scores are divided by it where they are compared with those of codes. 0: they are not.
    length: f32,
    /// The k best scores of rows that were scored in float32.
    best: Top,
    floor: f32,
    /// The most that a row can score by its codes, and the row.
    candidates: Vec<(f32, u32)>,
    /// So many candidates, and the beaten ones are dropped.
    full: usize,
    /// Stretches still to be scanned plainly, and how many the next time.
    rest: usize,
    next_rest: usize,
}

impl<'a> Asked<'a> {
    fn new(query: &'a [f32], length: f32, k: usize) -> Self {
        Asked {
            query,
            length,
            best: Top::new(k),
            floor: LOWEST,
            candidates: Vec::with_capacity(MANY.saturating_mul(k).min(STRETCH)),
            full: MANY.saturating_mul(k),
            rest: if length > 0.0 { 0 } else { usize::MAX },
            next_rest: 1,
        }
    }

    /// What the worst of the best scores is by codes, or a little less.
    fn reached(&self) -> f32 {
        const DOWN: f32 = 4.0 * f32::EPSILON;
        let score = self.best.worst() / self.length;
        score - (score.abs() * DOWN + f32::MIN_POSITIVE)
    }

    /// Keeps what was found from candidate `before` on, or scans the stretch where it is half of it.
    fn settle(&mut self, field: Field<'_>, rows: Range<usize>, before: usize) {
        if 2 * (self.candidates.len() - before) > rows.len() {
            self.candidates.truncate(before);
            self.rest = self.next_rest;
            self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
            return field.matrix.scan(self.query, rows, &mut self.best);
        }
        if self.candidates.len() >= self.full {
            self.candidates.retain(|(most, _)| *most >= self.floor);
            self.full = 2 * self.candidates.len() + MANY * field.k;
        }
    }

    /// Scores what may be among the best: first the k most promising, then those that may still be better than the worst
    /// of these.
    fn finish(mut self, matrix: &Matrix<'_>, k: usize) -> Top {
        let mut candidates = std::mem::take(&mut self.candidates);
        let most: Vec<f32> = candidates.iter().map(|(most, _)| *most).collect();
        let promising = matrix.kernel.kth(&most, k).max(self.floor);
        let first = candidates.extract_if(.., |(most, _)| *most >= promising);
        let first: Vec<u32> = first.map(|(_, row)| row).collect();
        matrix.scan_places(self.query, &first, &mut self.best);
        let floor = self.floor.max(self.reached());
        candidates.retain(|(most, _)| *most >= floor);
        let rest: Vec<u32> = candidates.iter().map(|(_, row)| *row).collect();
        matrix.scan_places(self.query, &rest, &mut self.best);
        self.best
    }
}

/// Where a party works: kept for the next search, because to fill it with zeros each time takes as long as to compare.
struct Room {
    scores: Vec<Scores>,
    over: [f32; STRETCH],
    under: [f32; STRETCH],
}

thread_local! {
    static ROOM: Cell<Option<Box<Room>>> = const { Cell::new(None) };
}

impl Room {
    fn new() -> Box<Room> {
        Box::new(Room {
            scores: vec![Scores([[0.0; BLOCK]; PARTY]); STRETCH / BLOCK],
            over: [0.0; STRETCH],
            under: [0.0; STRETCH],
        })
    }

    /// Notes by how much the codes of these rows may be wrong.
    fn note(&mut self, field: Field<'_>, tiles: &Tiles, rows: &Range<usize>) {
        let facts = field.codes.facts(rows.start, rows.len());
        let margins = self.over.iter_mut().zip(&mut self.under);
        for ((over, under), (error, length)) in margins.zip(facts.errors.iter().zip(facts.lengths))
        {
            let slack = tiles.slack(*error, *length);
            (*over, *under) = (slack, slack);
        }
        let behind = rows.len()..rows.len().next_multiple_of(BLOCK);
        let hidden = |row: &usize| !field.matrix.allows(rows.start + row);
        let masked = field.matrix.mask.map(|_| (0..rows.len()).filter(hidden));
        for row in behind.chain(masked.into_iter().flatten()) {
            self.over[row] = f32::NEG_INFINITY;
            self.under[row] = f32::INFINITY;
        }
    }
}

/// Queries that are compared with the codes together.
struct Party<'a> {
    asked: Vec<Asked<'a>>,
    tiles: Tiles,
    lanes: Vec<Scores>,
}

impl<'a> Party<'a> {
    fn new(queries: &[&'a [f32]], k: usize, kernel: Kernel) -> Self {
        let tiles = Tiles::of(queries, kernel);
        let lengths = queries.iter().zip(tiles.lengths);
        let lanes = (LANES * k).div_ceil(BLOCK).next_power_of_two();
        Party {
            asked: lengths
                .map(|(query, length)| Asked::new(query, length, k))
                .collect(),
            tiles,
            lanes: vec![Scores([[LOWEST; BLOCK]; PARTY]); lanes.min(STRETCH / BLOCK)],
        }
    }

    /// Looks at one stretch.
    fn look(&mut self, field: Field<'_>, rows: Range<usize>, room: &mut Room) {
        let mut compared = [false; PARTY];
        for (compared, asked) in compared.iter_mut().zip(&mut self.asked) {
            *compared = asked.rest == 0;
            if !*compared {
                asked.rest -= 1;
                field
                    .matrix
                    .scan(asked.query, rows.clone(), &mut asked.best);
            }
        }
        if !compared.contains(&true) {
            return;
        }
        let kernel = field.matrix.kernel;
        room.note(field, &self.tiles, &rows);
        let scales = field.codes.facts(rows.start, rows.len()).scales;
        let under = &room.under;
        let far = field.far;
        let margins = Margins { scales, under, far };
        let blocks = field.codes.blocks(rows.start, rows.len());
        let (count, lanes) = (self.asked.len(), &mut self.lanes);
        kernel.scores(blocks, &self.tiles, count, margins, lanes, &mut room.scores);
        self.raise(field.k, kernel);
        self.collect(field, rows, room, &compared);
    }

    /// Raises each query's floor to what k rows are known to reach.
    fn raise(&mut self, k: usize, kernel: Kernel) {
        let mut values = [LOWEST; STRETCH];
        for (query, asked) in self.asked.iter_mut().enumerate() {
            let values = &mut values[..BLOCK * self.lanes.len()];
            for (values, lanes) in values.chunks_exact_mut(BLOCK).zip(&self.lanes) {
                values.copy_from_slice(&lanes.0[query]);
            }
            asked.floor = asked.floor.max(asked.reached()).max(kernel.kth(values, k));
        }
    }

    /// Keeps the rows of a stretch that reach the floor of a query that was compared with them.
    fn collect(
        &mut self,
        field: Field<'_>,
        rows: Range<usize>,
        room: &Room,
        compared: &[bool; PARTY],
    ) {
        let mut floors = [f32::INFINITY; PARTY];
        let mut before = [0; PARTY];
        for (query, asked) in self.asked.iter().enumerate() {
            if compared[query] {
                floors[query] = asked.floor;
            }
            before[query] = asked.candidates.len();
        }
        let blocks = room.over.as_chunks::<BLOCK>().0.iter().zip(&room.scores);
        let mut words = [0; PARTY];
        for (at, (over, scores)) in rows.clone().step_by(BLOCK).zip(blocks) {
            let kernel = field.matrix.kernel;
            let mut any = kernel.reaching_of_many(scores, over, &floors, &mut words);
            while any != 0 {
                let query = any.trailing_zeros() as usize;
                any &= any - 1;
                let mut word = words[query];
                while word != 0 {
                    let row = word.trailing_zeros() as usize;
                    word &= word - 1;
                    let most = scores.0[query][row] + over[row];
                    let row = (at + row) as u32;
                    self.asked[query].candidates.push((most, row));
                }
            }
        }
        for (query, asked) in self.asked.iter_mut().enumerate() {
            if compared[query] {
                asked.settle(field, rows.clone(), before[query]);
            }
        }
    }
}

/// The `k` best of `rows` for each query; `rows` begins at a stretch. Far: their codes come from beyond the near caches.
pub(super) fn search(
    matrix: &Matrix<'_>,
    codes: &Codes,
    queries: &[&[f32]],
    k: usize,
    rows: Range<usize>,
    far: bool,
) -> Vec<Top> {
    if k == 0 {
        return queries.iter().map(|_| Top::new(0)).collect();
    }
    let field = Field {
        matrix,
        codes,
        k,
        far,
    };
    let mut parties: Vec<Party<'_>> = queries
        .chunks(PARTY)
        .map(|some| Party::new(some, k, matrix.kernel))
        .collect();
    let mut room = ROOM.take().unwrap_or_else(Room::new);
    for start in rows.clone().step_by(STRETCH) {
        let stretch = start..(start + STRETCH).min(rows.end);
        for party in &mut parties {
            party.look(field, stretch.clone(), &mut room);
        }
    }
    ROOM.set(Some(room));
    let asked = parties.into_iter().flat_map(|party| party.asked);
    asked.map(|asked| asked.finish(matrix, k)).collect()
}
