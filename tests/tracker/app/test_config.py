"""The run's configuration: TOML and back, and options that agree with the dataclasses."""

import tomllib
from dataclasses import fields, replace

import pytest

from freeze.cli import parser as freeze_parser
from tracker.app.config import RunConfig, read_toml
from tracker.app.options import FREEZE, build_config, parser
from tracker.errors import ConfigError
from tracker.tracking.config import DeepSortConfig, OverlapConfig
from tracker.tracking.trackers import TRACKERS


def actions(command):
    """What argparse keeps of a parser's options; it shows them nowhere else."""
    return command._actions  # noqa: SLF001


def run_parser():
    return next(a for a in actions(parser()) if a.dest == "command").choices["run"]


def options():
    """Destination of every option of `run`."""
    return {a.dest: a for a in actions(run_parser()) if a.dest != "help"}


def parse(*arguments):
    return build_config(vars(parser().parse_args(["run", *arguments])))


def test_every_field_of_the_run_has_an_option_and_the_other_way_round():
    not_configuration = {"output", "overwrite", "config", "quiet", "verbose"}
    not_configuration |= {"serve", "publish", "segment", "keep", "keep_gb"}
    run = {f.name for f in fields(RunConfig)} - {"tracker", "freeze"}
    tracker = {"max_age", "n_init", "max_cosine_distance", "min_iou", "max_iou_distance", "budget"}
    freeze = {f"freeze:{name}" for name in FREEZE}
    assert set(options()) - not_configuration == run | tracker | freeze
    assert tracker <= {f.name for entry in TRACKERS.values() for f in fields(entry.config)}


def test_options_to_freeze_are_those_of_the_freeze_command():
    known = {o for a in actions(freeze_parser()) for o in a.option_strings}
    assert {f"--{name}" for name in FREEZE} <= known
    config = parse(
        "a.mp4", "--network", "wrn", "--checkpoint", "ckpt", "--freeze-output", "features", "--output", "out"
    )
    assert config.freeze == {"network": "wrn", "checkpoint": "ckpt", "output": "features"}
    with pytest.raises(ConfigError, match="expected one"):
        parse("a.mp4", "--network", "wrn", "--encoder", "colour")


def test_no_options_give_the_defaults():
    assert parse("a.mp4") == RunConfig(sources=("a.mp4",))


def test_help_states_the_defaults_of_the_dataclasses():
    text = " ".join(run_parser().format_help().split())
    for name in ("n_init", "min_iou"):
        assert f"(default: {getattr(OverlapConfig(), name)}" in options()[name].help, name
    for name in ("max_age", "max_cosine_distance", "max_iou_distance", "budget"):
        assert f": {getattr(DeepSortConfig(), name)})" in options()[name].help, name
    for name in ("start", "stride", "detect_every", "detector", "encoder", "device", "preset", "appearance", "tiles"):
        assert f"(default: {getattr(RunConfig(), name)})" in options()[name].help, name
    assert "SOURCE" in text


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(sources=("a.mp4", "rtsp://b"), classes=("person", "car"), confidence=0.4, max_frames=7, video=False),
        RunConfig(tracker=OverlapConfig(max_age=9, min_iou=0.31), target_fps=25.0, threads=False),
        RunConfig(freeze={"network": "wrn", "checkpoint": "model.ckpt-1"}),
        RunConfig(preset="paper", tracker=DeepSortConfig()),
    ],
)
def test_toml_and_back(tmp_path, config):
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert build_config({"config": path}) == config
    assert {"run", "tracker"} <= set(tomllib.loads(path.read_text())) <= {"run", "tracker", "freeze"}


def test_options_stand_above_the_file_and_the_file_above_the_preset(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[run]\nsources = ["a.mp4"]\nstride = 3\npreset = "paper"\n[tracker]\nmax_age = 50\nbudget = 10\n')
    config = build_config({"config": path, "budget": 20, "sources": []})
    expected = replace(DeepSortConfig(), max_age=50, budget=20)
    assert config == RunConfig(sources=("a.mp4",), stride=3, preset="paper", tracker=expected)


@pytest.mark.parametrize(
    "text, part",
    [
        ("[run]\nfoo = 1\n", "unknown key 'foo'"),
        ("[tracker]\nmax_agee = 1\n", "unknown key 'max_agee'"),
        ("[runn]\n", "unknown key 'runn'"),
        ("[run]\nstride = 'two'\n", "stride is 'two'"),
        ("[run]\nstride = true\n", "stride is True"),
        ("[run]\nclasses = [1]\n", "classes is 1; expected a text"),
        ("[run]\nsources = 'a.mp4'\n", "sources is 'a.mp4'; expected a list, each a text"),
        ("[run]\nmax_frames = 1e3\n", "max_frames is 1000.0; expected a whole number from"),
        ("[run]\nconfidence = nan\n", "confidence is nan; expected a number from"),
        ("[run\n", "is not TOML"),
        ("run = 3\n", "expected a table"),
    ],
)
def test_refuses_broken_files(tmp_path, text, part):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=part):
        read_toml(path)


def test_names_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--stride", "0"], "stride is 0"),
        (["--start", "0"], "start is 0"),
        (["--encoder", "defualt"], "did you mean 'default'"),
        (["--max-frames", "0"], "max_frames is 0"),
        (["--detect-every", "-1"], "detect_every"),
        (["--confidence", "1.5"], "confidence is 1.5"),
        (["--confidence", "nan"], "confidence is nan"),
        (["--nms", "-0.1"], "nms"),
        (["--max-age", "0"], "max_age"),
        (["--target-fps", "0"], "target_fps"),
    ],
)
def test_refuses_values_out_of_range(arguments, part):
    with pytest.raises(ConfigError, match=part):
        parse("a.mp4", *arguments)


@pytest.mark.parametrize(
    "field, value",
    [
        ("confidence", float("nan")), ("confidence", "0.5"), ("nms", 1.5), ("start", 0), ("start", 2.5),
        ("stride", True), ("max_frames", -1), ("target_fps", float("inf")), ("reconnect", float("nan")),
        ("reconnect", None),
        ("detector", "cocoo"), ("encoder", "x.pt"), ("device", "gpu:x"), ("tiles", "9x9"), ("preset", "fast"),
        ("appearance", "some"), ("video", 1), ("classes", "person"), ("classes", (3,)), ("sources", "a.mp4"),
        ("interval", "soon"), ("blur", "cars"), ("scene", 3),
    ],
)  # fmt: skip
def test_every_field_is_checked(field, value):
    with pytest.raises(ConfigError, match=rf"{field}|{str(value)[:9]}"):
        RunConfig(**{field: value})
