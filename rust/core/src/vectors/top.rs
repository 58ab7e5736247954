//! The best k, kept while the scores are made.

/// A heap whose top is the worst of the best `k` so far. Equal scores: the smaller id is better.
pub(super) struct Top {
    heap: Vec<(f32, u64)>,
    k: usize,
}

fn worse(a: (f32, u64), b: (f32, u64)) -> bool {
    a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)
}

impl Top {
    pub fn new(k: usize) -> Self {
        Top {
            heap: Vec::with_capacity(k),
            k,
        }
    }

    /// Takes one score. NaN is never among the best.
    pub fn offer(&mut self, score: f32, id: u64) {
        if self.heap.len() < self.k {
            if !score.is_nan() {
                self.heap.push((score, id));
                self.rise();
            }
        } else if self
            .heap
            .first()
            .is_some_and(|worst| worse(*worst, (score, id)))
        {
            self.heap[0] = (score, id);
            self.sink();
        }
    }

    fn rise(&mut self) {
        let mut at = self.heap.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !worse(self.heap[at], self.heap[parent]) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let mut worst = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && worse(self.heap[child], self.heap[worst]) {
                    worst = child;
                }
            }
            if worst == at {
                break;
            }
            self.heap.swap(at, worst);
            at = worst;
        }
    }

    /// What a score must reach to be among the best; below everything while there is room.
    #[inline]
    pub fn worst(&self) -> f32 {
        match self.heap.first() {
            Some((score, _)) if self.heap.len() == self.k => *score,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Takes what another one has kept.
    pub fn absorb(&mut self, other: Top) {
        for (score, id) in other.heap {
            self.offer(score, id);
        }
    }

    /// `(id, score)`, best first.
    pub fn finish(mut self) -> Vec<(u64, f32)> {
        self.heap
            .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.heap
            .into_iter()
            .map(|(score, id)| (id, score))
            .collect()
    }
}
