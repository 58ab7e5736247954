//! The exact best by two passes: codes of one byte a number say how much each row can score at most, and only rows that
//! can be among the best are scored in float32.
//!
//! Each row's code gives a score and a bound on its error, so a lowest and a highest value. What k rows reach by their
//! lowest values is the floor: a row whose highest value lies below it is beaten by k others, whatever the rounding. Ties reach
//! the floor and are settled by id in the second pass. So the answer is that of a plain scan, bit for bit.
//!
//! Where rows are all but equal the codes cannot tell them apart. A stretch in which half of the rows reach the floor
//! is scanned plainly, and the codes of more and more rows after it are not even looked at. So that little is lost by
//! it, the first stretch is a short one, and so is one after such a one; and where a few rows from all over score alike
//! the first rows are scanned before the query has any codes.
//!
//! Where codes come from beyond the near caches even they are too much to read: then a sketch of them, codes of six bits,
//! is looked at first, with a bound of the same kind, and what it leaves open is scored in float32 at once. Once it leaves
//! too much open, more and more rows after it are looked at by their codes, and a short stretch is tried again.

use std::cell::{Cell, OnceCell};
use std::ops::Range;

use super::codes::{CodedQuery, Codes};
use super::kernels::{BLOCK, Dots, Kernel, Part, QUERIES, Reaching, STRETCH};
use super::matrix::Matrix;
use super::top::Top;

/// Rows that are scanned plainly after the first stretch whose codes told nothing; each time twice as many.
const FIRST_REST: usize = STRETCH;
const LONGEST_REST: usize = 32 * STRETCH;
/// Rows of a short stretch.
const SHORT: usize = 8 * BLOCK;
/// Rows at the start that are scanned plainly, for each of the k: until there are k good ones every row reaches the floor.
const WARM_UP: usize = 8;
/// One of so many rows of a stretch must reach the floor for its codes to be compared with the rest of the query.
const WORTH_MORE: usize = 4;
/// So many rows for each of the k must reach the floor for it to be raised before they are looked at one by one.
const WORTH_RAISING: usize = 2;
/// Rows that tell beforehand whether codes can tell rows apart.
const SAMPLE: usize = 4;
/// Candidates for each of the k that are kept before the floor is raised by them.
const MANY: usize = 4;

/// Rows for each of the k whose codes are looked at first: the floor must be a good one.
const SEEN_FIRST: usize = 100;
/// At most one row of so many may be left open: of one in sixteen the scores take what is saved by not reading codes.
const PAYS: usize = 24;
/// Rows after a stretch that did not pay; each time twice as many.
const FIRST_PAUSE: usize = 2 * STRETCH;

#[derive(Clone, Copy)]
struct Candidate {
    /// The most, and the least, that it can score.
    most: f32,
    least: f32,
    row: u32,
}

/// What there is to be searched, and for how many.
#[derive(Clone, Copy)]
struct Field<'a> {
    matrix: &'a Matrix<'a>,
    codes: &'a Codes,
    k: usize,
}

/// A first look at codes of six bits.
struct Sketch<'a> {
    codes: &'a Codes,
    /// The query's codes for whole spans.
    words: Vec<i32>,
    /// Rows still to be looked at without it, and how many the next time.
    pause: usize,
    next_pause: usize,
    /// The last stretch that was looked at paid.
    trusted: bool,
}

/// The search for one query's best.
struct Hunt<'a> {
    query: &'a [f32],
    kernel: Kernel,
    /// Made when they are needed first.
    coded: OnceCell<CodedQuery>,
    /// The k best scores of rows that were scanned plainly; the worst of them is a floor.
    best: Top,
    /// What k rows of which the codes are known reach at least, so another floor.
    raised: f32,
    candidates: Vec<Candidate>,
    /// So many candidates, and the floor is raised by them.
    full: usize,
    /// Rows still to be scanned plainly, and how many the next time.
    rest: usize,
    next_rest: usize,
    /// The codes of the last stretch that was looked at told nothing, or there was none.
    doubtful: bool,
    sketch: Option<Sketch<'a>>,
}

