"""The losses of the encoder's training."""

from __future__ import annotations

import tensorflow as tf

SMOOTHING = 0.1
TEACHER_WEIGHT = 4.0
RELATIONS_WEIGHT = 32.0


def identity(logits: tf.Tensor, labels: tf.Tensor, possible: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy with label smoothing (Szegedy et al., 1512.00567, section 7).

    Parameters
    ----------
    logits : (N,C) tf.Tensor
        Of the classes.
    labels : (N,) tf.Tensor of int
        Crops of label -1, which have none, do not count.
    possible : (N,C) tf.Tensor of bool
        False for classes that may be the same object under another name; they stay out of the sum.
    """
    own = tf.one_hot(labels, tf.shape(logits)[1])
    possible = tf.cast(possible, tf.float32)
    targets = (1.0 - SMOOTHING) * own + SMOOTHING * possible / tf.reduce_sum(possible, 1, keepdims=True)
    log_share = tf.nn.log_softmax(logits - 1e4 * (1.0 - possible))
    counts = tf.cast(labels >= 0, tf.float32)
    return -tf.reduce_sum(tf.reduce_sum(targets * possible * log_share, 1) * counts) / tf.reduce_sum(counts)


def hard_triplet(embedding: tf.Tensor, labels: tf.Tensor, comparable: tf.Tensor) -> tf.Tensor:
    """Batch-hard triplet loss with soft margin (Hermans et al., 1703.07737, equations 5 and 6).

    Parameters
    ----------
    embedding : (N,D) tf.Tensor
        Not normalised.
    labels : (N,) tf.Tensor of int
        Classes; -1 for none.
    comparable : (N,N) tf.Tensor of bool
        False where it is not known whether two crops show the same object.
    """
    squared = tf.reduce_sum(embedding**2, 1)
    distance = tf.sqrt(
        tf.maximum(squared[:, None] + squared - 2 * tf.matmul(embedding, embedding, transpose_b=True), 1e-6)
    )
    same = labels[:, None] == labels
    other = tf.logical_and(tf.logical_not(same), comparable)
    positive = tf.reduce_max(tf.where(same, distance, 0.0), 1)
    negative = tf.reduce_min(tf.where(other, distance, 1e6), 1)
    has_negative = tf.cast(negative < 1e6, tf.float32)
    return tf.reduce_sum(tf.nn.softplus(positive - negative) * has_negative) / tf.maximum(
        tf.reduce_sum(has_negative), 1.0
    )


def teacher(prediction: tf.Tensor, target: tf.Tensor, taught: tf.Tensor) -> tf.Tensor:
    """Cosine distance between what a linear head predicts and the teacher's feature, over the crops it has seen.

    Parameters
    ----------
    prediction, target : (N,T) tf.Tensor
        Features of the linear head, and of the teacher.
    taught : (N,) tf.Tensor of float32
        1 where there is a target.
    """
    similarity = tf.reduce_sum(tf.math.l2_normalize(prediction, 1) * tf.math.l2_normalize(target, 1), 1)
    return TEACHER_WEIGHT * tf.reduce_sum((1 - similarity) * taught) / tf.maximum(tf.reduce_sum(taught), 1.0)


def relations(feature: tf.Tensor, target: tf.Tensor, taught: tf.Tensor, scene: tf.Tensor) -> tf.Tensor:
    """Squared difference between our cosine of two crops and the teacher's, over pairs of one scene.

    The cosines are what a tracker matches by; what a linear head can read out of the feature need not show in them
    (similarity distillation, as in Tung and Mori, 1907.09682).

    Parameters
    ----------
    feature : (N,D) tf.Tensor
        Not normalised.
    target : (N,T) tf.Tensor
        Of the teacher.
    taught : (N,) tf.Tensor of float32
        1 where there is a target.
    scene : (N,) tf.Tensor of int
        A teacher's features are centred within a scene and say nothing of pairs across two.
    """
    ours, theirs = tf.math.l2_normalize(feature, 1), tf.math.l2_normalize(target, 1)
    difference = tf.matmul(ours, ours, transpose_b=True) - tf.matmul(theirs, theirs, transpose_b=True)
    pairs = tf.cast(scene[:, None] == scene, tf.float32) * taught[:, None] * taught
    pairs = tf.linalg.set_diag(pairs, tf.zeros_like(taught))
    return RELATIONS_WEIGHT * tf.reduce_sum(difference**2 * pairs) / tf.maximum(tf.reduce_sum(pairs), 1.0)
