"""Many candidates at once: a cheap race in which bad ones die early, then fresh evidence for those that are left.

The best of a hundred equal candidates looks good, so what a race has measured never promotes: the winner is confirmed
on requests and processes that the race did not use. Where several are confirmed together, e-BH keeps the share of
false discoveries down (R. Wang, A. Ramdas: False discovery rate control with e-values, JRSS B, 2022); it holds however
the candidates' e-values depend on each other, and all of them are compared with the same main.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


class Race:
    """Successive halving: in each round all that are left are measured a little more, and the lower half goes.

    With n candidates it costs about 2n rounds' worth of pairs, and the best n/2^k have had k times as many.
    """

    def __init__(self, candidates: Sequence[str]) -> None:
        self.alive = list(candidates)
        self.rounds = 0

    @property
    def winner(self) -> str | None:
        """The one that is left; None: several are, or none."""
        return self.alive[0] if len(self.alive) == 1 else None

    @property
    def over(self) -> bool:
        """Whether nobody needs to be measured any more."""
        return len(self.alive) <= 1

    def end_round(self, scores: Mapping[str, float], out: Collection[str] = ()) -> list[str]:
        """Ends a round; returns who has gone, the worst last.

        Args:
            scores: Of everybody in `alive`, over all rounds so far; higher is better.
            out: Who is shown to do harm: gone whatever the score.
        """
        self.rounds += 1
        left = sorted((name for name in self.alive if name not in out), key=lambda name: -scores[name])
        kept = left[: (len(self.alive) + 1) // 2]
        gone = left[len(kept) :] + [name for name in self.alive if name in out]
        self.alive = kept
        return gone


def e_bh(e_values: Mapping[str, float], alpha: float) -> list[str]:
    """Whose gain is shown, of several confirmed together; at most a share `alpha` of them falsely, in the mean.

    The k largest e-values are taken, for the largest k of which each is at least n / (alpha * k).
    """
    ranked = sorted(e_values, key=lambda name: -e_values[name])
    count = len(ranked)
    most = max(
        (rank for rank, name in enumerate(ranked, 1) if e_values[name] >= count / (alpha * rank)),
        default=0,
    )
    return ranked[:most]
