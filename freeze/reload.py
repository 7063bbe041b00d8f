"""`python -m freeze.reload FILE.pb CROPS.npy FEATURES.npy`: what the proof runs in a fresh process."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from freeze.job import INPUT, OUTPUT
from freeze.runner import Runner
from freeze.tf_quiet import tensorflow


def main(argv: list[str]) -> int:
    graph_path, crops, features = (Path(a) for a in argv)
    tf = tensorflow()
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(graph_path.read_bytes())
    with Runner(graph_def) as runner:
        np.save(features, runner.run(OUTPUT, {INPUT: np.load(crops)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
