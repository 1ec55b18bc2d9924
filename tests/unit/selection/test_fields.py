"""Fields on the sky and sampling fractions in them: membership, overlaps, bad tables."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.selection.footprint import Fields
from starloom.selection.sampling_fractions import SamplingFractions, combined


def table(**more):
    columns = {
        "FIELD": ["A", "A", "B", "B", "C"],
        "GLON": [10.0, 10.0, 12.0, 12.0, 100.0], "GLAT": [0.0, 0.0, 0.0, 0.0, 60.0],
        "RADIUS": [1.5, 1.5, 1.5, 1.5, 1.0],
        "cohort": ["short", "long", "short_blue", "short_red", "short"],
        "Hmin": [7.0, 12.0, 7.0, 7.0, 7.0], "Hmax": [12.0, 13.0, 11.0, 11.0, 11.0],
        "JK0min": [0.5, 0.5, 0.5, 0.8, 0.3], "JK0max": [999.0, 999.0, 0.8, 999.0, 999.0],
        "fracSampling": [0.5, 0.1, 0.2, 0.4, 1.0], "fracAK": [0.9, 0.8, 1.0, 0.6, 1.0],
    }  # fmt: skip
    return QTable({key: np.array(value) for key, value in (columns | more).items()})


@pytest.fixture
def fractions():
    return SamplingFractions.from_table(table())


def test_membership_against_astropy():
    rng = np.random.default_rng(1)
    fields = Fields(
        [f"{k}" for k in range(40)], rng.uniform(0, 360, 40), rng.uniform(-90, 90, 40), rng.uniform(1, 20, 40)
    )
    l, b = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    found = fields.containing(l, b)
    centers = SkyCoord(fields.l * u.deg, fields.b * u.deg)
    stars = SkyCoord(l * u.deg, b * u.deg)
    for k in range(40):
        inside = stars.separation(centers[k]).deg < fields.radius[k]
        assert np.array_equal((found == k).any(axis=1), inside)
    assert found.shape[1] >= (found >= 0).sum(axis=1).max()


def test_over_the_pole_and_zero():
    fields = Fields(["pole", "zero"], [123.0, 359.5], [89.5, 0.0], [1.0, 1.0])
    assert fields.containing([300.0, 0.2, 359.0, 1.0], [89.7, 0.1, 0.1, 0.0])[:, 0].tolist() == [0, 1, 1, -1]


def test_exact_area_of_a_circle():
    assert Fields(["a"], [0.0], [0.0], [90.0]).area[0] == pytest.approx(360**2 / np.pi / 2)
    assert Fields(["a"], [0.0], [0.0], [1.5]).area[0] == pytest.approx(np.pi * 1.5**2, rel=1e-3)


def test_areas_of_the_pieces_of_two_circles():
    """The lens of two equal small circles, by plane geometry (the sphere's curvature is 1e-4 here)."""
    radius, apart = 1.5, 2.0
    fields = Fields(["a", "b"], [10.0, 10.0 + apart], [0.0, 0.0], [radius, radius])
    lens = 2 * radius**2 * np.arccos(apart / 2 / radius) - apart / 2 * np.sqrt(4 * radius**2 - apart**2)
    found = fields.regions(512)
    area = dict(zip(found.fields, found.area, strict=True))
    assert set(area) == {(0,), (0, 1), (1,)}
    assert area[(0, 1)] == pytest.approx(lens, rel=0.02)
    assert found.area.sum() == pytest.approx(2 * np.pi * radius**2 - lens, rel=2e-3)
    middle = found.fields.index((0, 1))
    assert found.l[middle] == pytest.approx(11.0, abs=0.02)


def test_a_field_alone_keeps_its_exact_area():
    fields = Fields(["a", "b"], [10.0, 100.0], [0.0, 0.0], [1.49, 0.3])
    assert fields.regions(64).area == pytest.approx(fields.area, rel=1e-12)


@pytest.mark.parametrize("bad", [{"radius": [0.0]}, {"b": [95.0]}, {"l": [np.nan]}, {"name": ["a", "b"]}])
def test_fields_that_are_none(bad):
    with pytest.raises(ConfigError):
        Fields(**({"name": ["a"], "l": [0.0], "b": [0.0], "radius": [1.0]} | bad))


def test_nside_is_a_power_of_two():
    with pytest.raises(ConfigError, match="power of two"):
        Fields(["a"], [0.0], [0.0], [1.0]).regions(100)


def test_combined_chances():
    assert combined([0.3], [0.8]) == pytest.approx(0.24)
    assert combined([0.3, 0.5], [1.0, 1.0]) == pytest.approx(1 - 0.7 * 0.5)
    # the star that has an extinction in one field only is chosen there or not at all
    assert combined([0.3, 0.5], [1.0, 0.4]) == pytest.approx(0.6 * 0.3 + 0.4 * 0.65)
    assert combined([0.5, 0.3], [0.4, 1.0]) == combined([0.3, 0.5], [1.0, 0.4])
    assert combined([1.0, 1.0, 1.0], [0.2, 0.7, 0.5]) == pytest.approx(0.7)


def test_combined_by_simulation():
    rng = np.random.default_rng(1)
    f, a = np.array([0.3, 0.5, 0.2]), np.array([0.9, 0.4, 0.7])
    u01 = rng.random(400_000)
    seen = ((u01[:, None] < a) & (rng.random((400_000, 3)) < f)).any(axis=1)
    assert combined(f, a) == pytest.approx(seen.mean(), abs=0.003)  # 4 sigma


def test_probabilities_in_one_field(fractions):
    l, b = np.full(7, 9.0), np.zeros(7)
    magnitude = np.array([7.0, 11.999, 12.0, 12.999, 13.0, 6.999, 10.0])
    color = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.499])
    assert np.allclose(fractions.probability(l, b, magnitude, color), [0.45, 0.45, 0.08, 0.08, 0.0, 0.0, 0.0])


