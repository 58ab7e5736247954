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
use super::kernels::{BLOCK, Candidates, Compared, Kernel, PARTY, STRETCH, Scores, Tiles};
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

    /// Scores some rows in float32, and fetches those of `next` meanwhile.
    fn score<const ROWS: usize>(
        &mut self,
        matrix: &Matrix<'_>,
        places: [u32; ROWS],
        next: [u32; ROWS],
    ) {
        let rows = |places: [u32; ROWS]| places.map(|place| matrix.row(place as usize));
        let scores = matrix.kernel.dots(rows(places), rows(next), self.query);
        for (score, place) in scores.into_iter().zip(places) {
            if score >= self.best.worst() {
                self.best.offer(score, matrix.ids[place as usize]);
            }
        }
    }

    /// Half of a stretch may be among the best: it is scanned after all, and so are the next ones.
    fn scan(&mut self, field: Field<'_>, rows: Range<usize>) {
        self.rest = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
        field.matrix.scan(self.query, rows, &mut self.best);
    }
}

/// Where a party works: kept for the next search, because to fill it with zeros, or to be given so much memory, each time
/// takes as long as to compare.
struct Room {
    scores: Vec<Scores>,
    over: [f32; STRETCH],
    under: [f32; STRETCH],
    /// Some of a query's candidates.
    some: Candidates,
    /// Those of a party, to be filled anew.
    spare: Vec<Candidates>,
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
            some: Candidates::default(),
            spare: Vec::new(),
        })
    }

    /// No candidates for each of so many queries.
    fn candidates(&mut self, queries: usize) -> Vec<Candidates> {
        let mut candidates = std::mem::take(&mut self.spare);
        candidates.resize_with(queries, Candidates::default);
        candidates.iter_mut().for_each(|some| some.truncate(0));
        candidates
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
    /// What may be among the best of each.
    candidates: Vec<Candidates>,
    tiles: Tiles,
    lanes: Vec<Scores>,
    /// The shortest row that was looked at.
    shortest: f32,
}

