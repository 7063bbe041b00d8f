"""Fits the encoder to one scene: from tracklets without labels, judged on tracklets it never learnt from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from freeze.training import closed
from freeze.training.batches import Batches
from freeze.training.crops import Crops
from freeze.training.errors import TrainDataError
from freeze.training.evaluate import Separation, separation
from freeze.training.mine import ENOUGH, MANY
from tracker.core.vectors import unit_vectors

RATE, DECAY = 2e-4, 0.01
BLEND = 0.5
"""Share of the adapted weights in the result: between two fine-tuned ends the mean generalises better than either
(Wortsman et al., 2109.01903)."""
SAME = 5e-4
"""Difference of two areas that means nothing."""
MOST_STEPS = 1200
Report = Callable[[int, int, dict[str, float]], None]
IDENTITIES, PER_IDENTITY = 8, 4
FOLDS, DRAWS = 3, 10
"""Parts of the tracklets that judge in turn, and draws of them of which the best is taken."""
MOST_PAIRS = 15
"""Pairs of groups of tracklets that judge in turn where groups are few."""


@dataclass(frozen=True)
class Judged:
    """How tracklets not learnt from are told apart, part by part.

    Each part is judged by an encoder of its own, so distances of two parts do not compare, and the measures are means
    over the parts that have them.
    """

    parts: list[Separation]

    def area(self) -> float:
        """Mean of the parts' areas."""
        return _mean([p.area() for p in self.parts])

    def decidability(self) -> float:
        """Mean of the parts' decidabilities."""
        return _mean([p.decidability() for p in self.parts])

    def threshold(self) -> float:
        """Mean of the parts' thresholds."""
        return _mean([p.threshold() for p in self.parts])


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


@dataclass(frozen=True)
class Gain:
    """What adapting brought, `before` and `after`."""

    before: Judged
    after: Judged

    def kept(self) -> bool:
        """The adapted encoder tells them apart more often, or as often and by a wider margin."""
        return better(self.after, self.before)


def better(a: Judged | Separation, b: Judged | Separation) -> bool:
    """Area under the ROC curve decides; where that is as good as equal, the margin."""
    if abs(a.area() - b.area()) > SAME:
        return a.area() > b.area()
    return a.decidability() > b.decidability()


