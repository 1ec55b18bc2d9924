from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from starloom.errors import ConfigError, OutputError
from starloom.report.animations import animate
from starloom.results.figures import Animation, Image, Line, Panel

EDGES = np.arange(5.0)


def panel(value, title="", range_=(0.0, 1.0)):
    return Panel([Image(EDGES, EDGES, np.full((4, 4), value), "value", range_)], "x", "y", title)


def test_frames_differ_where_their_values_do(tmp_path):
    path = animate(Animation("moving", "", [panel(0.1), panel(0.9), panel(0.1)]), tmp_path)
    with Picture.open(path) as found:
        assert found.n_frames >= 2
        frames = []
        for number in range(found.n_frames):
            found.seek(number)
            frames.append(np.asarray(found.convert("RGB")))
    middle = tuple(size // 2 for size in frames[0].shape[:2])
    assert (frames[0][middle] != frames[1][middle]).any()
    assert path.name == "moving.gif"


def test_other_panels_are_drawn_anew(tmp_path):
    frames = [panel(0.1), Panel([Line([0, 1], [0, 1])], "x", "y"), panel(0.5, range_=(0.0, 2.0))]
    with Picture.open(animate(Animation("mixed", "", frames), tmp_path)) as found:
        assert found.n_frames == 3


def test_bad_animations(tmp_path):
    with pytest.raises(ConfigError, match="frame"):
        Animation("none", "", [])
    with pytest.raises(ConfigError, match="file name"):
        Animation("../up", "", [panel(0.0)])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        animate(Animation("one", "", [panel(0.0)]), tmp_path / "file")