impl<'a> Party<'a> {
    fn new(queries: &[&'a [f32]], k: usize, kernel: Kernel, room: &mut Room) -> Self {
        let tiles = Tiles::of(queries, kernel);
        let lengths = queries.iter().zip(tiles.lengths);
        let lanes = (LANES * k).div_ceil(BLOCK).next_power_of_two();
        Party {
            asked: lengths
                .map(|(query, length)| Asked::new(query, length, k))
                .collect(),
            candidates: room.candidates(queries.len()),
            tiles,
            lanes: vec![Scores([[LOWEST; BLOCK]; PARTY]); lanes.min(STRETCH / BLOCK)],
            shortest: f32::INFINITY,
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
        let lengths = &field.codes.lengths[rows.clone()];
        self.shortest = lengths.iter().copied().fold(self.shortest, f32::min);
        let both = Compared {
            tiles: &self.tiles,
            queries: self.asked.len(),
            blocks: field.codes.blocks(rows.start, rows.len()),
            scales: field.codes.facts(rows.start, rows.len()).scales,
            under: &room.under,
            far: field.far,
        };
        kernel.scores(both, &mut self.lanes, &mut room.scores);
        self.raise(field.k, kernel);
        self.collect(field, rows, room, &compared);
    }

    /// Raises each query's floor to what k rows are known to reach.
    fn raise(&mut self, k: usize, kernel: Kernel) {
        let mut values = [LOWEST; STRETCH];
        let values = &mut values[..BLOCK * self.lanes.len()];
        for query in 0..self.asked.len() {
            for (values, lanes) in values.chunks_exact_mut(BLOCK).zip(&self.lanes) {
                values.copy_from_slice(&lanes.0[query]);
            }
            let kth = kernel.kth(values, k) + self.spare(query);
            let asked = &mut self.asked[query];
            asked.floor = asked.floor.max(asked.reached()).max(kth);
        }
    }

    /// The slack of each row that was looked at is that of the worst of the queries; so much of it this one does not need.
    fn spare(&self, query: usize) -> f32 {
        self.tiles.spare(query) * self.shortest
    }

    /// What a row must be able to score to be one of a query's best, by the slack of the worst of the queries.
    fn bar(&self, query: usize) -> f32 {
        self.asked[query].floor + self.spare(query)
    }

    /// Keeps the rows of a stretch that reach the floor of a query that was compared with them.
    fn collect(
        &mut self,
        field: Field<'_>,
        rows: Range<usize>,
        room: &mut Room,
        compared: &[bool; PARTY],
    ) {
        let mut bars = [f32::INFINITY; PARTY];
        let mut before = [0; PARTY];
        for query in 0..self.asked.len() {
            if compared[query] {
                bars[query] = self.bar(query);
            }
            before[query] = self.candidates[query].len();
        }
        let kernel = field.matrix.kernel;
        let scores = &room.scores[..rows.len().div_ceil(BLOCK)];
        let first = rows.start as u32;
        kernel.collect(scores, &room.over, &bars, first, &mut self.candidates);
        for (query, asked) in self.asked.iter_mut().enumerate() {
            let (candidates, before) = (&mut self.candidates[query], before[query]);
            if 2 * (candidates.len() - before) > rows.len() {
                candidates.truncate(before);
                asked.scan(field, rows.clone());
            } else if before >= asked.full {
                kernel.keep(candidates, bars[query], &mut room.some);
                std::mem::swap(candidates, &mut room.some);
                asked.full = 2 * candidates.len() + MANY * field.k;
            }
        }
    }

    /// Scores what may be among the best: first the k most promising for each query, then those that may still be better
    /// than the worst of these.
    fn finish(mut self, matrix: &Matrix<'_>, k: usize, room: &mut Room) -> Vec<Top> {
        let mut pairs = Vec::new();
        let mut scored = [f32::INFINITY; PARTY];
        for (query, candidates) in self.candidates.iter().enumerate() {
            let promising = matrix.kernel.about_kth(candidates.most(), k);
            scored[query] = promising.max(self.bar(query));
            matrix
                .kernel
                .keep(candidates, scored[query], &mut room.some);
            pairs.extend(room.some.rows().iter().map(|row| (query, *row)));
        }
        self.score(matrix, &pairs);
        pairs.clear();
        for (query, scored) in scored.into_iter().enumerate().take(self.asked.len()) {
            let asked = &mut self.asked[query];
            asked.floor = asked.floor.max(asked.reached());
            let bar = self.bar(query);
            (matrix.kernel).keep(&self.candidates[query], bar, &mut room.some);
            let some = room.some.most().iter().zip(room.some.rows());
            let left = some.filter(|(most, _)| **most < scored);
            pairs.extend(left.map(|(_, row)| (query, *row)));
        }
        self.score(matrix, &pairs);
        room.spare = self.candidates;
        self.asked.into_iter().map(|asked| asked.best).collect()
    }

    /// Scores rows for queries by their numbers, two of a query's side by side; the rows that are next are fetched meanwhile.
    fn score(&mut self, matrix: &Matrix<'_>, pairs: &[(usize, u32)]) {
        let place = |pair: usize| pairs[pair.min(pairs.len() - 1)].1;
        let mut at = 0;
        for of_query in pairs.chunk_by(|one, next| one.0 == next.0) {
            let asked = &mut self.asked[of_query[0].0];
            for some in of_query.chunks(2) {
                let next = at + some.len();
                match *some {
                    [(_, one), (_, two)] => {
                        asked.score(matrix, [one, two], [place(next), place(next + 1)]);
                    }
                    _ => asked.score(matrix, [place(at)], [place(next)]),
                }
                at = next;
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
    let mut room = ROOM.take().unwrap_or_else(Room::new);
    let mut parties: Vec<Party<'_>> = queries
        .chunks(PARTY)
        .map(|some| Party::new(some, k, matrix.kernel, &mut room))
        .collect();
    for start in rows.clone().step_by(STRETCH) {
        let stretch = start..(start + STRETCH).min(rows.end);
        for party in &mut parties {
            party.look(field, stretch.clone(), &mut room);
        }
    }
    let tops = parties.into_iter();
    let tops = tops
        .flat_map(|party| party.finish(matrix, k, &mut room))
        .collect();
    ROOM.set(Some(room));
    tops
}

#[cfg(test)]
mod tests;
