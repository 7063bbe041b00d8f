"""Graphs of strangers: what touches files is refused before TensorFlow sees it, wherever in the graph it hides."""

from pathlib import Path

import numpy as np
import pytest

from tests.encoders import SHAPE
from tracker.core import child
from tracker.core.graph_ops import INFERENCE, inert, refused
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.graph_file import read_graph
from tracker.encoder.trial import tried
from tracker.errors import EncoderError


def hostile(tf, target, where):
    """Bytes of an encoder that writes `target`: at top level, in a branch, or in a function that a function calls."""

    @tf.function
    def writes(x):
        tf.io.write_file(str(target), "owned")
        return x * 2.0

    @tf.function
    def calls(x):
        return writes(x) + 1.0

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.uint8, (None, *SHAPE), "images")
        mean = tf.reduce_mean(tf.cast(images, tf.float32), (1, 2))
        if where == "top":
            with tf.control_dependencies([tf.io.write_file(str(target), "owned")]):
                mean = tf.identity(mean)
        elif where == "branch":
            mean = tf.cond(tf.reduce_max(mean) > 0, lambda: writes(mean), lambda: mean)
        elif where == "function":
            mean = calls(mean)
        elif where == "loop":
            mean = tf.while_loop(lambda i, x: i < 2, lambda i, x: (i + 1, writes(x)), (0, mean))[1]
        tf.identity(mean, "features")
    return graph.as_graph_def().SerializeToString()


@pytest.mark.parametrize("where", ["top", "branch", "function", "loop"])
def test_a_graph_that_writes_is_refused_wherever_it_does(tmp_path, where):
    path = tmp_path / "encoder.pb"
    path.write_bytes(hostile(import_tensorflow(), tmp_path / "written", where))
    with pytest.raises(EncoderError, match=r"WriteFile .*--unsafe"):
        read_graph(path)
    assert read_graph(path, unsafe=True).node and not (tmp_path / "written").exists()


@pytest.mark.parametrize("op", ["ReadFile", "MatchingFiles", "SaveV2", "RestoreV2", "PrintV2", "DebugIdentity",
                                "PyFunc", "ImmutableConst", "DecodeJpeg", "EagerPyFunc", "TensorDataset", "Abort",
                                "MyOwnOp", "QueueDequeueV2", "InitializeTableFromTextFileV2"])  # fmt: skip
def test_what_inference_does_not_need_is_not_on_the_list(op):
    graph = import_tensorflow().compat.v1.GraphDef()
    graph.node.add(name="x", op=op)
    assert refused(graph) == [f"{op} (node x)"] and op not in INFERENCE


SECRET = 7919  # how long the file is: a number that shows nowhere else


def nosy(tf, secret):
    """A graph in which the shapes tell how long a file is: at top level, in a branch, and in functions."""

    @tf.function
    def length():
        return tf.strings.length(tf.io.read_file(str(secret)))

    @tf.function
    def row():
        return tf.zeros([1, tf.strings.length(tf.io.read_file(str(secret)))])

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.uint8, (None, *SHAPE), "images")
        features = tf.reduce_mean(tf.cast(images, tf.float32), (1, 2), name="features")
        tf.zeros([tf.strings.length(tf.io.read_file(str(secret)))], name="top")
        found = tf.io.matching_files(str(secret.parent / "*"))
        tf.reshape(tf.zeros([60]), [tf.size(found), -1], name="listed")
        tf.matmul(features, tf.zeros([3, length()]), name="function")
        tf.identity(row(), name="inner")
        tf.zeros([tf.cond(tf.constant(True), length, lambda: 1)], name="branch")
    return graph.as_graph_def()


def test_no_file_is_touched_while_shapes_are_inferred(tmp_path, capsys):
    from freeze.api import freeze
    from freeze.errors import FreezeError
    from freeze.graph.shapes import Shapes
    from freeze.report import inspect
    from freeze.request import Request

    (tmp_path / "secret").write_text("x" * SECRET)
    graph = nosy(import_tensorflow(), tmp_path / "secret")
    names = ("top", "function", "inner", "branch")
    open_to_all, closed = Shapes(graph), Shapes(inert(graph))
    # TensorFlow reads while it infers
    assert open_to_all.of("top") == [SECRET] and open_to_all.of("inner") == [1, SECRET]
    assert [closed.of(n) and closed.of(n)[-1] for n in names] == [None] * 4
    assert closed.of("listed") == [None, None] and closed.of("features") == [None, 3]
    path = tmp_path / "net.pb"
    path.write_bytes(graph.SerializeToString())
    assert inspect.main([str(path)]) == 0
    told = capsys.readouterr().out.replace(str(path), "PATH")
    assert str(SECRET) not in told and "function float32 [?, ?]" in told and "ReadFile" in told
    with pytest.raises(FreezeError, match="ReadFile"):
        freeze(Request(graphdef=path, output="function", out=tmp_path / "x.pb"))


