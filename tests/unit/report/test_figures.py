from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image as Picture

from starloom.errors import ConfigError, OutputError
from starloom.report.figures import _text, draw
from starloom.results.figures import Band, Figure, Image, Line, Panel, Points, Span, Steps

NOTHING = np.array([])
BAD = np.array([np.nan, np.inf, -np.inf])


def every_layer(values):
    x = np.arange(len(values), dtype=float)
    return [
        Points(x, values, "data"),
        Points(x, values, "faint", role="faint"),
        Points(x, values, "members", role="highlight", x_error=x, y_error=x),
        Points(x, values, "other", role="reference"),
        Points(x, values, color=values, color_label="P"),
        Points(x, values, color=values, color_label="P", color_range=(0.0, 1.0), role="reference"),
        Line(x, values, "model"),
        Line(x, values, "theirs", role="reference"),
        Band(x, values, values, "band"),
        Steps(np.arange(len(values) + 1), values, "steps", error=np.abs(values)),
        Steps(np.arange(len(values) + 1), values, "steps"),
        Span(0.0, 1.0, "not scored"),
    ]


def images(values):
    cells, edges = np.tile(values, (2, 1)), np.arange(len(values) + 1.0)
    return [
        Image(edges, [0.0, 1.0, 3.0], cells, "rho", center=0.0, contours=(0.5, 1.0), contour_label="level"),
        Image(edges, [0.0, 1.0, 3.0], cells, "counts", log=True),
        Image(edges, [0.0, 1.0, 3.0], cells, "rho", color_range=(-1.0, 1.0)),
    ]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [NOTHING, BAD, np.array([0.0]), np.array([-1.0, 0.0, 5.0])], ids=str)
def test_every_layer_is_drawn_whatever_its_values(tmp_path, values, log):
    panel = Panel(every_layer(values), "x [deg]", "y", title="A title", y_log=log, invert_x=True, invert_y=True)
    for path in draw(Figure("all", "", [panel], panel_size=(4.0, 2.5)), tmp_path):
        assert path.stat().st_size > 1000


@pytest.mark.parametrize("values", [BAD, np.array([0.0]), np.array([-1.0, 0.0, 5.0])], ids=str)
def test_images_are_drawn_whatever_their_values(tmp_path, values):
    panels = [Panel([image], "x", "y") for image in images(values)]
    for path in draw(Figure("images", "", panels, columns=3, panel_size=(4.0, 2.5)), tmp_path):
        assert path.stat().st_size > 1000


def pixels(path):
    return np.asarray(Picture.open(path).convert("RGB")).astype(int)


def test_what_is_drawn_follows_the_data_and_the_same_data_look_the_same(tmp_path):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 200))

    def image(values, **more):
        png, _ = draw(Figure("one", "", [Panel([Points(x, values, **more)], "x", "y")]), tmp_path)
        return pixels(png)

    first = image(y)
    np.testing.assert_array_equal(first, image(y))
    assert (first != image(-y)).any()
    assert first.shape == (round(2.8 * 170), 8 * 170, 3)
    colored = image(y, color=np.abs(y), color_label="P")
    assert (np.ptp(colored, axis=-1) > 60).sum() > (np.ptp(first, axis=-1) > 60).sum(), "a color bar brings color"


def test_inverted_and_fixed_axes(tmp_path):
    from starloom.report.figures import _compose

    panel = Panel([Points([0, 1], [0, 1])], "x", "y", x_range=(0, 2), y_range=(5, 9), invert_y=True)
    axes = _compose(Figure("one", "", [panel])).axes[0]
    assert axes.get_xlim() == (0, 2)
    assert axes.get_ylim() == (9, 5)
    assert axes.get_legend() is None, "no label, no legend"
    labeled = _compose(Figure("one", "", [Panel([Line([0, 1], [0, 1], "a"), Line([0, 1], [1, 0], "a")], "x", "y")]))
    assert [text.get_text() for text in labeled.axes[0].get_legend().get_texts()] == ["a"]


def test_places_on_an_axis_of_kinds_have_their_names():
    from starloom.report.figures import _compose

    kinds = ["bar", "spiral arms", "costs $5"]
    panel = Panel([Points([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])], "x", "", y_ticks=kinds, y_range=(2.5, -0.5))
    ax = _compose(Figure("kinds", "c", [panel])).axes[0]
    assert ax.get_yticks().tolist() == [0, 1, 2]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bar", "spiral arms", r"costs \$5"]
    assert ax.get_ylim() == (2.5, -0.5)


