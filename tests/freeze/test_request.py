"""`Request`: the one description of a freeze that the command line, a run and the freezing process share."""

from dataclasses import replace
from pathlib import Path

import pytest

from freeze import cli
from freeze.errors import UsageError
from freeze.request import Request, options

GIVEN = {
    "meta": "m.meta",
    "network": "wrn",
    "checkpoint": "folder/model.ckpt-7",
    "image-shape": "128x64",
    "scale": "1/255",
    "bind": ["a/keep=1,b=true", "c=0.5"],
    "ema": "yes",
    "no-repair": True,
    "out": "x.pb",
}


def test_texts_become_values():
    asked = Request.from_options(GIVEN)
    assert (
        asked.source == "network" and asked.meta == Path("m.meta") and asked.checkpoint == Path("folder/model.ckpt-7")
    )
    assert asked.image_shape == (128, 64, 3) and asked.scale == 1 / 255 and not asked.repair and not asked.unsafe
    assert asked.bind == {"a/keep": 1, "b": 1, "c": 0.5}


def test_json_brings_back_the_same_request():
    for asked in (Request.from_options(GIVEN), Request(), replace(Request(), unsafe=True, builder="a b.py:build")):
        assert Request.from_json(asked.to_json()) == asked


def test_every_option_is_on_the_command_line():
    given = cli.parser().parse_args(
        [
            a
            for k, v in GIVEN.items()
            for t in (v if isinstance(v, list) else [v])
            for a in ([f"--{k}"] + [t] * (t is not True))
        ]
    )
    assert vars(given) == GIVEN
    text = cli.parser().format_help()
    assert all(f"--{name}" in text for name in options())


def test_a_checkpoint_alone_is_one_of_our_own_network():
    assert Request.from_options({"checkpoint": "c"}).network == "striped"


@pytest.mark.parametrize(
    "given, words",
    [
        ({}, "exactly one source"),
        ({"network": "wrn", "keras": "m.keras"}, "exactly one source"),
        ({"network": "wrn", "image-shape": "128"}, "--image-shape '128'"),
        ({"network": "wrn", "scale": "a/b"}, "--scale 'a/b'"),
        ({"network": "wrn", "bind": "x"}, "NAME=NUMBER"),
        ({"network": "wrn", "ema": "perhaps"}, "auto, yes, no"),
        ({"network": "wrn", "out": "x.onnx"}, "must end in .pb"),
        ({"nettwork": "wrn"}, "no option 'nettwork'"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        Request.from_options(given)


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_of_the_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0 and f"freeze {command}" in capsys.readouterr().out
