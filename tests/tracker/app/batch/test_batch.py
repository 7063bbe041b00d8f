"""`python -m tracker batch` on a real Ray: one machine, and a cluster whose workers and nodes die."""

import csv
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.scenes import there_and_back, write_video
from tracker.app.cli import main

pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")

QUICK = ("--detector", "motion", "--encoder", "none", "--line", "gate=60,0,60,119")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "east").mkdir()
    write_video(folder / "east" / "2026-11-27_08-00-00.mp4", 40)
    write_video(folder / "long.mp4", 900, shows=there_and_back)
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    return folder


def batch(recordings, output, *more):
    return main(["batch", str(recordings), "--output", str(output), *QUICK, *more])


def test_a_batch(recordings, tmp_path, capfd):
    out = tmp_path / "out"
    assert batch(recordings, out, "--split", "40s", "--overlap", "5s", "--workers", "1") == 1  # one video is broken
    told = capfd.readouterr()
    assert "2 of 3 videos" in told.out and told.err.count("error: ") == 1
    assert told.err.count("broken.mp4: ") == 1 and "error: " + str(recordings / "broken.mp4") in told.err
    failed = list(csv.reader((out / "failed.csv").read_text().splitlines()))
    assert failed[0] == ["video", "error"] and failed[1][0].endswith("broken.mp4") and len(failed) == 2
    _equals_a_run(
        recordings / "east" / "2026-11-27_08-00-00.mp4", out / "videos" / "east_2026-11-27_08-00-00", tmp_path
    )
    assert json.loads((out / "videos" / "long" / "summary.json").read_text())["parts"] == 2
    tracks = parquet.read_table(out / "dataset" / "tracks")
    assert set(tracks.column("camera").to_pylist()) == {"east", "long"}
    assert set(tracks.column("day").to_pylist()) == {"2026-11-27", "unknown"}
    rows = sum(len((p / "tracks.csv").read_text().splitlines()) - 1 for p in (out / "videos").iterdir())
    assert tracks.num_rows == rows > 900
    before = _files(out)
    (recordings / "broken.mp4").rename(tmp_path / "broken.mp4")
    assert batch(recordings, out, "--split", "40s", "--overlap", "5s", "--resume") == 0
    assert "workers" not in capfd.readouterr().err  # nothing was left to do
    assert not (out / "failed.csv").exists() and {**_files(out), "failed.csv": before["failed.csv"]} == before
    (tmp_path / "broken.mp4").rename(recordings / "broken.mp4")


def _equals_a_run(video, folder, tmp_path):
    assert main(["run", str(video), *QUICK, "-q", "--no-video", "--output", str(tmp_path / "run")]) == 0
    for name in ("tracks.txt", "tracks.csv", "crossings.csv", "counts.csv"):
        assert (folder / name).read_text() == (tmp_path / "run" / name).read_text()


def _files(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_bad_input(recordings, tmp_path, capsys):
    out = tmp_path / "out"
    (out).mkdir()
    (out / "batch.json").write_text('{"version": "0.0.9"}')
    assert batch(recordings, out) == 1
    assert "holds a batch already; give --resume, --overwrite" in capsys.readouterr().err
    assert batch(recordings, out, "--resume") == 1
    assert "was written by version 0.0.9" in capsys.readouterr().err
    assert batch(recordings, tmp_path / "b", "--split", "5s") == 1
    assert "--split is 5s; expected at least 40s" in capsys.readouterr().err
    assert main(["batch", str(tmp_path / "out"), "--output", str(tmp_path / "c")]) == 1
    assert "no videos; expected files that end in" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_told_at_once_in_one_line(recordings, tmp_path, capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    for address in (where, f"ray://{where}", "127.0.0.1:99999"):
        began = time.monotonic()
        assert batch(recordings, tmp_path / "out", "--ray", address, "--overwrite", "-q") == 1
        told = capfd.readouterr().err.splitlines()
        assert f"error: --ray {address}: nobody answers" in told[-1] and time.monotonic() - began < 30
        assert not any("GCS" in line for line in told)


def test_without_ray_one_line_says_what_to_install(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert batch(recordings, tmp_path / "out") == 1
    assert "error: batch needs Ray; pip install" in capsys.readouterr().err


# ---- a cluster ------------------------------------------------------------------------------------


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
    yield nodes
    nodes.shutdown()


@pytest.mark.cluster
def test_workers_and_nodes_that_die_change_nothing(tmp_path, cluster):
    """Eight videos on two nodes; a worker is killed midway, then a node: the same bytes as undisturbed."""
    many = tmp_path / "many"
    many.mkdir()
    for n in range(8):
        write_video(many / f"v{n}.mp4", 1500 + 10 * n, shows=there_and_back)
    calm = tmp_path / "calm"
    assert batch(many, calm, "--workers", "2") == 0
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    rough = tmp_path / "rough"
    command = [sys.executable, "-m", "tracker", "batch", str(many), "--output", str(rough), *QUICK]
    running = subprocess.Popen([*command, "--ray", cluster.address], stderr=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(running.stderr), daemon=True)
    reader.start()
    _wait(lambda: any("v" in line and "frames" in line for line in lines), running)
    assert _kill_a_worker(cluster.head_node), "no worker of the head node was at work"
    _wait(lambda: sum("frames" in line for line in lines) >= 3, running)
    cluster.remove_node(node, allow_graceful=False)
    assert running.wait(120) == 0, lines
    reader.join(5)
    running.stderr.close()
    same = _files(calm)
    found = _files(rough)
    assert sorted(found) == sorted(same)
    for name in same:
        if not name.endswith(("summary.json", "summary.csv")):  # these tell times of work
            assert found[name] == same[name], name


def _wait(done, running):
    end = time.monotonic() + 120
    while not done():
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def _kill_a_worker(node):
    """SIGKILL to a worker process that tracks, of this node's own."""
    raylet = next(p.process.pid for kind, ps in node.all_processes.items() if kind == "raylet" for p in ps)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            name = (path / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == raylet and name.startswith(b"ray::_work"):
            os.kill(int(path.name), 9)
            return True
    return False
