"""Networks that stay open from one session to the next."""

import numpy as np

from detectors import registry
from detectors.custom import CustomDetector
from tracker import Detections, Frame
from tracker.app.models import Models


def test_a_detector_is_opened_once_lent_and_given_back_as_it_was(monkeypatch):
    opened = []

    def find(image):
        return Detections.empty()

    def opener(request):
        opened.append(CustomDetector(find, name="plain"))
        return opened[-1]

    row = registry.Family("plain", opener, "finds nothing")
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, row))
    monkeypatch.setattr(registry, "NAMES", (*registry.NAMES, row.key))
    models = Models()
    first = registry.open_detector("plain", opener=models.detector)
    first.tiled = not first.tiled  # as a run does that cannot keep up
    assert opened[0].tiled == first.tiled, "what is asked of the lent one, the network does"
    first.close()
    second = registry.open_detector("plain", opener=models.detector)
    assert len(opened) == 1 and second.tiled == CustomDetector.tiled
    assert len(second(Frame(1, 0.0, np.zeros((9, 9, 3), np.uint8), (9, 9)))) == 0
    assert second.settings((9, 9)) == opened[0].settings((9, 9))
    models.close()
