"""The stories of docs/freeze.md: TensorFlow fails as the page says, and freezing gives the right features."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from docs.stories import telling
from freeze.graph.images import structured

PAGE = (Path(__file__).parents[2] / "docs" / "freeze.md").read_text(encoding="utf-8")
README = (Path(__file__).parents[2] / "freeze" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["no_names", "built_twice", "own_layer"])
def test_a_story_goes_as_the_page_tells_it(tmp_path, name):
    module = import_module(f"docs.stories.{name}")
    came = module.story(tmp_path)
    assert module.TENSORFLOW in came.tensorflow and module.TENSORFLOW in PAGE
    assert came.code == 0, came.freeze
    assert all(code in came.freeze for code in module.CODES)
    assert f"python -m docs.stories.{name}" in PAGE
    images = structured(4, telling.SHAPE, seed=9)
    right = module.expected(images, tmp_path) if name == "own_layer" else module.expected(images)
    np.testing.assert_allclose(telling.features(came.out, images), right, atol=1e-5)


def test_the_page_names_codes_that_there_are():
    codes = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`", PAGE))
    assert len(codes) > 25 and not [c for c in codes if f"`{c}`" not in README]
