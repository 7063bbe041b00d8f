"""What filterpy brings, and what it does not bring before somebody asks."""

import subprocess
import sys

FIRST_TRACK = """
import sys
import numpy as np
from tracker.tracking.constant_velocity import constant_velocity, white_acceleration

model = constant_velocity(white_acceleration(1.0), 1.0, np.eye(2))
assert not {"scipy.stats", "scipy.ndimage", "filterpy.stats"} & set(sys.modules)
model.predict()
model.update(np.array([[1.0]]))
print(model.log_likelihood)
import filterpy.stats
from scipy.stats import norm
print(filterpy.stats.gaussian(1.0, 2.0, 3.0), norm.pdf(1.0, 2.0, 3.0**0.5))
print(norm.logpdf(1.0, 0.0, model.S.item() ** 0.5))
"""


def test_statistics_load_when_they_are_asked_for():
    done = subprocess.run([sys.executable, "-c", FIRST_TRACK], capture_output=True, text=True, check=True)
    likelihood, density, expected, expected_likelihood = map(float, done.stdout.split())
    assert abs(density - expected) < 1e-12
    assert abs(likelihood - expected_likelihood) < 1e-12
