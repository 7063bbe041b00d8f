"""Usage errors of one line."""

import pytest

from tracker.core.command_line import Parser, did_you_mean


@pytest.fixture
def parser():
    top = Parser(prog="prog")
    top.add_argument("--version", action="store_true")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run")
    run.add_argument("sources", nargs="*")
    run.add_argument("--detector")
    run.add_argument("--preset", choices=("default", "paper"))
    run.add_argument("--max-age", type=int)
    return top


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["run", "a", "--detecter", "x"], "unknown option --detecter; did you mean '--detector'?"),
        (["run", "a", "--xyzzy=3"], "unknown option --xyzzy ("),
        (["run", "a", "--preset", "papr"], "--preset: 'papr'; expected default, paper; did you mean 'paper'?"),
        (["run", "a", "--max-age", "much"], "--max-age: invalid int value: 'much'"),
        (["rnu"], "did you mean 'run'?"),
    ],
)
def test_usage_errors_are_one_line(parser, arguments, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(arguments)
    out, err = capsys.readouterr()
    assert out == "" and text in err and err.count("\n") == 1


def test_did_you_mean_keeps_to_what_is_close():
    assert did_you_mean("Cars", ["car", "person"]) == "; did you mean 'car'?"
    assert did_you_mean("zebra", ["car", "person"]) == did_you_mean("car", []) == ""
