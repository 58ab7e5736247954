//! The exact best by two passes: codes of one byte a number say how much each row can score at most, and only rows that
//! can be among the best are scored in float32.
//!
//! Each row's code gives a score and a bound on its error, so a lowest and a highest value. The k-th best lowest value
//! so far is the floor: a row whose highest value lies below it is beaten by k others, whatever the rounding. Ties reach
//! the floor and are settled by id in the second pass. So the answer is that of a plain scan, bit for bit.
//!
//! Where rows are all but equal the codes cannot tell them apart. A stretch in which half of the rows reach the floor
//! is scanned plainly, and the codes of more and more stretches after it are not even looked at.

use std::ops::Range;

use super::codes::{CodedQuery, Codes};
use super::kernels::{BLOCK, Kernel, QUERIES, STRETCH};
use super::matrix::Matrix;
use super::top::Top;

/// Stretches that are scanned plainly after the first one whose codes told nothing; each time twice as many.
const FIRST_REST: usize = 8;
const LONGEST_REST: usize = 256;
/// Rows at the start that are scanned plainly, for each of the k: until there are k good ones every row reaches the floor.
const WARM_UP: usize = 8;
/// Blocks after which a stretch may be given up.
const HALF: usize = STRETCH / BLOCK / 2;
/// So many rows of a block must reach the floor for its codes to be compared with the rest of the query.
const WORTH_MORE: u32 = 4;
/// From so many queries on it pays to do eight.
const WORTH_EIGHT: usize = 3;

#[derive(Clone, Copy)]
struct Candidate {
    /// The most that it can score.
    most: f32,
    row: u32,
}

/// The search for one query's best.
struct Hunt<'a> {
    query: &'a [f32],
    coded: CodedQuery,
    /// The k best lowest values of rows of which only the codes are known, and the k best scores of the others. No row is
    /// in either of them twice, so the worst of each is a floor.
    lowest: Top,
    best: Top,
    candidates: Vec<Candidate>,
    /// Stretches still to be scanned plainly, and how many the next time.
    rest: usize,
    next_rest: usize,
}

impl<'a> Hunt<'a> {
    fn new(query: &'a [f32], k: usize, kernel: Kernel) -> Self {
        Hunt {
            query,
            coded: CodedQuery::new(query, kernel),
            lowest: Top::new(k),
            best: Top::new(k),
            candidates: Vec::new(),
            rest: (WARM_UP * k / STRETCH).saturating_sub(1),
            next_rest: FIRST_REST,
        }
    }

    fn floor(&self) -> f32 {
        self.lowest.worst().max(self.best.worst())
    }

    /// Looks at the codes' dot products of one stretch, or scans it after all.
    fn sift(&mut self, matrix: &Matrix<'_>, codes: &Codes, rows: Range<usize>, dots: &Dots) {
        let before = self.candidates.len();
        let (facts, floor) = (codes.facts(rows.start, STRETCH), self.floor());
        let words = matrix
            .kernel
            .reaching(dots, facts, &self.coded.bound, floor);
        let mut hopeless = false;
        for (block, word) in words.iter().enumerate() {
            if block == HALF && self.alive(before) > HALF * BLOCK / 2 {
                hopeless = true;
                break;
            }
            if *word != 0 {
                let first = rows.start + block * BLOCK;
                let dots = &dots[block * BLOCK..][..BLOCK];
                self.collect(matrix, codes, first..rows.end.min(first + BLOCK), dots);
            }
        }
        if hopeless || 2 * self.alive(before) > rows.len() {
            self.candidates.truncate(before);
            matrix.scan(self.query, rows, &mut self.best);
            self.rest = self.next_rest;
            self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
        }
    }

    /// How many of the candidates from number `first` on reach the floor.
    fn alive(&self, first: usize) -> usize {
        let floor = self.floor();
        let new = self.candidates[first..].iter();
        new.filter(|new| new.most >= floor).count()
    }

