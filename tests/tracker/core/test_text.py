"""Names and text from outside: one component of a path, one line on a terminal, no formula in a table."""

import io
import socket
from urllib.error import URLError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.core.files import not_inside, path_component, unique
from tracker.core.interfaces import SourceInfo
from tracker.core.text import csv_field, label, printable, tell, warn
from tracker.errors import first_line

HOSTILE = ["../../x", "/etc/passwd", "a/b\\c", "..", ".", "", "...", "CON", "nul.txt", "a\x1b[31mb", "a\nb",
           "caf\udce9", "\0", "x" * 300, "é" * 200, "12:00:05", "*", ".hidden", "end. ", "a\u202eb"]  # fmt: skip


@settings(deadline=None)
@given(st.text() | st.sampled_from(HOSTILE))
def test_any_name_becomes_one_component_that_every_system_can_write(name):
    made = path_component(name)
    assert made and made not in (".", "..") and len(made.encode("utf-8")) <= 101
    assert not set(made) & set('<>:"/\\|?*') and made.isprintable()
    assert made == made.strip(" .") and path_component(made) == made
    assert SourceInfo(name, (1, 1), 1.0, None, False).name == made


@pytest.mark.parametrize("name", ["clip", "a.b", "MOT17-04", "2026 11 27", "été", "a__b"])
def test_a_harmless_name_stays(name):
    assert path_component(name) == name


def test_names_are_unique_by_construction_also_where_case_does_not_count():
    taken: set[str] = set()
    assert [unique(n, taken) for n in ("x", "x", "x-2", "X")] == ["x", "x-2", "x-2-2", "X-3"]


@pytest.mark.parametrize("path", ["/abs", "../up", "a/../../b", "c:\\x", "\\x", "", "a\0b", "a\\..\\b"])
def test_a_path_in_a_file_stays_inside(path):
    assert not_inside(path) and not not_inside("img1") and not not_inside("a/b.c")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_text_is_one_printable_line_that_can_be_encoded(text):
    shown = printable(text)
    assert shown.isprintable() or not shown
    assert len(label(text).encode()) <= 100


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", " =x", "\t=x"])
def test_no_field_is_a_formula(name):
    assert not csv_field(name).lstrip('" ').startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    "given",
    [
        "rtsp:/me:s3cret@host/a",
        "rtsp//me:s3cret@host/a",
        "rtsp:me:s3cret@host/a",
        "me:s3cret@host:554/a",
        "http:\\\\me:s3cret@host\\a",
        " http://me:s3c@r/s3cret@host/a",
        "http://s3cret@host/a",
        "http:/host/a?b=1&token=s3cret",
        "HTTP://me:s3cret@host/a?k=s3cret",
    ],
)
@pytest.mark.parametrize("message", ["{}: no such file", "--line '{}': expected", 'detector "{}"; expected', "at {}"])
def test_no_secret_of_a_mistyped_address_is_told(given, message, capsys):
    warn(f"error: {message.format(given)}")
    told = capsys.readouterr().err
    assert "s3c" not in told and told.startswith("error: ") and message.split("}")[1].strip("'\";") in told


@pytest.mark.parametrize(
    "text",
    [
        "--publish mqtt://host/a: expected USER:PASSWORD@HOST:PORT before the path",
        "2026-11-27T12:00:05.mp4: 3 frames, what now?",
        "mail me@host: a=b?c=d",
        'gate=300,515,900,515:in/out; pip install "x[live]"',
    ],
)
def test_what_holds_no_secret_is_told_as_it_is(text, capsys):
    warn(text)
    assert capsys.readouterr().err == text + "\n"


def test_a_line_is_told_on_any_stream_and_on_none(monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tell("é\x1b[2J\nsecond", ascii_only)
    assert ascii_only.buffer.getvalue() == b"\\xe9\\x1b[2J\nsecond\n"
    monkeypatch.setattr("sys.stdout", None)
    tell("nobody listens")


@pytest.mark.parametrize(
    "error, told",
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (URLError(socket.gaierror(-2, "Name or service not known")), "Name or service not known"),
        (ValueError("\n first\nsecond"), "first"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_of_a_library_is_told_in_one_plain_line(error, told):
    assert first_line(error) == told