def test_a_dashed_line_takes_the_color_of_the_line_it_belongs_to():
    from starloom.report.figures import _compose

    lines = [Line([0.0, 1.0], [k, k], name) for k, name in enumerate(("a", "b", "c"))]
    dashed = [Line([0.0, 1.0], [2.0, 1.0], "", role="reference", of="b"), Line([0.0, 1.0], [0.0, 1.0], "", "reference")]
    drawn = _compose(Figure("lines", "c", [Panel([*lines, *dashed], "x", "y")])).axes[0].get_lines()
    colors = [line.get_color() for line in drawn]
    assert colors[3] == colors[1]
    assert colors[4] not in colors[:4]


@pytest.mark.parametrize(("share_x", "bars"), [(False, 2), (True, 2)])
def test_panels_colored_by_different_things_have_different_bars(share_x, bars):
    from starloom.report.figures import _compose

    panels = [Panel([Points([0, 1], [0, 1], color=[0, 1], color_label=label)], "x", "y") for label in "ab"]
    assert len(_compose(Figure("two", "", panels, share_x=share_x)).axes) == 2 + bars
    same = [panels[0], panels[0]]
    assert len(_compose(Figure("two", "", same, share_x=share_x)).axes) == 2 + 1


def test_an_unpaired_dollar_is_a_dollar():
    assert _text(r"$\mu$ [mas]") == r"$\mu$ [mas]"
    assert _text("5 $ a star") == r"5 \$ a star", "matplotlib shows it without the backslash"
    assert _text(r"$\nonsense$") == r"\$\nonsense\$"


def test_the_users_own_settings_are_neither_used_nor_changed(tmp_path):
    figure = Figure("one", "", [Panel([Line([0, 1], [0, 1])], "x", "y")])
    plain = pixels(draw(figure, tmp_path)[0])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        np.testing.assert_array_equal(plain, pixels(draw(figure, tmp_path)[0]))
        assert mpl.rcParams["font.size"] == 30


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(OutputError, match="file, not a folder"):
        draw(Figure("one", "", [Panel([], "x", "y")]), tmp_path / "figures")


def test_an_image_has_its_values_where_they_belong_and_a_scale_around_its_center():
    from starloom.report.figures import _compose

    values = np.array([[0.0, 1.0, np.nan], [2.0, 3.0, -1.0]])
    image = Image([0.0, 1.0, 2.0, 4.0], [5.0, 6.0, 7.0], values, "rho", center=1.0, contours=(0.5, 99.0))
    canvas = _compose(Figure("one", "", [Panel([image], "x", "y")]))
    mesh = canvas.axes[0].collections[0]
    np.testing.assert_array_equal(mesh.get_array().filled(np.nan), values)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1.0, 3.0), "as far below the center as above it"
    assert canvas.axes[0].get_xlim() == (0.0, 4.0)
    assert len(canvas.axes) == 2
    assert canvas.axes[1].get_ylabel() == "rho"
    assert len(canvas.axes[0].collections) == 2, "the contour inside the values is drawn, the other one is not"


def test_panels_with_one_scale_share_its_bar_and_those_with_another_do_not():
    from starloom.report.figures import _compose

    def panel(**more):
        return Panel([Image([0, 1, 2], [0, 1, 2], [[0.1, 0.2], [0.3, 1.0]], "v", **more)], "x", "y")

    limits = {"color_range": (0.1, 1.0)}
    assert len(_compose(Figure("two", "", [panel(**limits), panel(**limits)])).axes) == 3
    assert len(_compose(Figure("two", "", [panel(**limits), panel(log=True, **limits)])).axes) == 4
    assert len(_compose(Figure("two", "", [panel(**limits), panel(center=0.5, **limits)])).axes) == 4


@pytest.mark.parametrize(
    ("x_edges", "values", "more", "match"),
    [
        ([0, 1], [[1.0, 2.0]], {}, "shape"),
        ([0, 2, 1], [[1.0, 2.0]], {}, "rise"),
        ([0, 1, np.nan], [[1.0, 2.0]], {}, "rise"),
        ([0, 1, 2], [[1.0, 2.0]], {"log": True, "center": 0.0}, "logarithm"),
        ([0, 1, 2], [[1.0, 2.0]], {"log": True, "color_range": (0.0, 1.0)}, "positive"),
    ],
)
def test_an_image_that_makes_no_sense_is_refused(x_edges, values, more, match):
    with pytest.raises(ConfigError, match=match):
        Image(x_edges, [0, 1], values, "v", **more)
