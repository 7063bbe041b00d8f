"""Which tensor of a graph is its output: the only one that can be meant is taken, several are all listed."""

import numpy as np
import pytest

from freeze.checks.names import resolve_output
from freeze.errors import FreezeError, Log
from tests.freeze_models import placeholder


def dense(x, count, name):
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.variable_scope(name):
        x = tf.matmul(x, v1.get_variable("weights", [int(x.shape[-1]), count]))
        return tf.nn.bias_add(x, v1.get_variable("bias", [count]), name="BiasAdd")


def maps():
    import tensorflow as tf

    w = tf.compat.v1.get_variable("weights", [3, 3, 3, 8])
    return tf.nn.relu(tf.nn.conv2d(tf.cast(placeholder(), tf.float32), w, 2, "SAME"), name="maps")


def features():
    import tensorflow as tf

    return dense(tf.reduce_mean(maps(), [1, 2], name="pooled"), 6, "fc")


def labels(shape, dtype="float32"):
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, shape, name="labels")


def summaries(tf, x):
    tf.compat.v1.summary.histogram("fc", x)
    tf.compat.v1.summary.scalar("mean", tf.reduce_mean(x))


def loss(tf, x):
    tf.reduce_mean(tf.square(x - labels([None, 6])), name="loss")


def training(tf, x):
    error = tf.reduce_mean(tf.square(x - labels([None, 6])))
    tf.compat.v1.train.AdamOptimizer().minimize(error + 1e-4 * tf.nn.l2_loss(tf.compat.v1.trainable_variables()[0]))


def distances(tf, x):
    tf.matmul(x, x, transpose_b=True, name="distances")


def clipped(tf, x):
    tf.clip_by_norm(tf.compat.v1.trainable_variables()[-2], 1.0, name="clipped")


WATCHED = {
    "alone": lambda tf, x: None,
    "summaries": summaries,
    "a loss": loss,
    "a training run": training,
    "names of classes": lambda tf, x: tf.gather(tf.constant(list("abcdef")), tf.argmax(x, 1)),
    "the best three": lambda tf, x: tf.nn.top_k(x, 3),
    "norms": lambda tf, x: tf.norm(x, axis=1),
    "distances": distances,
    "checked": lambda tf, x: tf.compat.v1.debugging.assert_greater(tf.reduce_sum(x), -1e9).mark_used(),
    "weights": clipped,
    "one number": lambda tf, x: tf.squeeze(dense(x, 1, "age"), 1),
}
PASSED_ON = {
    "an identity": lambda tf, x: tf.identity(x, name="end"),
    "a print": lambda tf, x: tf.compat.v1.Print(x, [1], name="end"),
    "unit vectors": lambda tf, x: tf.nn.l2_normalize(x, 1, name="end"),
    "four dimensions": lambda tf, x: tf.reshape(x, [-1, 1, 1, 6], name="end"),
    "doubles": lambda tf, x: tf.cast(x, tf.float64, name="end"),
}


def resolved(build, held=None):
    """Name of the output of the graph that `build()` makes, and the log."""
    import tensorflow as tf

    log = Log()
    with tf.Graph().as_default() as graph:
        build(tf)
    return resolve_output(graph.as_graph_def(), None, log, held), log


@pytest.mark.parametrize("what", WATCHED)
def test_what_only_looks_at_the_features_is_no_second_output(what):
    output, log = resolved(lambda tf: WATCHED[what](tf, features()))
    assert output == "fc/BiasAdd:0" and log.codes() == {"OUTPUT_CHOSEN"}


@pytest.mark.parametrize("what", PASSED_ON)
def test_the_end_of_the_way_is_the_output(what):
    assert resolved(lambda tf: PASSED_ON[what](tf, features()))[0] == "end:0"


def heads(tf):
    x = tf.reduce_mean(maps(), [1, 2])
    for k in range(14):
        dense(x, 4 + k, f"head{k}")
    tf.reduce_max(maps_again(tf), [1, 2], keepdims=True, name="head14")
    tf.reduce_mean(maps_again(tf), 1, name="stripes")


def maps_again(tf):
    return tf.compat.v1.get_default_graph().get_tensor_by_name("maps:0")


def towers(tf):
    features()
    dense(tf.compat.v1.placeholder(tf.float32, [None, 5], name="pose"), 6, "pose_fc")


def classifier(tf):
    scores = dense(features(), 5, "last")
    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels([None], "int64"), logits=scores)


AMBIGUOUS = {
    "heads of all shapes": (
        heads,
        [*(f"head{k}/BiasAdd float32 [?, {4 + k}], from images" for k in range(14)), "head14"],
    ),
    "a map": (lambda tf: maps(), ["maps float32 [?, 16, 8, 8]"]),
    "scores under a loss": (classifier, ["fc/BiasAdd", "last/BiasAdd"]),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_all_that_could_be_meant_is_listed(what):
    build, words = AMBIGUOUS[what]
    with pytest.raises(FreezeError) as e:
        resolved(build)
    assert e.value.code == "OUTPUT_NOT_GIVEN" and all(w in str(e.value) for w in words)


def test_what_else_is_given_is_told():
    with pytest.raises(FreezeError, match=r"fc/BiasAdd(?s:.*)from images") as e:
        resolved(
            lambda tf: [towers(tf), dense(tf.compat.v1.get_default_graph().get_tensor_by_name("pooled:0"), 7, "b")]
        )
    assert "pose_fc/BiasAdd float32 [?, 6], from pose" in str(e.value)


def test_a_name_of_the_program_decides_among_heads():
    def build(tf):
        tf.nn.softmax(dense(features(), 5, "last"))

    output, log = resolved(build, {"embedding": "fc/BiasAdd:0", "scores": "last/BiasAdd:0"})
    assert output == "fc/BiasAdd:0" and "embedding" in log.findings[0].why


def test_scores_of_classes_that_the_program_holds_are_doubted():
    output, log = resolved(classifier, {"answer": "last/BiasAdd:0"})
    assert output == "last/BiasAdd:0" and [f.kind for f in log.findings] == ["warning"]
    assert np.all(["classes" in f.why for f in log.findings])
