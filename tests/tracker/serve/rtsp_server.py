#!/usr/bin/python3
"""An RTSP server on loopback that shows the JPEGs of a folder for ever: `rtsp_server.py FOLDER`.

A program of its own for the system's Python, which has the bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good, -bad and -ugly); prints its address when it answers.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    '( multifilesrc location="{folder}/%05d.jpg" start-index=0 loop=true caps="image/jpeg,framerate=25/1" '
    "! jpegdec ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main(folder: str) -> None:
    """Serve until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(folder=folder))
    factory.set_shared(True)
    server.get_mount_points().add_factory("/road", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/road", flush=True)
    GLib.MainLoop().run()


main(sys.argv[1])