def test_color_bins(fractions):
    color = np.array([0.5, 0.79999, 0.8, 5.0])
    found = fractions.probability(np.full(4, 13.2), np.zeros(4), np.full(4, 10.0), color)
    assert np.allclose(found, [0.2, 0.2, 0.24, 0.24])


def test_overlap_of_fields_cohorts_and_colors(fractions):
    """In the lens of A and B every combination of cohort and color bin."""
    magnitude = np.array([10.0, 10.0, 11.5, 12.5, 13.5, 10.0])
    color = np.array([0.6, 0.9, 0.6, 0.6, 0.6, 0.4])
    found = fractions.probability(np.full(6, 11.0), np.zeros(6), magnitude, color)
    expected = [combined([0.5, 0.2], [0.9, 1.0]), combined([0.5, 0.4], [0.9, 0.6]), 0.45, 0.08, 0.0, 0.0]
    assert np.allclose(found, expected)


def test_the_order_of_rows_does_not_matter(fractions):
    shuffled = SamplingFractions.from_table(table()[[4, 2, 0, 3, 1]])
    rng = np.random.default_rng(2)
    stars = (rng.uniform(8, 14, 500), rng.uniform(-2, 2, 500), rng.uniform(6, 14, 500), rng.uniform(0.2, 1.2, 500))
    assert np.array_equal(fractions.probability(*stars), shuffled.probability(*stars))


def test_missing_values(fractions):
    l = np.array([10.0, np.nan, 10.0, 10.0, 200.0])
    found = fractions.probability(l, np.zeros(5), [10.0, 10.0, np.nan, 10.0, np.nan], [1.0, 1.0, 1.0, np.nan, 1.0])
    assert np.array_equal(found, [0.45, np.nan, np.nan, np.nan, 0.0], equal_nan=True)
    with pytest.raises(ConfigError, match="differ in shape"):
        fractions.probability([1.0], [1.0, 2.0], [1.0], [1.0])


def test_rectangles_say_the_same_as_probabilities(fractions):
    regions = fractions.fields.regions(128)
    found = fractions.rectangles(regions)
    for row in range(len(found.region)):
        place = int(np.flatnonzero(regions.pixel_region == found.region[row])[0])
        magnitude, color = found.magnitude[row].mean(), min(found.color[row].mean(), found.color[row, 0] + 0.01)
        p = fractions.probability([regions.pixel_l[place]], [regions.pixel_b[place]], [magnitude], [color])
        assert p[0] == pytest.approx(found.probability[row])


def test_some_fields_only(fractions):
    one = fractions.only(["B"])
    assert one.fields.name.tolist() == ["B"]
    assert one.probability([11.0], [0.0], [10.0], [0.6])[0] == pytest.approx(0.2)
    assert fractions.only(np.array([False, False, True])).fields.name.tolist() == ["C"]
    with pytest.raises(ConfigError, match="no field 'D'"):
        fractions.only(["D"])
    with pytest.raises(ConfigError, match="at least one"):
        fractions.only(np.zeros(3, dtype=bool))


def test_ranges_that_are_reversed_hold_nothing():
    found = SamplingFractions.from_table(table(Hmax=np.array([12.0, 11.0, 11.0, 11.0, 11.0])))
    assert len(found.field) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fracSampling": [0.5, 1.1, 0.2, 0.4, 1.0]}, "fraction in row 1"),
        ({"fracAK": [0.5, 0.1, -0.2, 0.4, 1.0]}, "availability in row 2"),
        ({"Hmin": [7.0, 11.5, 7.0, 7.0, 7.0]}, "'A' overlap"),
        ({"GLON": [10.0, 10.1, 12.0, 12.0, 100.0]}, "two values of GLON"),
        ({"GLAT": [0.0, np.nan, 0.0, 0.0, 60.0]}, "not finite in row 1"),
    ],
)
def test_tables_that_cannot_be(change, message):
    with pytest.raises(CatalogError, match=message):
        SamplingFractions.from_table(table(**{key: np.array(value) for key, value in change.items()}))


def test_tables_without_columns_or_rows():
    short = table()
    short.remove_column("fracAK")
    with pytest.raises(MissingColumnError, match="fracAK"):
        SamplingFractions.from_table(short)
    with pytest.raises(CatalogError, match="no rows"):
        SamplingFractions.from_table(table()[:0])
