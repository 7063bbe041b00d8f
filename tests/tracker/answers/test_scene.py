"""Scenes: options and files, good and bad, and from strangers."""

import re

import numpy as np
import pytest

from tests.tracker.answers.ways import SIZE, feed, make, told
from tracker.answers.scene import Scene, SceneOptions, as_data, read_scene, scene_from, to_toml
from tracker.core.text import csv_field
from tracker.errors import ConfigError

ZONE = "z=10,10,100,10,100,100,10,100"

BAD_OPTIONS = [
    ({"lines": ("north",)}, "expected NAME=X1,Y1,X2,Y2"),
    ({"lines": ("north=1,2,3",)}, "expected NAME=X1,Y1,X2,Y2"),
    ({"lines": ("north=1,2,3,x",)}, "expected NAME=X1,Y1,X2,Y2"),
    ({"lines": ("north=1,2,3,nan",)}, "outside the frame"),
    ({"lines": ("north=10,10,900,10",)}, "the point 900,10 lies outside the frame of 640x360"),
    ({"lines": ("north=10,-1,20,10",)}, "the point 10,-1 lies outside"),
    ({"lines": ("north=10,10,10,10",)}, "both points of the line lie on one spot"),
    ({"lines": ("=10,10,20,10",)}, "has no name"),
    ({"lines": ("a=10,10,20,10", "a=10,30,20,30")}, "two of the lines are called 'a'"),
    ({"lines": ("a=10,10,20,10:in",)}, "1 names of directions"),
    ({"lines": ("a=10,10,20,10:in/in",)}, "both directions are called 'in'"),
    ({"lines": (f"{'n' * 81}=10,10,20,10",)}, "a name of 81 letters"),
    ({"lines": ("a\x1b[31m=10,10,20,10",)}, r"the name 'a\x1b[31m' holds control characters"),
    ({"zones": ("z=10,10,20,20",)}, "expected NAME=X1,Y1"),
    ({"zones": ("z=10,10,100,100,100,10,10,100",)}, "its sides cross each other"),
    ({"zones": ("z=10,10,20,20,30,30",)}, "it has no area"),
    ({"ignored": ("z=10,10,100,100,100,10,10,100",)}, "--ignore"),
    ({"ground": "7x40=10,10,100,10,100,100"}, "expected WIDTHxLENGTH"),
    ({"ground": "7=10,10,100,10,100,100,10,100"}, "expected WIDTHxLENGTH"),
    ({"ground": "7x0=10,10,100,10,100,100,10,100"}, "two lengths in metres"),
    ({"ground": "7x40=10,10,100,100,100,10,10,100"}, "its sides cross each other"),
    ({"ground": "7x40=10,10,100,10,40,40,10,100"}, "no quadrilateral"),
    ({"ground": "7x40=10,10,55,10,100,10,10,100"}, "no quadrilateral"),
    ({"file": "nothing.toml"}, "nothing.toml: cannot be read"),
]


@pytest.mark.parametrize("options, message", BAD_OPTIONS)
def test_bad_options_are_told_in_one_line(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        SceneOptions(**options).scene(SIZE)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)


HUGE = "1" + "0" * 400
"""A whole number that no float holds."""
BAD_FILES = [
    ("line = 3", "line is 3"),
    ("lines = []", "unknown key 'lines'"),
    ("format = 9", "format 9"),
    ("[[line]]\nname='a'\npoints=[[0,0],[2,0]]", "outside the frame"),
    ("[[line]]\nname='a'\npoints=[[0,0],[0.5]]", "expected 2 points [x, y]"),
    ("[[line]]\nname='a'\npoints=[[0,0],[0.5,true]]", "expected 2 points"),
    ("[[line]]\nname='a'\npoints=[[0,0],[nan,0.1]]", "outside the frame"),
    ("[[line]]\nname=3\npoints=[[0,0],[1,0]]", "has no name"),
    ("[[line]]\nname='a'\npoints=[[0,0],[1,0]]\ndirections=['x']", "expected two names"),
    ("[[line]]\nname='a'\npoints=[[0,0],[1,0]]\ncolour='red'", "unknown key 'colour'"),
    ("[[zone]]\nname='a'\npoints=[[0,0],[1,1],[1,0],[0,1]]", "its sides cross"),
    ("[ground]\npoints=[[0,0],[1,0],[1,1],[0,1]]\nsides_m='7'", "sides_m is '7'"),
    ("[ground]\npoints=[[0,0],[1,0],[1,1],[0,1]]\nsides_m=[7,40]\nunit='furlongs'", "unit 'furlongs'"),
    ("size = [0, 3]", "size is [0, 3]"),
    ("size = 'big'", "size is 'big'"),
    ("size = [true, true]", "size is [True, True]"),
    (f"size = [{HUGE}, 1]", "expected [width, height]"),
    (f"format = {HUGE}", "this version reads format 1"),
    (f"{'k' * 5000} = 1", "unknown key 'kkk"),
    (f"[[line]]\nname='a'\npoints=[[{HUGE},0],[1,0]]", "expected 2 points"),
    (f"[[line]]\nname='{'n' * 5000}'\npoints=[[0,0],[1,0]]", "a name of 5000 letters"),
    (f"[ground]\npoints=[[0,0],[1,0],[1,1],[0,1]]\nsides_m=[{HUGE},2]", "expected two lengths"),
    ("[ground]\npoints=[[0,0],[1,0],[1,1],[0,1]]\nsides_m=[7,40]\nunit=['mph']", "unit ['mph']"),
    ("not toml", "is not TOML"),
    ("a = " + "[" * 5000, "is not TOML"),
]


