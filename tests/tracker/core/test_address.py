"""Addresses: what is secret in them is never shown, whatever it holds; placeholders come from the environment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.core.address import Address, shown
from tracker.errors import SourceError
from tracker.video.sources import open_source

SHAPES = ["rtsp://user:{}@host:554/path", "http://{}@host/c.mjpg", "rtsp://host/cam?user=a&password={}", "http://host/x?{}",
          "rtsp://host:554/user=admin&password={}&channel=1", "rtsp://host/user=admin_password={}_channel=1.sdp",
          "srt://host:9000?passphrase={}", "http://u:{}@host/a?b=c", "rtmp://host/live/{}"]  # fmt: skip
SECRETS = [
    "s3cretPW",
    "s3cr@etPW",
    "p@ss/s3cretPW",
    "s3cret/PW",
    "s3cret:PW",
    "a?s3cretPW",
    "s3cretPW#x",
    "%40s3cretPW",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_password_is_shown(shape, secret):
    if "password=" in shape and "?" not in shape and set(secret) & set("/&?#"):
        pytest.skip("a path that ends there")
    address = Address.parse(shape.format(secret))
    for text in (str(address), repr(address), address.name(), shown(address.given), f"{address}"):
        assert "s3c" not in text and "PW" not in text
    assert address.secret and ("host" in str(address) or set(secret) & set("@/?#"))


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=6))
def test_a_user_part_of_any_characters_is_hidden(secret):
    assert str(Address(f"rtsp://{secret}@host/cam")) in ("rtsp://host/cam", "rtsp://***")


@pytest.mark.parametrize("text", ["rtsp://host:554/cam", "http://host/a.mp4", "https://host:8443/live/stream.m3u8"])
def test_an_address_without_a_secret_is_shown_as_it_is(text):
    assert str(Address(text)) == text and not Address(text).secret


@pytest.mark.parametrize("text", ["rtsp://[me:s3cret@host/x", "http://[::1/x?k=s3cret"])
def test_what_is_no_address_is_told_without_its_secret(text):
    with pytest.raises(SourceError, match="is no address") as caught:
        open_source(text)
    assert "s3cret" not in str(caught.value)


def test_a_hook_is_told_by_its_host_alone():
    assert Address("https://me:pw@hooks.example.org/services/T0/s3cret?x=s3cret").host == "https://hooks.example.org"


def test_the_scheme_of_an_address_is_known_in_any_case():
    assert Address("HTTP://Me:PW@Host/C").connect() == "http://Me:PW@Host/C"


def test_placeholders_come_from_the_environment_encoded(monkeypatch):
    monkeypatch.setenv("CAMERA_PASSWORD", "p@ss/w")
    address = Address("rtsp://admin:{CAMERA_PASSWORD}@host/cam")
    assert address.connect() == "rtsp://admin:p%40ss%2Fw@host/cam"
    assert not Address("rtsp://{U}:{CAMERA_PASSWORD}@host/cam").secret
    monkeypatch.delenv("CAMERA_PASSWORD")
    with pytest.raises(SourceError, match="export CAMERA_PASSWORD"):
        address.connect()


@pytest.mark.parametrize("text", ["clip.mp4", "2026-11-27T12:00:05.mp4", "http:a.mp4", "concat:x", "C:\\x.mp4", "0"])
def test_a_file_is_no_address(text):
    assert Address.parse(text) is None
