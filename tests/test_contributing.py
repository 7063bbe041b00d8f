"""The examples of docs/extending.md do what they say."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Imports an example as the module it would be, without adding it to the package."""

    def imported(path):
        name = f"contributed_{Path(path).stem}"
        (tmp_path / f"{name}.py").write_text(BLOCKS[path], encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return imported


def test_a_detector(example, monkeypatch):
    from detectors import registry
    from tracker.core.types import Frame

    module = example("detectors/bright.py")
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, module.BRIGHT))
    monkeypatch.setattr(registry, "NAMES", (*registry.NAMES, module.BRIGHT.key))
    picture = np.zeros((80, 100, 3), np.uint8)
    picture[20:60, 30:50] = 255
    found = registry.open_detector("bright")(Frame(1, 0.0, picture, (100, 80)))
    assert found.xyxy.tolist() == [[30, 20, 50, 60]]


def test_a_tracker(example, monkeypatch):
    from dataclasses import replace

    from tests.scenes import boxes
    from tracker import DeepSort, Detections
    from tracker.tracking.trackers import TRACKERS

    module = example("tracker/tracking/sort.py")
    monkeypatch.setitem(TRACKERS, "sort", replace(module.SORT, module=module.__name__))
    tracker = DeepSort.from_preset("sort")
    features = np.eye(3, 8, dtype=np.float32)
    for index in range(1, 12):
        found = Detections(boxes(index))
        assert not tracker.wants_feature(found).any()
        tracks = tracker.update(found, features[:, ::-1] if index % 2 else features)  # looks that change mislead nobody
    assert tracks.confirmed.all() and tracks.id.tolist() == [1, 2, 3]
    for _ in range(2):
        tracks = tracker.update(Detections.empty())
    assert len(tracks) == 0


def test_a_diagnosis(example, tmp_path, monkeypatch):
    import tensorflow as tf

    from freeze import pipeline
    from freeze.errors import FreezeError, Log
    from freeze.load import metagraph
    from freeze.request import Request
    from tests.freeze_models import placeholder, tiny, trained

    trained(tmp_path, lambda: tf.identity(tiny(placeholder()), name="features"))
    checkpoint = tmp_path / "model.ckpt-7"
    request = Request(meta=checkpoint.with_suffix(".ckpt-7.meta"), checkpoint=checkpoint, output="features")
    job = pipeline.mended(request, metagraph.load(request, Log()), Log())
    module = example("freeze/checks/length.py")
    module.check_length(job)
    monkeypatch.setattr(module, "LONGEST", 8)
    with pytest.raises(FreezeError, match="FEATURES_LONG: features of length 16"):
        module.check_length(job)


def test_every_example_is_run():
    assert sorted(BLOCKS) == ["detectors/bright.py", "freeze/checks/length.py", "tracker/tracking/sort.py"]