@pytest.mark.parametrize("text, message", BAD_FILES)
def test_bad_files_are_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "scene.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        read_scene(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))


def test_a_file_holds_a_scene_whole(tmp_path):
    options = {
        "lines": ("north=300,50,600,50", 's, "q" =10,10,20,20:a/b'),
        "zones": (ZONE,),
        "ignored": ("barrels=200,200,300,200,300,300",),
        "ground": "7.5x40=10,10,100,10,100,100,10,100",
    }
    scene = SceneOptions(**options).scene(SIZE)
    path = tmp_path / "scene.toml"
    path.write_text(to_toml(scene), encoding="utf-8")
    assert as_data(read_scene(path)) == as_data(scene)
    assert read_scene(path).lines[1].directions == ("a", "b")


def test_the_same_scene_fits_another_resolution_of_the_same_camera(tmp_path):
    path = tmp_path / "scene.toml"
    path.write_text(to_toml(SceneOptions(lines=("north=200,180,440,180",)).scene(SIZE)))
    large = SceneOptions(file=path).scene((1920, 1080))
    np.testing.assert_allclose(large.lines[0].points * (1920, 1080), [[600, 540], [1320, 540]])
    found = told(feed(make(size=(1920, 1080), file=path), [lambda t: (900, 300 + 6 * t)], 100))
    assert found == [("north", "left to right", "car")]


def test_a_scene_for_another_shape_of_frame_is_refused(tmp_path):
    path = tmp_path / "scene.toml"
    path.write_text(to_toml(SceneOptions(lines=("north=200,180,440,180",)).scene(SIZE)))
    with pytest.raises(ConfigError, match="drawn on a picture of 640x360, the frames are of another shape, 640x480"):
        SceneOptions(file=path).scene((640, 480))


def test_options_add_to_a_file(tmp_path):
    path = tmp_path / "scene.toml"
    path.write_text(to_toml(SceneOptions(lines=("north=200,180,440,180",)).scene(SIZE)))
    scene = SceneOptions(file=path, lines=("south=200,200,440,200",)).scene(SIZE)
    assert [line.name for line in scene.lines] == ["north", "south"]


@pytest.mark.parametrize("name", ["a, b", 'say "hi"', "=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "<b>&amp;", "été 北"])
def test_names_of_strangers_stay_names(name):
    """A name with any of these is a name; in CSV it is one field and no formula."""
    import csv

    scene = scene_from({"line": [{"name": name, "points": [[0, 0.5], [1, 0.5]]}]}, "here")
    assert scene.lines[0].name == name
    [row] = csv.reader([csv_field(name)])
    assert len(row) == 1 and row[0].lstrip("'") == name.lstrip("'") and row[0][0] not in "=+-@"


def test_four_sides_of_a_rectangle_are_two():
    ground = {"points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], "sides_m": [7, 40, 7, 40]}
    assert scene_from({"ground": ground}, "here").ground.sides_m == (7.0, 40.0)
    with pytest.raises(ConfigError, match="two lengths"):
        scene_from({"ground": ground | {"sides_m": [7, 40, 8, 40]}}, "here")


def test_nothing_drawn_is_no_scene():
    assert not Scene() and SceneOptions(zones=(ZONE,)).scene(SIZE)