impl<'a> Hunt<'a> {
    fn new(query: &'a [f32], field: Field<'_>, rows: &Range<usize>) -> Self {
        let k = field.k;
        let alike = alike(field, query, rows);
        Hunt {
            query,
            kernel: field.matrix.kernel,
            coded: OnceCell::new(),
            best: Top::new(k),
            raised: f32::NEG_INFINITY,
            candidates: Vec::with_capacity(SHORT),
            full: MANY * k + SHORT / 2,
            rest: if alike {
                FIRST_REST
            } else {
                (WARM_UP * k).saturating_sub(SHORT)
            },
            next_rest: FIRST_REST,
            doubtful: true,
            sketch: None,
        }
    }

    fn coded(&self) -> &CodedQuery {
        let coded = || CodedQuery::new(self.query, self.kernel);
        self.coded.get_or_init(coded)
    }

    /// The same search, with a sketch that is looked at first.
    fn with_sketch(mut self, codes: Option<&'a Codes>, k: usize) -> Self {
        self.sketch = codes.map(|codes| Sketch {
            codes,
            words: self.coded().whole_spans(),
            pause: SEEN_FIRST.saturating_mul(k),
            next_pause: FIRST_PAUSE,
            trusted: false,
        });
        self
    }

    /// It is not known whether the next stretch tells anything: it should be a short one.
    fn tries(&self) -> bool {
        let untried = |sketch: &Sketch<'_>| sketch.pause == 0 && !sketch.trusted;
        self.doubtful || (self.rest == 0 && self.sketch.as_ref().is_some_and(untried))
    }

    /// Looks at the sketch of one stretch and scores what it leaves open. False: nothing is done, codes are needed.
    fn skim(&mut self, field: Field<'_>, rows: &Range<usize>, dots: &mut Dots) -> bool {
        if self.doubtful || self.rest > 0 || self.sketch.is_none() {
            return false;
        }
        self.settle(field.matrix);
        let floor = self.floor();
        let bound = self.coded().rough;
        let Some(sketch) = &mut self.sketch else {
            return false;
        };
        if sketch.pause > 0 {
            sketch.pause = sketch.pause.saturating_sub(rows.len());
            return false;
        }
        let kernel = field.matrix.kernel;
        let blocks = sketch.codes.blocks(rows.start, rows.len());
        kernel.sketch_dots(blocks, &sketch.words, dots);
        let facts = sketch.codes.facts(rows.start, rows.len());
        let reaching = kernel.reaching([Part { dots, bound }], facts, floor);
        let (words, count) = field.matrix.keep_allowed(rows, reaching);
        sketch.trusted = PAYS * count <= rows.len();
        if !sketch.trusted {
            sketch.pause = sketch.next_pause;
            sketch.next_pause = sketch.next_pause.saturating_mul(2);
            return false;
        }
        let places: Vec<u32> = open(&words).map(|at| (rows.start + at) as u32).collect();
        field
            .matrix
            .scan_places(self.query, &places, &mut self.best);
        true
    }

    fn floor(&self) -> f32 {
        self.raised.max(self.best.worst())
    }

    /// Looks at the codes' dot products of one stretch, and at those of the rest of the query where they are there or
    /// needed; or scans it after all.
    fn sift(&mut self, field: Field<'_>, rows: Range<usize>, dots: &Dots, fine: Option<&Dots>) {
        let part = |dots, bound| Part { dots, bound };
        let (bound, fine_bound) = (self.coded().bound, self.coded().fine);
        let coarse = part(dots, bound);
        if let Some(fine) = fine {
            let parts = [coarse, part(fine, fine_bound)];
            return self.sift_by(parts, field, rows);
        }
        let (_, count) = self.reaching([coarse], field, &rows);
        if WORTH_MORE * count <= rows.len() {
            return self.sift_by([coarse], field, rows);
        }
        let mut fine = [[0; STRETCH]];
        let blocks = field.codes.blocks(rows.start, rows.len());
        let kernel = field.matrix.kernel;
        kernel.code_dots(blocks, &[&self.coded().fine_words], &mut fine);
        self.sift_by([coarse, part(&fine[0], fine_bound)], field, rows);
    }

