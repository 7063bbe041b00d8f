#!/usr/bin/env bash
# Everything that wants a GPU, in one command: where graphs are placed, whether f16 pays, end-to-end speed beside the CPU.
#     pip install '.[gpu,eval]' && bash benchmarks/gpu.sh [VIDEO]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${OUT:-$(mktemp -d)}

echo "== devices"
"$python" - <<'PY'
from tracker.devices import gpu_reason, import_tensorflow, pick_device, processor
tf = import_tensorflow()
print("tensorflow", tf.__version__, "on", processor())
print("GPUs:", tf.config.list_physical_devices("GPU") or f"none ({gpu_reason()})")
print("gpu ->", pick_device("gpu"))
PY

echo "== encoder: precision, memory and crops per second by batch, CPU and GPU"
"$python" - <<'PY'
import time
import numpy as np
from freeze.api import frozen_default
from tracker.encoder import FrozenEncoder, trial_crops
from tracker.devices import import_tensorflow

path = frozen_default("default")
features = {}
for device in ("cpu", "gpu"):
    for precision in ("f32", None):
        with FrozenEncoder.open(path, device=device, precision=precision) as encoder:
            for n in (1, 8, 32, 128):
                crops = trial_crops(n, encoder.input_shape)
                features[device, precision] = encoder.encode(crops)
                start, rounds = time.perf_counter(), 20
                for _ in range(rounds):
                    encoder.encode(crops)
                rate = n * rounds / (time.perf_counter() - start)
                print(f"{encoder.device:6} {encoder.precision:5} batch {n:4d}: {rate:9.0f} crops/s")
reference = features["cpu", "f32"]
for key, value in features.items():
    print(key, "least cosine to cpu f32:", float((reference * value).sum(1).min()))
tf = import_tensorflow()
print("GPU memory, peak MB:", tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20)
PY

echo "== tests of devices and encoder"
"$python" -m pytest -q tests/test_encoder.py tests/test_precision.py

echo "== end to end"
"$python" -m benchmarks fps "$@" --device cpu --variants naive,ours --json "$out/cpu.json"
"$python" -m benchmarks fps "$@" --device gpu --variants naive,ours,sequential --json "$out/gpu.json"
echo "figures: $out"
