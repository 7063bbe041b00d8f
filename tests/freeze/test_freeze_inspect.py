"""`freeze inspect`: what it says of each kind of model, without running the user's code."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from freeze.report import inspect

pytest.importorskip("tensorflow")


def said(path: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert inspect.main([str(path)]) == code
    out, err = capsys.readouterr()
    return out + err


def test_script_is_read_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.py"
    path.write_text("import tensorflow as tf\nopen('ran', 'w')\ndef build(images):\n    return tf.contrib.x(images)\n")
    words = said(path, capsys)
    assert "build(images)" in words
    assert "would fail: it uses tf.contrib" in words
    assert not Path("ran").exists()
    path.write_text("def build(images)\n")
    assert "would fail" in said(path, capsys)


def test_keras_model_names_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras = pytest.importorskip("keras")

    class Odd(keras.layers.Layer):  # type: ignore[misc]
        def call(self, z: object) -> object:
            return z

    images = keras.Input((8, 4, 3), name="images")
    z = keras.layers.BatchNormalization(name="bn")(images, training=True)
    z = keras.layers.Flatten(name="flat")(Odd(name="odd")(z))
    keras.Model(images, z).save(tmp_path / "m.keras")
    words = said(tmp_path / "m.keras", capsys)
    for expected in ("inputs: images", "outputs: flat", "4 layers", "--custom-objects FILE.py with Odd", "training"):
        assert expected in words, words


def test_checkpoint_and_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        images = v1.placeholder(tf.uint8, [None, 8, 4, 3], name="images")
        w = v1.get_variable("fc/weights", [96, 5])
        tf.matmul(tf.reshape(tf.cast(images, tf.float32), [-1, 96]), w, name="features")
        w.load(np.full((96, 5), np.nan, np.float32), session)
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    words = said(tmp_path / "model.ckpt", capsys)
    assert "1 variables, 480 values" in words
    assert "fc/weights float32 [96, 5] would fail" in words
    assert "NaN" in words
    words = said(tmp_path / "model.ckpt.meta", capsys)
    assert "inputs that could be meant: images uint8 [?, 8, 4, 3]\n" in words
    assert "features float32 [?, 5]" in words


def test_wrong_file_and_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "m.pb", "w") as archive:
        archive.writestr("inside.pb", b"x")
    assert "inside.pb" in said(tmp_path / "m.pb", capsys, 1)
    assert "FILE_MISSING" in said(tmp_path / "none.pb", capsys, 1)
