"""The end-to-end benchmark: real workers on a small clip, and the arithmetic of its tables."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.fps import VARIANTS, setting_table, stage_table, table
from benchmarks.fps_rounds import summary
from tests.scenes import write_video


class Measured:
    """Rounds as a worker leaves them; the first is warm-up."""

    about = {"detector": "d", "encoder": None, "start_s": 3.5}  # noqa: RUF012

    def __init__(self, name, walls):
        self.name = name
        stage = {"p50_ms": 1.0, "p95_ms": 2.0, "share": 1.0}
        self.rounds = [
            {"wall_s": wall, "cpu_s": 2 * wall, "frames": 10, "objects": 40, "embedded": 10, "ids": 4, "peak_mb": 100.0,
             "networks_s": 0.6 * wall, "totals": {"detect": 6.0, "encode": 3.0, "write": 1.0},
             "stages": {"detect": stage}, "rows": ""}
            for wall in walls
        ]  # fmt: skip


def test_ratios_are_taken_within_rounds():
    naive, ours = Measured("naive", [9, 4, 8, 2]), Measured("ours", [9, 1, 2, 1])
    found = summary(ours, naive)
    assert found["fps_ratio"] == 4 and found["cpu_ratio"] == 4
    assert found["fps"] == 10 and found["cpu_ms_per_frame"] == 200
    assert found["share_embedded"] == 0.25 and found["other_stages"] == pytest.approx(0.1)
    assert found["outside"] == pytest.approx(0.4) and found["warm_up_s"] == 9
    text = table({"naive": summary(naive, naive), "ours": found})
    assert "x naive" in text and "4.00" in text.splitlines()[2]
    assert "1.0/   2.0" in stage_table({"ours": found})
    assert "3.5        9.0  d | none" in setting_table({"ours": found})


def test_variants_switch_off_one_lever_each():
    assert all(len(options) <= 1 for options in VARIANTS.values())


def test_workers_measure_a_real_run(tmp_path, capsys):
    clip = write_video(tmp_path / "clip.mp4", 12)
    code = main(
        ["fps", str(clip), "--frames", "12", "--rounds", "1", "--detector", "motion", "--encoder", "none", "--variants",
         "naive,ours,sequential", "--json", str(tmp_path / "fps.json")]
    )  # fmt: skip
    assert code == 0
    found = json.loads((tmp_path / "fps.json").read_text())
    assert list(found["variants"]) == ["naive", "ours", "sequential"]
    assert found["variants"]["ours"]["tracks"] == found["variants"]["sequential"]["tracks"]
    for variant in found["variants"].values():
        assert variant["fps"] > 0 and variant["cpu_ms_per_frame"] > 0 and variant["peak_mb"] > 20
        assert {"decode", "detect", "associate", "draw", "write"} <= set(variant["stages"])
    assert "ours" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["none.mp4"], ["--variants", "magic"]])
def test_what_cannot_be_measured_is_said(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["fps", *arguments, "--detector", "motion", "--encoder", "none"]
    assert main([*given, "--variants", "ours"] if "--variants" not in given else given) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_soak_runs_the_clip_over_and_over(tmp_path, capsys):
    clip = write_video(tmp_path / "clip.mp4", 12)
    given = ["fps", str(clip), "--soak", "50", "--detector", "none", "--objects", "4", "--encoder", "none"]
    assert main([*given, "--json", str(tmp_path / "soak.json")]) == 0
    found = json.loads((tmp_path / "soak.json").read_text())
    assert (found["frames"], found["objects"]) == (50, 200)
    assert found["looks"][-1]["mb"] > 20
    assert "50 frames, 200 objects" in capsys.readouterr().out