def test_a_stand_in_has_the_outputs_of_what_it_stands_for():
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        names = tf.constant(["a", "b"])
        whole, half = tf.raw_ops.RestoreV2(
            prefix="nowhere", tensor_names=names, shape_and_slices=["", ""], dtypes=[tf.int64, tf.float16]
        )
        tf.identity(whole, "whole")
        tf.identity(half, "half")
        tf.raw_ops.WriteFile(filename="x", contents="y", name="writes")
    made = inert(graph.as_graph_def())
    assert {n.name: n.op for n in made.node}["writes"] == "NoOp" and not refused(made, also=["Unstage"])
    with tf.Graph().as_default() as again:
        tf.import_graph_def(made, name="")
    assert [again.get_tensor_by_name(f"{n}:0").dtype for n in ("whole", "half")] == [tf.int64, tf.float16]
    assert again.get_operation_by_name("writes").control_inputs


def test_a_function_that_calls_itself_an_operation_allows_nothing():
    graph = import_tensorflow().compat.v1.GraphDef()
    graph.node.add(name="x", op="WriteFile")
    graph.library.function.add().signature.name = "WriteFile"
    assert refused(graph)


def test_variables_say_how_to_freeze(tmp_path):
    graph = import_tensorflow().compat.v1.GraphDef()
    graph.node.add(name="w", op="VarHandleOp")
    (tmp_path / "net.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(EncoderError, match=r"python -m freeze --meta M.meta --checkpoint CKPT --out net_frozen.pb"):
        read_graph(tmp_path / "net.pb")


def test_a_child_that_does_not_end_or_dies_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "endless.py").write_text("while True: pass")
    (tmp_path / "dies.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    (tmp_path / "eats.py").write_text("x = bytearray(1 << 45)")
    with pytest.raises(child.EndedError, match="did not end within 1 s"):
        child.run("endless", [], seconds=1)
    with pytest.raises(child.EndedError, match="SIGSEGV"):
        child.run("dies", [])
    done = child.run("eats", [])
    assert done.returncode == 1 and "MemoryError" in done.stderr
    part = "from tracker.core import child\nwith child.limited(0.3, 'a part of it'):\n"
    (tmp_path / "turns.py").write_text(part + "    while True: pass")
    (tmp_path / "stands.py").write_text(f"import threading\n{part}    threading.Event().wait()")
    for module in ("turns", "stands"):
        with pytest.raises(child.EndedError, match=r"^a part of it$"):
            child.run(module, [])


def test_an_encoder_without_end_is_given_up_in_its_trial(tmp_path, monkeypatch):
    """As a run tries it: in a process of its own, where one batch may take so long and no longer."""
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.uint8, (None, *SHAPE), "images")
        mean = tf.reduce_mean(tf.cast(images, tf.float32), (1, 2))
        forever = tf.compat.v1.while_loop(lambda x: tf.constant(True), lambda x: x + 1.0, [mean])
        tf.identity(forever, "features")
    (tmp_path / "endless.pb").write_bytes(graph.as_graph_def().SerializeToString())
    quick = "import sys\nfrom tracker.encoder import runtime\nruntime.RUN_SECONDS = 0.5\nruntime.main(sys.argv[1:])\n"
    (tmp_path / "quick.py").write_text(quick)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = child.run
    monkeypatch.setattr(child, "run", lambda module, given, **more: run("quick", given, **more))
    with pytest.raises(EncoderError, match=r"one run on a few crops did not end within 0.5 s"):
        tried(tmp_path / "endless.pb")


def test_a_trial_is_remembered_and_kills_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    path, calls = tmp_path / "encoder.pb", []
    path.write_bytes(b"x")

    def run(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 1:
            raise child.EndedError("it was ended by SIGSEGV")
        return child.subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(child, "run", run)
    with pytest.raises(EncoderError, match="SIGSEGV"):
        tried(path)
    tried(path)
    tried(path)
    assert len(calls) == 2


@pytest.mark.parametrize("which", [1, 2])
def test_the_values_of_a_saved_model_are_read_and_nothing_of_it_is_run(tmp_path, which):
    """Values through the restore operations of TensorFlow 1 and 2, with an initialiser that would write a file."""
    from freeze.errors import Log
    from freeze.graph.graphdef import VARIABLE_OPS
    from freeze.load import saved_model
    from freeze.request import Request

    tf, folder, target = import_tensorflow(), tmp_path / "saved", tmp_path / "written"
    (tf1_model if which == 1 else tf2_model)(tf, folder, target)
    target.unlink(missing_ok=True)
    model = saved_model.load(Request(saved_model=folder, out=Path("x.pb")), Log())
    names = [n.name for n in model.graph_def.node if n.op in VARIABLE_OPS and "kernel" in n.name]
    values = model.need(names)
    np.testing.assert_array_equal(next(iter(values.values.values())), np.arange(6, dtype=np.float32).reshape(3, 2))
    assert not target.exists()


def tf1_model(tf, folder, target):
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, (None, 3), "images")
        kernel = v1.get_variable("kernel", initializer=tf.constant(np.arange(6, dtype=np.float32).reshape(3, 2)))
        session.run(v1.global_variables_initializer())
        init = tf.group(tf.io.write_file(str(target), "owned"), name="init")
        v1.saved_model.simple_save(
            session, str(folder), {"images": images}, {"features": images @ kernel}, legacy_init_op=init
        )


def tf2_model(tf, folder, target):
    class Net(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2), name="kernel")

        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
        def __call__(self, images):
            return {"features": images @ self.kernel}

    net = Net()
    tf.saved_model.save(net, str(folder), signatures=net.__call__)