    fn sift_by<const PARTS: usize>(
        &mut self,
        parts: [Part<'_>; PARTS],
        field: Field<'_>,
        rows: Range<usize>,
    ) {
        let (words, count) = self.reaching(parts, field, &rows);
        self.doubtful = 2 * count > rows.len();
        if !self.doubtful {
            return self.collect(parts, field, rows, words);
        }
        field.matrix.scan(self.query, rows, &mut self.best);
        self.rest = self.next_rest;
        self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
    }

    /// Which rows may reach the floor, and how many. Where they are many it is raised first.
    fn reaching<const PARTS: usize>(
        &mut self,
        parts: [Part<'_>; PARTS],
        field: Field<'_>,
        rows: &Range<usize>,
    ) -> (Reaching, usize) {
        let facts = field.codes.facts(rows.start, rows.len());
        let look = |floor| {
            let reaching = field.matrix.kernel.reaching(parts, facts, floor);
            field.matrix.keep_allowed(rows, reaching)
        };
        let (words, count) = look(self.floor());
        if count < WORTH_RAISING * field.k {
            return (words, count);
        }
        let mut lowest = [f32::NEG_INFINITY; STRETCH];
        field.matrix.kernel.lowest(parts, facts, &mut lowest);
        let lowest = &mut lowest[..rows.len().next_power_of_two()];
        field.matrix.leave_out(rows, lowest);
        let kth = field.matrix.kernel.about_kth(lowest, field.k);
        self.raised = self.raised.max(kth);
        look(self.floor())
    }

    /// Keeps the rows of `words` that can be among the best.
    fn collect<const PARTS: usize>(
        &mut self,
        parts: [Part<'_>; PARTS],
        field: Field<'_>,
        rows: Range<usize>,
        words: Reaching,
    ) {
        let facts = field.codes.facts(rows.start, rows.len());
        for at in open(&words) {
            let (mut score, mut slack) = (0.0, 0.0);
            for part in &parts {
                score += part.bound.score(part.dots[at], facts.scales[at]);
                slack = part.bound.slack(facts.errors[at], facts.lengths[at]);
            }
            self.candidates.push(Candidate {
                most: score + slack,
                least: score - slack,
                row: (rows.start + at) as u32,
            });
        }
        if self.candidates.len() >= self.full {
            let least = self.candidates.iter().map(|candidate| candidate.least);
            let kth = (field.matrix.kernel).about_kth(&least.collect::<Vec<_>>(), field.k);
            self.raised = self.raised.max(kth);
            self.drop_beaten();
            self.full = 2 * self.candidates.len() + MANY * field.k;
        }
    }

    fn drop_beaten(&mut self) {
        let floor = self.floor();
        self.candidates.retain(|candidate| candidate.most >= floor);
    }

    /// Scores the candidates that may be among the best, the most promising first; none are left.
    fn settle(&mut self, matrix: &Matrix<'_>) {
        self.drop_beaten();
        let candidates = &mut self.candidates;
        candidates.sort_unstable_by(|a, b| b.most.total_cmp(&a.most));
        let row = |number: usize| {
            let number = number.min(candidates.len() - 1);
            matrix.row(candidates[number].row as usize)
        };
        for (number, four) in candidates.chunks(4).enumerate() {
            if four[0].most < self.best.worst() {
                break;
            }
            let rows = std::array::from_fn::<_, 4, _>(|at| row(4 * number + at));
            let next = std::array::from_fn(|at| row(4 * number + 4 + at));
            let scores = matrix.kernel.dots(rows, next, self.query);
            for (score, candidate) in scores.into_iter().zip(four) {
                self.best.offer(score, matrix.ids[candidate.row as usize]);
            }
        }
        candidates.clear();
    }
}

/// A few of the rows, from all over, score so nearly the same that codes cannot tell them apart: their scores differ by
/// less than what the codes of one of them may leave out.
fn alike(field: Field<'_>, query: &[f32], rows: &Range<usize>) -> bool {
    let step = rows.len() / SAMPLE;
    if step == 0 {
        return false;
    }
    let matrix = field.matrix;
    let places: [usize; SAMPLE] = std::array::from_fn(|at| rows.start + at * step);
    let sample = places.map(|row| matrix.row(row));
    let scores = matrix.kernel.dots(sample, sample, query);
    let most = scores.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let least = scores.into_iter().fold(f32::INFINITY, f32::min);
    let errors = places.map(|row| field.codes.errors[row]);
    let error = errors.into_iter().fold(0.0, f32::max);
    let length = matrix.kernel.dot(query, query).sqrt();
    most - least < error * length
}

/// The places of the rows whose bits are set. Four blocks at a time: most have none.
fn open(words: &Reaching) -> impl Iterator<Item = usize> {
    let (fours, _) = words.as_chunks::<4>();
    fours.iter().enumerate().flat_map(|(four, words)| {
        let mut open = words
            .iter()
            .rev()
            .fold(0u64, |open, word| open << BLOCK | u64::from(*word));
        std::iter::from_fn(move || {
            let next = (open != 0).then(|| four * 4 * BLOCK + open.trailing_zeros() as usize);
            open &= open.wrapping_sub(1);
            next
        })
    })
}

thread_local! {
    static DOTS: Cell<Vec<Dots>> = const { Cell::new(Vec::new()) };
}

/// Queries that are compared with the codes together.
struct Party<'a> {
    hunts: Vec<Hunt<'a>>,
    /// Both halves of the queries are compared at once.
    whole: bool,
}

impl<'a> Party<'a> {
    fn new(
        queries: &[&'a [f32]],
        field: Field<'_>,
        sketch: Option<&'a Codes>,
        rows: &Range<usize>,
    ) -> Self {
        // Many are compared with codes that are read once.
        let sketch = sketch.filter(|_| queries.len() == 1);
        let hunts = queries
            .iter()
            .map(|query| Hunt::new(query, field, rows).with_sketch(sketch, field.k));
        Party {
            hunts: hunts.collect(),
            whole: field.matrix.kernel.whole(),
        }
    }

    /// The codes of all queries, then those of what they leave out.
    fn words(&self) -> Vec<&[i32]> {
        let coarse = self.hunts.iter().map(|hunt| hunt.coded().words.as_slice());
        let fine = self
            .hunts
            .iter()
            .map(|hunt| hunt.coded().fine_words.as_slice());
        match self.whole {
            true => coarse.chain(fine).collect(),
            false => coarse.collect(),
        }
    }

    fn tries(&self) -> bool {
        self.hunts.iter().any(Hunt::tries)
    }

    /// Looks at one stretch.
    fn look(&mut self, field: Field<'_>, rows: Range<usize>, dots: &mut [Dots]) {
        if let [hunt] = self.hunts.as_mut_slice()
            && hunt.skim(field, &rows, &mut dots[0])
        {
            return;
        }
        let resting = |hunt: &Hunt<'_>| hunt.rest > 0;
        if !self.hunts.iter().all(resting) {
            let blocks = field.codes.blocks(rows.start, rows.len());
            self.compare(field.matrix.kernel, blocks, dots);
        }
        let (coarse, fine) = dots.split_at(self.hunts.len());
        for (number, hunt) in self.hunts.iter_mut().enumerate() {
            if resting(hunt) {
                hunt.rest = hunt.rest.saturating_sub(rows.len());
                field.matrix.scan(hunt.query, rows.clone(), &mut hunt.best);
            } else {
                let fine = self.whole.then(|| &fine[number]);
                hunt.sift(field, rows.clone(), &coarse[number], fine);
            }
        }
    }

    fn compare(&self, kernel: Kernel, blocks: &[u8], dots: &mut [Dots]) {
        let mut words = self.words();
        if words.len() > 2 {
            // As many as there is a loop for.
            words.resize(QUERIES, words[0]);
        }
        kernel.code_dots(blocks, &words, &mut dots[..words.len()]);
    }
}

/// The `k` best of `rows` for each query; `rows` begins at a stretch. With a sketch, that is looked at before the codes.
pub(super) fn search<'a>(
    matrix: &Matrix<'_>,
    codes: &Codes,
    sketch: Option<&'a Codes>,
    queries: &[&'a [f32]],
    k: usize,
    rows: Range<usize>,
) -> Vec<Top> {
    let field = Field { matrix, codes, k };
    let size = matrix.kernel.party();
    let mut parties: Vec<Party<'a>> = queries
        .chunks(size)
        .map(|some| Party::new(some, field, sketch, &rows))
        .collect();
    let room = if size == 1 { 2 } else { QUERIES };
    // Kept for the next search, because to fill so much with zeros each time takes as long as to compare.
    let mut dots = DOTS.take();
    dots.resize(room.max(dots.len()), [0; STRETCH]);
    let mut start = rows.start;
    while start < rows.end {
        let tries = parties.iter().any(Party::tries);
        let size = if tries { SHORT } else { STRETCH };
        let stretch = start..(start + size).min(rows.end);
        for party in &mut parties {
            party.look(field, stretch.clone(), &mut dots);
        }
        start = stretch.end;
    }
    DOTS.set(dots);
    let hunts = parties.into_iter().flat_map(|party| party.hunts);
    hunts
        .map(|mut hunt| {
            hunt.settle(matrix);
            hunt.best
        })
        .collect()
}