def folds(crops: Crops, seed: int) -> list[np.ndarray]:
    """Parts of the tracklets, each to be judged by an encoder that learnt from the others; (I,) bool each.

    What may be parts of one object's way must not both teach and judge, so whole groups go to a part. Of `MANY` groups
    and more the parts are thirds; of fewer, pairs known to be different objects, as thirds would leave nothing to learn
    from or none to judge.

    Raises
    ------
    TrainDataError
        Too few objects, or too few that are known to be different.
    """
    names = np.array(crops.names)
    groups = list(dict.fromkeys(crops.names))
    if len(groups) < ENOUGH:
        raise TrainDataError(
            f"{len(groups)} objects were followed long, whole and moving; at least {ENOUGH} are "
            f"needed to learn from: give longer footage, or another --detector"
        )
    rng = np.random.default_rng(seed)

    def pairs_within(parts: list[np.ndarray]) -> list[int]:
        return sorted(int(crops.differ[np.ix_(p, p)].sum()) // 2 for p in parts)

    def thirds() -> list[np.ndarray]:
        order = rng.permutation(groups)
        return [np.isin(names, order[k::FOLDS]) for k in range(FOLDS)]

    if len(groups) < MANY:
        pairs = [np.isin(names, pair) for pair in combinations(groups, 2)]
        parts = [p for p in rng.permutation(pairs) if pairs_within([p])[0]][:MOST_PAIRS]
    else:  # only pairs known to differ can judge: of some draws that which leaves no part without them
        parts = max((thirds() for _ in range(DRAWS)), key=lambda d: pairs_within(d)[0])
    if not sum(pairs_within(parts)):
        raise TrainDataError(
            "no two of the objects followed are known to be different (in view together, or gone over "
            "the frame's border): give longer or busier footage"
        )
    return parts


def measure(crops: Crops, features: np.ndarray) -> Separation:
    """Distances within and between the tracklets held out.

    Parameters
    ----------
    features : (N,D) ndarray
        Of all crops, not normalised.
    """
    rows = np.flatnonzero(crops.held_out[crops.identity])
    return separation(unit_vectors(features[rows]), crops.identity[rows], crops.scene[rows], crops.differ)


def adapted(
    crops: Crops, weights: dict[str, np.ndarray], seconds: float, seed: int, report: Report
) -> tuple[dict[str, np.ndarray], Gain]:
    """Adapts in two ways, of which the better one is returned.

    The closed form (see `freeze.training.closed`) is judged on every part of the tracklets after learning from the
    other parts, and then learns from all. With fine-tuning before, which takes long and more than a few objects, it is
    judged on the first of the thirds alone, and taken if it is the better one there.

    Parameters
    ----------
    crops : Crops
        Tracklets.
    weights : dict[str, ndarray]
        Of the encoder to start from.
    seconds : float
        Time for the steps of `finetuned`.

    Returns
    -------
    weights : dict[str, ndarray]
        What was learnt.
    gain : Gain
        How they do beside those they came from, on tracklets that were not learnt from.
    """
    from freeze.training.model import features

    seen = features(weights, crops.images)
    before, after = [], []
    parts = folds(crops, seed)
    for done, part in enumerate(reversed(parts), 1):
        crops.held_out = part
        before.append(measure(crops, seen))
        after.append(measure(crops, seen @ within(crops, seen).T))
        report(done, len(parts), {})
    if len(set(crops.names)) >= MANY:
        tuned = finetuned(crops, weights, unit_vectors(seen), seconds, seed, report)
        apart = features(tuned, crops.images)
        matrix = within(crops, apart)
        found = measure(crops, apart @ matrix.T)
        if better(found, after[-1]) and better(found, before[-1]):
            return closed.fold(tuned, matrix, apart), Gain(Judged(before[-1:]), Judged([found]))
    crops.held_out = np.zeros_like(crops.held_out)
    return closed.fold(weights, within(crops, seen), seen), Gain(Judged(before), Judged(after))


def within(crops: Crops, features: np.ndarray) -> np.ndarray:
    """The closed form's matrix (D,D), fitted to the tracklets that are not held out."""
    learnt = ~crops.held_out[crops.identity]
    return closed.fit(features[learnt], crops.identity[learnt])


def finetuned(
    crops: Crops, weights: dict[str, np.ndarray], teacher: np.ndarray, seconds: float, seed: int, report: Report
) -> dict[str, np.ndarray]:
    """Weights halfway to those of some more training on the tracklets, at most `MOST_STEPS`.

    The encoder's own features (N,D), as unit vectors, are the `teacher`, and batch norms keep their statistics, so that
    what it knows is not lost.
    """
    from freeze.training.model import TrainModel

    batches = Batches(crops, seed, IDENTITIES, PER_IDENTITY, teacher)
    model = TrainModel(batches.classes, teacher.shape[1], seed, weights, batch_statistics=False)
    model.heads["teacher"].assign(np.eye(teacher.shape[1], dtype=np.float32))
    steps = MOST_STEPS
    began = time.monotonic()
    for step, batch in batches.iterate(0, MOST_STEPS):
        if step == 5:
            began = time.monotonic()
        if step == 10:  # the first steps tell what fits into the time
            steps = int(np.clip(seconds * 5 / (time.monotonic() - began), 20, MOST_STEPS))
        if step >= steps:
            break
        rate = RATE * min(1.0, (step + 1) / 20) * (1 + np.cos(np.pi * step / steps)) / 2
        report(step + 1, steps, model.train_step(batch, float(rate), DECAY))
    return {n: (BLEND * model.network[n].numpy() + (1 - BLEND) * weights[n]).astype(np.float32) for n in weights}
