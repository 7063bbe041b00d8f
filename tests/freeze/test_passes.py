"""Passes are pure: what they find is in what they return, and the job they are given stays as it is."""

import numpy as np

from freeze import passes
from freeze.request import Request
from tests.freeze_models import DIMENSION, freeze_here, placeholder, right, tiny, trained


def build():
    """A training graph in which every kind of repair but that of the layout has something to do."""
    import tensorflow as tf

    v1 = tf.compat.v1
    switch = v1.placeholder_with_default(True, [], name="is_training")
    features = tiny(placeholder(), training=switch, dropout=lambda x: v1.nn.dropout(x, rate=0.4))
    with tf.control_dependencies([v1.assign_add(v1.get_variable("steps", [], trainable=False), 1.0)]):
        tf.identity(features, name="features")


def snapshot(job):
    feeds = {k: np.asarray(v).tolist() for k, v in (job.feeds or {}).items()}
    graphs = job.graph.SerializeToString(deterministic=True), job.full.SerializeToString(deterministic=True)
    return graphs, job.head, job.input, job.output, feeds, list(job.log.findings), sorted(job.values or {})


def test_a_pass_writes_nothing_to_the_job(tmp_path, monkeypatch):
    done = []

    def watched(repair):
        def run(job):
            before = snapshot(job)
            passed = repair(job)
            assert snapshot(job) == before, repair.__name__
            done.append((repair.__name__, [f.code for f in passed.findings]))
            return passed

        return run

    monkeypatch.setattr(passes, "REPAIRS", tuple(map(watched, passes.REPAIRS)))
    held = trained(tmp_path, build)
    request = Request(meta=tmp_path / "model.ckpt-7.meta", checkpoint=tmp_path / "model.ckpt-7", output="features")
    features, contract, _ = freeze_here(request)
    np.testing.assert_allclose(features, right({k: v for k, v in held.items() if k != "steps"}), atol=1e-5)
    assert contract.dimension == DIMENSION and len(done) == len(passes.REPAIRS)
    found = {code for _, codes in done for code in codes}
    assert {"UPDATE_OPS", "PLACEHOLDER_BOUND", "BRANCH_FOLDED", "DROPOUT_REMOVED"} <= found
