"""The output becomes what the tracker takes: rank 2, float32, unit length."""

from __future__ import annotations

from typing import Any

import numpy as np

from freeze.errors import Finding, FreezeError, tensorflow_words
from freeze.graph.graphdef import GraphDef, add_const, add_node, copied, node_name, set_attr
from freeze.graph.images import structured
from freeze.graph.runner import Runner
from freeze.job import INPUT, Job, Passed
from tracker.core.tensorflow import import_tensorflow

NORM_TOLERANCE = 1e-4
SUM_TOLERANCE = 1e-3
SAMPLES = 6


def form_output(job: Job) -> Passed:
    """Squeezed to rank 2, cast to float32, L2-normalised where the measured norms are not 1.

    Raises
    ------
    FreezeError
        OUTPUT_NOT_FEATURES, OUTPUT_NOT_FINITE.
    """
    tf = import_tensorflow()
    new, head, findings = copied(job.graph), job.head, []
    sample, dtype = _sample(job)
    if sample.ndim != 2:
        head, why = _rank_two(new, head, sample, dtype)
        findings.append(Finding("OUTPUT_RANK", why, (job.head,)))
    if dtype != tf.float32:
        why = f"the output is {dtype.name} (half precision or double): converted to float32"
        findings.append(Finding("OUTPUT_DTYPE", why, (head,)))
        head = add_node(new, "features_float", "Cast", [head], SrcT=dtype, DstT=tf.float32).name
    sample = sample.astype(np.float64).reshape(len(sample), -1)
    if not np.isfinite(sample).all():
        raise FreezeError(
            "OUTPUT_NOT_FINITE",
            "the features hold NaN or infinite values on ordinary images",
            "use a checkpoint from before training diverged; check --scale and --image-shape",
            [job.head],
        )
    if sample.shape[1] > 1 and (sample >= 0).all() and np.abs(sample.sum(1) - 1).max() < SUM_TOLERANCE:
        findings.append(_classes(job, sample.shape[1]))
    norms = np.linalg.norm(sample, axis=1)
    if np.abs(norms - 1).max() > NORM_TOLERANCE:
        why = (
            f"the features are not L2-normalised (norms {norms.min():.4g} to {norms.max():.4g} "
            "on test images, 1 is needed for the cosine distance): normalisation appended"
        )
        findings.append(Finding("OUTPUT_NOT_NORMALISED", why, (node_name(head),)))
        head = _normalised(new, head)
    return Passed(new, head, tuple(findings))


def _sample(job: Job) -> tuple[np.ndarray, Any]:
    """What the head gives for some images, and its TensorFlow dtype. Raises OUTPUT_NOT_FEATURES and others."""
    tf = import_tensorflow()
    with Runner(job.graph, job.values) as runner:
        dtype = runner.graph.get_tensor_by_name(job.head if ":" in job.head else job.head + ":0").dtype
        try:
            sample = np.asarray(runner.run(job.head, {INPUT: structured(SAMPLES, job.input_shape)}))
        except (tf.errors.OpError, ValueError) as e:
            raise _does_not_run(job, tensorflow_words(e)) from None
    if sample.ndim == 0 or not dtype.is_floating:
        raise FreezeError(
            "OUTPUT_NOT_FEATURES",
            f"the output is {dtype.name} of shape {list(sample.shape)}, not a feature per image",
            "name the embedding with --output",
            [job.head],
        )
    return sample, dtype


def _classes(job: Job, count: int) -> Finding:
    """Numbers from 0 to 1 that sum to 1 are probabilities of classes.

    Raises
    ------
    FreezeError
        OUTPUT_CLASSES, where nobody named this output.
    """
    cause = f"the output is {count} probabilities of classes (each from 0 to 1, 1 together), not a feature of a crop"
    if not job.request.output:
        remedy = (
            "name the layer before the classifier, for example --output embedding; inspect FILE lists what there is"
        )
        raise FreezeError("OUTPUT_CLASSES", cause, remedy, [job.output])
    return Finding("OUTPUT_CLASSES", f"{cause}; it is used, as asked", (job.output,), "warning")


def _does_not_run(job: Job, words: str) -> FreezeError:
    if "BATCH_SIZE_FIXED" in job.log.codes():
        cause = f"the graph works for the batch size it was built with only, inside as well as at its input: {words}"
        return FreezeError("BATCH_SIZE_FIXED", cause, "build it with a free batch size ([None, H, W, 3])", [job.input])
    cause = f"the graph does not run on {SAMPLES} images: {words}"
    return FreezeError("GRAPH_DOES_NOT_RUN", cause, "check --input, --output and --image-shape", [job.head])


def _rank_two(new: GraphDef, head: str, sample: np.ndarray, dtype: object) -> tuple[str, str]:
    """The flattened tensor, and why."""
    tf = import_tensorflow()
    inner = sample.shape[1:]
    if sample.ndim < 2 or len(sample) != SAMPLES or np.prod(inner) != max(inner):
        raise FreezeError(
            "OUTPUT_NOT_FEATURES",
            f"the output has rank {sample.ndim} (shape {list(sample.shape)} for {SAMPLES} images): it is a feature "
            "map or no feature per image; the tracker needs one vector per image (rank 2)",
            "name the pooled or dense layer behind it with --output, or pool it in the model",
            [head],
        )
    add_const(new, "features_flat/shape", [-1, int(np.prod(inner))], tf.int32)
    node = add_node(new, "features_flat", "Reshape", [head, "features_flat/shape"], T=dtype)
    set_attr(node, "Tshape", tf.int32)
    shape = ", ".join(map(str, inner))
    return node.name, f"the output has rank {sample.ndim} (shape [?, {shape}]): flattened to rank 2"


def _normalised(new: GraphDef, head: str) -> str:
    """x / sqrt(1e-8 + sum of squares)."""
    tf = import_tensorflow()
    f = tf.float32
    scope = "features_l2"
    add_node(new, f"{scope}/square", "Square", [head], T=f)
    add_const(new, f"{scope}/axis", [1], tf.int32)
    total = add_node(new, f"{scope}/sum", "Sum", [f"{scope}/square", f"{scope}/axis"], T=f, Tidx=tf.int32)
    total.attr["keep_dims"].b = True
    add_const(new, f"{scope}/epsilon", 1e-8, f)
    add_node(new, f"{scope}/add", "AddV2", [f"{scope}/sum", f"{scope}/epsilon"], T=f)
    add_node(new, f"{scope}/sqrt", "Sqrt", [f"{scope}/add"], T=f)
    return str(add_node(new, f"{scope}/div", "RealDiv", [head, f"{scope}/sqrt"], T=f).name)
