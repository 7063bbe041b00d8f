"""Usage errors of one line, of every program; what goes wrong later in one line and an exit code."""

import subprocess
import sys

import pytest

import benchmarks.__main__
import detectors.__main__
import freeze.cli
import tracker.app.cli
import videos.__main__
from tracker.core.command_line import Parser, did_you_mean, guarded
from tracker.errors import SourceError


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
        (["run", "a", "--token", "x"], "unknown option --token ("),
        (["run", "a", "--preset", "papr"], "--preset: 'papr'; expected default, paper; did you mean 'paper'?"),
        (["run", "a", "--max-age", "much"], "--max-age: 'much'; expected a whole number"),
        (["rnu"], "did you mean 'run'?"),
        (["--version", "run", "a", "--max-age"], "--max-age: expected one argument"),
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


@pytest.mark.parametrize(
    "program, arguments, text",
    [
        (tracker.app.cli, ["rnu"], "did you mean 'run'?"),
        (tracker.app.cli, ["run", "a", "--ray", "auto"], "--ray is an option of another command"),
        (freeze.cli, ["inspct"], "did you mean 'inspect'?"),
        (freeze.cli, ["--chekpoint", "x"], "did you mean '--checkpoint'?"),
        (freeze.cli, ["train", "--dat", "x", "--stepz", "3"], "--out"),
        (freeze.cli, ["--network", "wrn"], "--out X.pb"),
        (freeze.cli, ["--out", "x.pb"], "give exactly one source"),
        (detectors.__main__, ["fetch", "coc"], "did you mean 'coco'?"),
        (videos.__main__, ["make", "crossing", "--sead", "2"], "did you mean '--seed'?"),
        (videos.__main__, ["fetch", "vtest", "clip"], "unexpected 'clip'"),
        (benchmarks.__main__, ["acuracy"], "did you mean 'accuracy'?"),
    ],
)
def test_every_program_answers_wrong_usage_in_one_line(program, arguments, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(arguments)
    out, err = capsys.readouterr()
    assert out == "" and text in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "error, code, text",
    [
        (SourceError("a.mp4: no such file"), 1, "error: a.mp4: no such file\n"),
        (FileNotFoundError(2, "No such file", "a.mp4"), 1, "error: a.mp4: No such file; free space"),
        (KeyError("x"), 1, "error: KeyError: 'x'; this is a fault of the program: TRACKER_TRACEBACK=1 shows where\n"),
        (MemoryError(), 1, "error: no memory is left"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_ends_a_program_is_one_line_and_an_exit_code(error, code, text, capsys, monkeypatch):
    def act():
        raise error

    monkeypatch.delenv("TRACKER_TRACEBACK", raising=False)
    assert guarded(lambda: 7) == 7
    assert guarded(act) == code
    err = capsys.readouterr().err
    assert err.startswith(text) and err.count("\n") == 1
    monkeypatch.setenv("TRACKER_TRACEBACK", "1")
    if isinstance(error, KeyError | MemoryError):
        with pytest.raises(type(error)):
            guarded(act)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise there")
def test_a_reader_that_leaves_is_no_fault():
    with subprocess.Popen(
        [sys.executable, "-m", "detectors", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert run.stderr.read() == b"" and run.wait() == 1
