"""Training of the appearance encoder: `python -m freeze train`.

The state is written every few minutes and on interruption; starting again continues, and ends with the weights an
uninterrupted training would have had. The weights published are the averaged ones of the best validation so far.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from freeze.training import closed
from freeze.training.batches import Batches
from freeze.training.config import TrainConfig
from freeze.training.crops import Crops
from freeze.training.data import load, read_manifest
from freeze.training.errors import TrainError, TrainStateError
from freeze.training.files import load_state, read_weights, save_state, write_checkpoint
from freeze.training.validate import validate
from tracker.core.vectors import unit_vectors

Report = Callable[[int, int, dict[str, float]], None]
"""Called after every step with steps done, steps in all, and what was measured."""


SAMPLE = 6000
"""To how many crops of the identities learnt from the last layers are fitted when the steps are done."""


class Training:
    """One training, from its data and state on disk to its checkpoint."""

    def __init__(self, config: TrainConfig) -> None:
        import tensorflow as tf

        from freeze.networks import striped
        from freeze.training.model import TrainModel, variable_shapes

        if config.network != striped.NAME:
            raise TrainError(f"network {config.network!r} cannot be trained; known: {striped.NAME}")
        if config.threads:
            tf.config.threading.set_intra_op_parallelism_threads(config.threads)
        self.config = config
        self.crops = load(read_manifest(config.data), striped.INPUT_SHAPE[:2], config.seed)
        teacher = self._teacher()
        self.batches = Batches(self.crops, config.seed, config.identities, config.per_identity, teacher)
        start = read_weights(config.start, variable_shapes()) if config.start else None
        self.model = TrainModel(self.batches.classes, self.batches.teacher.shape[1], config.seed, start)
        self.recipe = self._recipe()
        self.state_path = config.beside("state.npz")
        self.best: dict[str, Any] = {"score": -1.0}
        self.best_weights: dict[str, np.ndarray] = {}
        self.history: list[dict[str, float]] = []
        if self.state_path.exists():
            self._resume()

    def _teacher(self) -> np.ndarray | None:
        """(N,T) features of the teacher; zeros for tracklets, which may show what it never learnt."""
        if self.config.teacher is None:
            return None
        from freeze.training.teacher import teacher_features

        taught = (self.crops.identity < 0) | self.crops.exclusive[self.crops.identity]
        known = teacher_features(
            self.crops.images[taught], self.crops.scene[taught], self.config.teacher, self.config.beside("teacher.npz")
        )
        features = np.zeros((len(self.crops), known.shape[1]), np.float32)
        features[taught] = known
        return features

    def _resume(self) -> None:
        arrays, facts = load_state(self.state_path)
        recipe = self.recipe
        changed = sorted(k for k in recipe.keys() | facts["recipe"].keys() if recipe.get(k) != facts["recipe"].get(k))
        if changed:
            raise TrainStateError(
                f"{self.state_path} is of a training with other settings ({', '.join(changed)}); "
                f"use the same, or remove it to start afresh"
            )
        state = self.model.state()
        for name, variable in state.items():
            if name not in arrays or arrays[name].shape != tuple(variable.shape):
                raise TrainStateError(f"{self.state_path} does not fit the data ({name}); remove it to start afresh")
            variable.assign(arrays[name])
        self.best, self.history = facts["best"], facts["history"]
        self.best_weights = {n.removeprefix("best/"): a for n, a in arrays.items() if n.startswith("best/")}

    def _recipe(self) -> dict[str, Any]:
        """What decides the weights: the settings, and the data by its digest."""
        digest = hashlib.sha256(self.crops.images.tobytes())
        for array in (self.crops.identity, self.crops.held_out, self.crops.share, self.crops.differ):
            digest.update(array.tobytes())
        return self.config.recipe() | {"data": digest.hexdigest()}

    def save(self) -> None:
        """Writes the state; the one before stays whole until then."""
        arrays = {name: variable.numpy() for name, variable in self.model.state().items()}
        arrays |= {f"best/{name}": value for name, value in self.best_weights.items()}
        save_state(self.state_path, arrays, {"recipe": self.recipe, "best": self.best, "history": self.history})

    def _judge(self, step: int) -> dict[str, float]:
        """Validates the averaged weights and keeps them where they are the best so far."""
        measures = validate(self.crops, self.model.embed)
        self.history.append({"step": step} | measures)
        if measures.get("score", 0.0) >= self.best["score"]:
            self.best = {"step": step, "score": 0.0} | measures
            self.best_weights = {name: v.numpy() for name, v in self.model.average.items()}
        return measures

    def publish(self) -> None:
        """Writes the best weights so far as the checkpoint."""
        crops = self.crops
        facts = {
            "network": self.config.network,
            "measures": self.best,
            "recipe": self.recipe,
            "identities": self.batches.classes,
            "held_out_identities": [n for n, out in zip(crops.names, crops.held_out, strict=True) if out],
            "crops": len(crops),
            "max_cosine_distance": _threshold(self.best.get("threshold")),
        }
        write_checkpoint(self.config.out, self.best_weights, facts)

    def run(self, report: Report = lambda step, steps, values: None) -> dict[str, Any]:
        """Trains to the end and publishes. On interruption the state is saved and KeyboardInterrupt goes on."""
        config = self.config
        begin = int(self.model.step.numpy())
        try:
            for step, batch in self.batches.iterate(begin, config.steps):
                began = time.perf_counter()
                values = self.model.train_step(batch, config.rate_at(step), config.decay, config.teacher_at(step))
                if not math.isfinite(values["total"]):
                    raise TrainError(f"the loss is {values['total']} at step {step}; start again with a lower --rate")
                values["crops_per_s"] = len(batch["labels"]) / (time.perf_counter() - began)
                done = step + 1
                if done % config.validate_every == 0 or done == config.steps:
                    values |= self._judge(done)
                    self.publish()
                if done % config.save_every == 0 or done == config.steps:
                    self.save()
                report(done, config.steps, values)
        except KeyboardInterrupt:
            self.save()
            raise
        if not self.best_weights:
            self._judge(config.steps)
        self._finish()
        self.publish()
        return self.best

    def _finish(self) -> None:
        """Fits the last layers in closed form, and keeps that where the identities held out are found more surely."""
        from freeze.training.model import features

        fitted = within_identities(self.crops, self.best_weights, self.config.seed)
        measures = validate(self.crops, lambda crops: unit_vectors(features(fitted, crops)))
        if measures.get("score", 0.0) > self.best["score"]:
            self.best = self.best | measures
            self.best_weights = fitted


def within_identities(crops: Crops, weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Weights that count less what changes within an identity; those held out do not tell (see `closed`)."""
    from freeze.training.model import features

    known = (crops.identity >= 0) & ~crops.held_out[crops.identity] & crops.exclusive[crops.identity]
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(known))[:SAMPLE]
    if not len(rows):
        return weights
    seen = features(weights, crops.images[rows])
    return closed.fold(weights, closed.fit(seen, crops.identity[rows]), seen)


def _threshold(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
