"""Networks in OpenVINO, on the CPU: frozen TensorFlow graphs and ONNX files."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detectors.runners.base import Feed
from detectors.runners.eight_bit import eight_bit as copy_in_eight_bits
from tracker.core.autotune import cached, compare
from tracker.core.files import model_bytes
from tracker.core.openvino import import_openvino
from tracker.core.tensorflow import processor
from tracker.errors import BackendMissingError, DetectorError


class OpenVINORunner:
    """The same graph read by OpenVINO; compiled once for each shape met, with a request for each thread.

    With several threads to use, either as many pictures are looked at at the same time, each by one thread, or all
    threads share one: what is faster here is measured, once per machine and graph, and so is the precision.

    Parameters
    ----------
    path : Path
        The graph.
    input_name : str
        Name of the node that takes the pictures.
    outputs : sequence of str, optional
        Names of nodes; None: all outputs in their order.
    precision, threads, eight_bit : str, int, bool
        See `detectors.runners.graphs.open_runner`.
    prepare : Callable, optional
        What is done to the network when it was read, so that it takes uint8 (N,H,W,3).

    Raises
    ------
    BackendMissingError
        OpenVINO is not installed.
    DetectorError
        It cannot read the graph, or the precision is unknown.
    """

    def __init__(
        self,
        path: Path,
        input_name: str,
        outputs: Sequence[str] | None,
        *,
        precision: str,
        threads: int,
        eight_bit: bool = False,
        prepare: Callable[[Any], Any] = lambda model: model,
    ) -> None:
        try:
            ov = import_openvino()
        except ImportError as error:
            raise BackendMissingError(f"openvino is not installed ({error}); run `pip install openvino`") from None
        self._core, self._version = ov.Core(), ov.__version__
        self._path, self._prepare = path, prepare
        self._outputs = None if outputs is None else [f"{name}:0" for name in outputs]
        self._digest = hashlib.sha256(model_bytes(path)).hexdigest()
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._compiling: defaultdict[tuple[int, ...], threading.Lock] = defaultdict(threading.Lock)
        self._mine = threading.local()
        self._model = self._read(path)
        self._input = self._named_input(input_name)
        self._alone = len(self._model.input(self._input).partial_shape) == 3
        """It takes a picture, not a batch of them."""
        self.output_names: tuple[str, ...] = tuple(outputs or (str(o.get_any_name()) for o in self._model.outputs))
        if precision not in ("auto", "f32", "bf16", "i8") or (precision == "i8" and not eight_bit):
            known = "auto, f32, bf16 or i8" if eight_bit else "auto, f32 or bf16"
            raise DetectorError(f"precision {precision!r} for {path}; expected {known}")
        # With 8 bits, `rest` is for the layers that stay as they are.
        rest = precision if precision in ("f32", "bf16") else str(self._measured("precision", self._rest)["precision"])
        if precision == "auto":
            precision = rest
            if eight_bit and self._measured("eight bits", partial(self._pays, rest), rest)["pays"]:
                precision = "i8"
        if precision == "i8":
            if (copy := self._eight_bit()) is None:
                raise DetectorError(f"{path}: no ReLU6 bounds its activations; use precision auto, f32 or bf16")
            self._model = copy
        self.concurrency = 1
        if threads > 1:
            measure = partial(self._sharing, rest, threads)
            self.concurrency = int(self._measured("concurrency", measure, threads, precision)["concurrency"])
        self._options = _options(rest, threads, self.concurrency)
        self.name = f"openvino cpu {precision}"

    def _read(self, path: Path) -> Any:
        try:
            return self._prepare(self._core.read_model(path))
        except RuntimeError as error:
            raise DetectorError(f"{path}: OpenVINO cannot read the graph: {_said(error)}") from None

    def _named_input(self, name: str) -> str:
        """The input as OpenVINO names it: TensorFlow's names carry the number of an output."""
        names: list[str] = [n for i in self._model.inputs for n in i.names if n in (name, f"{name}:0")]
        if not names:
            raise DetectorError(f"{self._path}: it has no input {name!r}")
        return names[0]

    def _eight_bit(self) -> Any | None:
        """The copy in 8 bits, or None where the graph is not of the kind, or OpenVINO cannot make one."""
        try:
            copy = copy_in_eight_bits(self._path)
        except (RuntimeError, OSError, ImportError, AttributeError, TypeError):
            return None
        return self._read(copy) if copy is not None else None

    def _measured(self, what: str, measure: Callable[[], dict[str, Any]], *given: Any) -> dict[str, Any]:
        """The outcome of a measurement, which is made once per machine, version and graph."""
        key = f"{what} {given}, {processor()}, openvino {self._version}, {self._digest}"
        return cached("openvino", key, measure)

    def _rest(self) -> dict[str, Any]:
        """bf16 where the processor knows it and it saves time: without matrix units it may cost more."""
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return {"precision": "f32"}
        batch = self._trial()
        try:
            calls = {p: self._inference(self._model, batch, _options(p, 1, 1)) for p in ("f32", "bf16")}
        except RuntimeError:  # under ONEDNN_MAX_CPU_ISA it says that it can and cannot
            return {"precision": "f32"}
        seconds = compare(calls)
        return {"precision": "bf16" if seconds["bf16"] < 0.9 * seconds["f32"] else "f32", "seconds": seconds}

    def _pays(self, rest: str) -> dict[str, Any]:
        """Whether 8 bits save a tenth of the time or more; the copy is made for that."""
        copy = self._eight_bit()
        if copy is None:
            return {"pays": False}
        batch = self._trial()
        models = {rest: self._model, "i8": copy}
        seconds = compare({name: self._inference(m, batch, _options(rest, 1, 1)) for name, m in models.items()})
        return {"pays": seconds["i8"] < 0.9 * seconds[rest], "seconds": seconds}

    def _inference(self, model: Any, batch: np.ndarray, options: dict[str, Any]) -> Callable[[], Any]:
        return partial(self._compile(model, batch.shape, options).create_infer_request().infer, [batch])

    def _sharing(self, precision: str, threads: int) -> dict[str, Any]:
        """How many pictures to look at at the same time with so many threads: one, or one a thread."""
        batch = self._trial()

        def look(concurrency: int) -> Callable[[], None]:
            compiled = self._compile(self._model, batch.shape, _options(precision, threads, concurrency))
            requests = [compiled.create_infer_request() for _ in range(concurrency)]

            def work() -> None:
                for _ in range(threads // concurrency):
                    for request in requests:
                        request.start_async([batch])
                    for request in requests:
                        request.wait()

            return work

        seconds = compare({"1": look(1), str(threads): look(threads)}, busy=False)
        return {"concurrency": int(min(seconds, key=lambda k: seconds[k])), "seconds": seconds}

    def _trial(self) -> np.ndarray:
        """One picture of noise, as the graph takes it."""
        given = self._model.input(self._input)
        usual = (1, 320, 320, 3)[-len(given.partial_shape) :]
        shape = [d.get_length() if d.is_static else side for d, side in zip(given.partial_shape, usual, strict=True)]
        return np.random.default_rng(0).integers(0, 256, shape).astype(given.element_type.to_dtype())

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for a batch, in the order asked for."""
        try:
            if self._alone:
                batch = batch[0]
            request = self._request_for(batch.shape)
            request.infer([np.ascontiguousarray(batch)], share_inputs=True)
            if self._outputs is None:
                return [request.get_output_tensor(i).data for i in range(len(self._model.outputs))]
            return [request.get_tensor(name).data for name in self._outputs]
        except RuntimeError as error:
            raise DetectorError(f"{self._path}: OpenVINO failed on {batch.shape}: {_said(error)}") from None

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        """The request of the calling thread for a shape."""
        requests = self._mine.__dict__.setdefault("requests", {})
        if shape not in requests:
            with self._compiling[shape]:
                compiled = self._compiled.get(shape) or self._compile(self._model, shape, self._options)
                self._compiled[shape] = compiled
            requests[shape] = compiled.create_infer_request()
        return requests[shape]

    def forget(self, sizes: Collection[tuple[int, int]]) -> None:
        """Free the compiled networks of these sizes (width, height), unless other threads use them."""
        self._mine.__dict__.pop("requests", None)
        for shape in [s for s in list(self._compiled) if s[-2:-4:-1] in sizes]:
            self._compiled.pop(shape, None)

    def _compile(self, model: Any, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        model = model.clone()
        model.reshape({self._input: list(shape)})
        return self._core.compile_model(model, "CPU", options)


UNKNOWN = "No conversion rule found for operations: "
HEADINGS = ("Exception from", "Check '", "FrontEnd API failed", "Loading input model", "Model wasn't fully converted")


def _said(error: Exception) -> str:
    """What OpenVINO has to say, without where in its sources it says so."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if line.startswith(UNKNOWN):
            return f"it knows no {line.removeprefix(UNKNOWN)[:200]}; export the network with usual operations alone"
    told = [line for line in lines if not line.startswith(HEADINGS)]
    return (told or lines or [type(error).__name__])[0][:300]


def prepared(model: Any, feed: Feed) -> Any:
    """An ONNX network that takes uint8 RGB pictures (N,H,W,3): what a feed asks for happens inside."""
    ov = import_openvino()
    from openvino.preprocess import ColorFormat, PrePostProcessor

    if feed.size_input is not None:
        size = model.input(feed.size_input)
        number = ov.opset13.constant(np.array([feed.size]), size.element_type)
        for target in size.get_target_inputs():
            target.replace_source_output(number.output(0))
        model.remove_parameter(next(p for p in model.get_parameters() if p.output(0) == size))
    kind = model.input(feed.name).element_type
    steps = PrePostProcessor(model)
    given = steps.input(feed.name)
    given.tensor().set_element_type(ov.Type.u8).set_color_format(ColorFormat.RGB)
    given.tensor().set_layout(ov.Layout("HWC" if feed.axes == "CHW" else "NHWC"))
    given.model().set_layout(ov.Layout(feed.axes))
    if feed.bgr:
        given.preprocess().convert_color(ColorFormat.BGR)
    if kind != ov.Type.u8:
        given.preprocess().convert_element_type(ov.Type.f32)
        given.preprocess().mean([m * feed.divisor for m in feed.mean])
        given.preprocess().scale([d * feed.divisor for d in feed.deviation])
        given.preprocess().convert_element_type(kind)
    return steps.build()


def _options(precision: str, threads: int, concurrency: int) -> dict[str, Any]:
    """OpenVINO's. A single stream works in the caller's thread; all stay off fixed cores, as others work too."""
    hint = {"PERFORMANCE_HINT": "LATENCY"} if concurrency == 1 else {"NUM_STREAMS": concurrency}
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        **hint,
    }