    /// Keeps those rows of a block that can be among the best. Where there may be any, the rest of the query is compared
    /// too, which halves the slack.
    fn collect(&mut self, matrix: &Matrix<'_>, codes: &Codes, rows: Range<usize>, dots: &[i32]) {
        let facts = codes.facts(rows.start, BLOCK);
        let (bound, fine) = (self.coded.bound, self.coded.fine);
        let mut floor = self.floor();
        // The floor may have risen since the stretch was looked at.
        let mut word = matrix.kernel.reaching(dots, facts, &bound, floor)[0];
        if word == 0 {
            return;
        }
        let mut more = [[0; STRETCH]; 1];
        let sharpen = word.count_ones() >= WORTH_MORE;
        if sharpen {
            let block = codes.blocks(rows.start, BLOCK);
            let words = [self.coded.fine_words.as_slice()];
            matrix.kernel.code_dots(block, &words, &mut more);
        }
        while word != 0 {
            let at = word.trailing_zeros() as usize;
            word &= word - 1;
            let row = rows.start + at;
            if row >= rows.end || !matrix.allows(row) {
                continue;
            }
            let scale = facts.scales[at];
            let mut score = bound.score(dots[at], scale);
            let mut slack = bound.slack(facts.errors[at], facts.lengths[at]);
            if sharpen {
                score += fine.score(more[0][at], scale);
                slack = fine.slack(facts.errors[at], facts.lengths[at]);
            }
            let most = score + slack;
            if most >= floor {
                let row = row as u32;
                self.candidates.push(Candidate { most, row });
                self.lowest.offer(score - slack, 0);
                floor = self.floor();
            }
        }
    }

    /// Scores what may be among the best, the most promising first.
    fn finish(mut self, matrix: &Matrix<'_>) -> Top {
        let floor = self.floor();
        let mut candidates = self.candidates;
        candidates.retain(|candidate| candidate.most >= floor);
        candidates.sort_unstable_by(|a, b| b.most.total_cmp(&a.most));
        for four in candidates.chunks(4) {
            if four[0].most < self.best.worst() {
                break;
            }
            let mut rows = [four[0].row as usize; 4];
            for (row, candidate) in rows.iter_mut().zip(four) {
                *row = candidate.row as usize;
            }
            let scores = matrix
                .kernel
                .dots(rows.map(|row| matrix.row(row)), self.query);
            for (score, row) in scores.into_iter().zip(rows).take(four.len()) {
                self.best.offer(score, matrix.ids[row]);
            }
        }
        self.best
    }
}

type Dots = [i32; STRETCH];

/// The `k` best of `rows` for each query; `rows` begins at a stretch.
pub(super) fn search(
    matrix: &Matrix<'_>,
    codes: &Codes,
    queries: &[&[f32]],
    k: usize,
    rows: Range<usize>,
) -> Vec<Top> {
    let mut hunts: Vec<Hunt<'_>> = queries
        .iter()
        .map(|query| Hunt::new(query, k, matrix.kernel))
        .collect();
    let mut looking = Vec::with_capacity(hunts.len());
    let mut dots = [[0; STRETCH]; QUERIES];
    for start in rows.clone().step_by(STRETCH) {
        let stretch = start..(start + STRETCH).min(rows.end);
        looking.clear();
        for (number, hunt) in hunts.iter_mut().enumerate() {
            if hunt.rest == 0 {
                looking.push(number);
            } else {
                hunt.rest -= 1;
                matrix.scan(hunt.query, stretch.clone(), &mut hunt.best);
            }
        }
        for group in looking.chunks(QUERIES) {
            let mut words = [hunts[group[0]].coded.words.as_slice(); QUERIES];
            for (words, number) in words.iter_mut().zip(group) {
                *words = &hunts[*number].coded.words;
            }
            let count = if group.len() < WORTH_EIGHT {
                group.len()
            } else {
                QUERIES
            };
            let blocks = codes.blocks(start, STRETCH);
            matrix
                .kernel
                .code_dots(blocks, &words[..count], &mut dots[..count]);
            for (number, dots) in group.iter().zip(&dots) {
                hunts[*number].sift(matrix, codes, stretch.clone(), dots);
            }
        }
    }
    hunts.into_iter().map(|hunt| hunt.finish(matrix)).collect()
}
