"""How much of TensorFlow a run imports."""

import subprocess
import sys

PROGRAM = """
import sys
from tracker.core.tensorflow import gpu_reason, import_runtime

tf = import_runtime()
given = tf.compat.v1.GraphDef()
node = given.node.add(name="two", op="Const")
node.attr["dtype"].type = tf.float32.as_datatype_enum
node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(2.0))
with tf.Graph().as_default() as graph:
    tf.import_graph_def(given, name="")
print(tf.compat.v1.Session(graph=graph).run("two:0"), "tensorflow" in sys.modules, bool(gpu_reason()))
"""


def test_what_runs_graphs_comes_without_the_whole_package():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.0", "False", "True"]
