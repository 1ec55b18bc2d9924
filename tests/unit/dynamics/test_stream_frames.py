"""Stream frames against gala and astropy, and the geometry of frames of one's own."""

from __future__ import annotations

import math

import astropy.coordinates as coordinates
import astropy.units as u
import gala.coordinates as gala_coordinates
import numpy as np
import pytest

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.stream_frames import MAS_YR_KPC, StreamFrame
from starloom.errors import ConfigError

MAS_YR = u.mas / u.yr
NAMES = [
    "GD1Koposov10",
    "JhelumBonaca19",
    "MagellanicStreamNidever08",
    "OphiuchusPriceWhelan16",
    "OrphanKoposov19",
    "OrphanNewberg10",
    "Pal13Shipp20",
    "Pal5PriceWhelan18",
    "SagittariusVasiliev21",
]


@pytest.fixture
def sky():
    rng = np.random.default_rng(7)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    return ra, dec, rng.normal(0, 8, 200), rng.normal(0, 8, 200)


def apart(a, b):
    return np.abs((a - b + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_named_frame_against_gala(name, sky):
    ra, dec, pmra, pmdec = sky
    frame = StreamFrame.named(name)
    star = coordinates.SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=pmra * MAS_YR, pm_dec=pmdec * MAS_YR, frame="icrs"
    ).transform_to(getattr(gala_coordinates, name)())
    longitude, latitude, *_ = star.frame_specific_representation_info[coordinates.UnitSphericalRepresentation]
    phi1, phi2 = frame.to_frame(ra, dec)
    # gala writes some of its matrices with eight digits, which is 1e-6 deg
    along = apart(phi1, getattr(star, longitude.framename).to_value(u.deg)) * np.cos(np.radians(phi2))
    assert along.max() < 1e-6
    assert np.abs(phi2 - getattr(star, latitude.framename).to_value(u.deg)).max() < 1e-6
    pm = (frame.turn(ra, dec) @ np.stack([pmra, pmdec], axis=1)[..., None])[..., 0]
    names = (f"pm_{longitude.framename}_cos{latitude.framename}", f"pm_{latitude.framename}")
    for place, column in enumerate(names):
        np.testing.assert_allclose(pm[:, place], getattr(star, column).to_value(MAS_YR), atol=1e-6)


def test_gd1_to_the_last_digits(sky):
    ra, dec, pmra, pmdec = sky
    star = coordinates.SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=pmra * MAS_YR, pm_dec=pmdec * MAS_YR, frame="icrs"
    ).transform_to(gala_coordinates.GD1Koposov10())
    frame = StreamFrame.named("GD1Koposov10")
    phi1, phi2 = frame.to_frame(ra, dec)
    assert apart(phi1, star.phi1.deg).max() < 1e-8
    assert np.abs(phi2 - star.phi2.deg).max() < 1e-8
    pm = (frame.turn(ra, dec) @ np.stack([pmra, pmdec], axis=1)[..., None])[..., 0]
    np.testing.assert_allclose(pm[:, 0], star.pm_phi1_cosphi2.to_value(MAS_YR), atol=1e-8)
    np.testing.assert_allclose(pm[:, 1], star.pm_phi2.to_value(MAS_YR), atol=1e-8)


@pytest.mark.parametrize("name", ["GD1Koposov10", "SagittariusVasiliev21"])
def test_there_and_back(name, sky):
    ra, dec, *_ = sky
    frame = StreamFrame.named(name)
    again_ra, again_dec = frame.to_icrs(*frame.to_frame(ra, dec))
    assert (apart(again_ra, ra) * np.cos(np.radians(dec))).max() < 1e-9
    assert np.abs(again_dec - dec).max() < 1e-9
    assert ((again_ra >= 0) & (again_ra < 360)).all()


def test_a_single_position_and_missing_ones():
    frame = StreamFrame.named("GD1Koposov10")
    phi1, phi2 = frame.to_frame(150.0, 40.0)
    assert np.shape(phi1) == ()
    assert np.isfinite([phi1, phi2]).all()
    phi1, phi2 = frame.to_frame([150.0, np.nan], [40.0, 40.0])
    assert np.isnan([phi1[1], phi2[1]]).all()
    assert np.isfinite([phi1[0], phi2[0]]).all()


def test_a_turn_is_a_rotation_that_keeps_the_covariance(sky):
    ra, dec, *_ = sky
    turn = StreamFrame.named("GD1Koposov10").turn(ra, dec)
    np.testing.assert_allclose(turn @ np.swapaxes(turn, 1, 2), np.broadcast_to(np.eye(2), (200, 2, 2)), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0, atol=1e-9)
    covariance = np.array([[0.04, 0.012], [0.012, 0.09]])
    turned = turn @ covariance @ np.swapaxes(turn, 1, 2)
    np.testing.assert_allclose(np.trace(turned, axis1=1, axis2=2), 0.13, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turned), np.linalg.det(covariance), atol=1e-12)
    # and by Monte-Carlo-free means: the quadratic form of a vector does not change
    pm = np.array([1.0, -2.0])
    forms = np.einsum("ni,nij,nj->n", turn @ pm, np.linalg.inv(turned), turn @ pm)
    np.testing.assert_allclose(forms, pm @ np.linalg.inv(covariance) @ pm, rtol=1e-9)


def test_the_covariance_against_gala(sky):
    ra, dec, pmra, pmdec = sky
    covariance = np.array([[0.04, 0.012], [0.012, 0.09]])
    star = coordinates.SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=pmra * MAS_YR, pm_dec=pmdec * MAS_YR, frame="icrs"
    )
    expected = gala_coordinates.transform_pm_cov(
        star, np.broadcast_to(covariance, (200, 2, 2)) * MAS_YR**2, gala_coordinates.GD1Koposov10()
    )
    turn = StreamFrame.named("GD1Koposov10").turn(ra, dec)
    found = turn @ covariance @ np.swapaxes(turn, 1, 2)
    np.testing.assert_allclose(found, getattr(expected, "value", expected), atol=1e-8)


# ------------------------------------------------------------------------------------------------------------ own


def test_a_frame_from_its_pole():
    frame = StreamFrame.from_poles("own", (40.0, 60.0), (200.0, -10.0))
    assert frame.to_frame(40.0, 60.0)[1] == pytest.approx(90.0, abs=1e-6)
    origin = frame.to_frame(200.0, -10.0)
    assert origin[0] == pytest.approx(0.0, abs=1e-9), "the origin keeps its meridian"
    ra, dec = frame.to_icrs(0.0, 0.0)
    separation = coordinates.SkyCoord(ra, dec, unit="deg").separation(coordinates.SkyCoord(40.0, 60.0, unit="deg"))
    assert separation.deg == pytest.approx(90.0, abs=1e-9), "and is moved onto the equator"


def test_a_frame_from_the_poles_of_the_sky_is_icrs():
    frame = StreamFrame.from_poles("icrs", (0.0, 90.0), (0.0, 0.0))
    np.testing.assert_allclose(frame.matrix, np.eye(3), atol=1e-12)
    phi1, phi2 = frame.to_frame([10.0, 200.0], [-40.0, 5.0])
    np.testing.assert_allclose(phi1, [10.0, -160.0])
    np.testing.assert_allclose(phi2, [-40.0, 5.0])


def test_a_frame_through_two_points():
    first, last = (10.0, -20.0), (75.0, 30.0)
    frame = StreamFrame.from_ends("own", first, last)
    (a, b), (c, d) = frame.to_frame(*first), frame.to_frame(*last)
    assert [b, d] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert a == pytest.approx(-c, abs=1e-9)
    assert a < 0 < c
    length = coordinates.SkyCoord(*first, unit="deg").separation(coordinates.SkyCoord(*last, unit="deg")).deg
    assert c - a == pytest.approx(length, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["Nonsense", "", "gd1koposov10", "reflex_correct", "GreatCircleICRSFrame", "MWStreams"]
)
def test_an_unknown_frame_lists_the_known_ones(name):
    with pytest.raises(ConfigError, match="no stream frame") as caught:
        StreamFrame.named(name)
    assert "GD1Koposov10" in str(caught.value)
    assert "Pal5PriceWhelan18" in str(caught.value)


def test_every_frame_that_is_listed_can_be_had():
    with pytest.raises(ConfigError) as caught:
        StreamFrame.named("Nonsense")
    listed = str(caught.value).split("gala has ")[1].split(", ")
    broken = {}
    for name in listed:
        try:
            StreamFrame.named(name)
        except ConfigError as error:
            broken[name] = str(error)
    # Majewski's Sagittarius system is left-handed, and so no rotation of the sky
    assert set(broken) <= {"SagittariusLaw10"}
    assert all("left-handed" in words for words in broken.values())


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (((0, 1, 0), (1, 0, 0), (0, 0, 1)), "left-handed"),
        (((2, 0, 0), (0, 1, 0), (0, 0, 1)), "not a rotation"),
        (((1, 0), (0, 1)), "not a rotation"),
        (((math.nan, 0, 0), (0, 1, 0), (0, 0, 1)), "not a rotation"),
    ],
)
def test_a_matrix_that_is_no_rotation(matrix, words):
    with pytest.raises(ConfigError, match=words):
        StreamFrame("own", matrix)


@pytest.mark.parametrize("origin", [(40.0, 60.0), (220.0, -60.0), (40.0, 60.0 + 1e-7)])
def test_an_origin_at_the_pole(origin):
    with pytest.raises(ConfigError, match="origin lies at the pole"):
        StreamFrame.from_poles("own", (40.0, 60.0), origin)


@pytest.mark.parametrize("last", [(10.0, 20.0), (190.0, -20.0)])
def test_ends_that_are_the_same_or_opposite(last):
    with pytest.raises(ConfigError, match="two distinct points"):
        StreamFrame.from_ends("own", (10.0, 20.0), last)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_ends_that_are_not_finite(bad):
    with np.errstate(invalid="ignore"):
        with pytest.raises(ConfigError):
            StreamFrame.from_ends("own", (10.0, 20.0), (bad, 20.0))
        with pytest.raises(ConfigError):
            StreamFrame.from_poles("own", (10.0, bad), (10.0, 20.0))


# --------------------------------------------------------------------------------------------------------- reflex


def reflex_by_astropy(name, phi1, phi2, distance, galactocentric):
    """Proper motion of a star at rest in the Galaxy, all by astropy and gala.

    gala's own reflex_correct fails with this astropy: give the star no velocity in the Galactocentric frame instead.
    """
    frame = getattr(gala_coordinates, name)()
    there = coordinates.SkyCoord(phi1 * u.deg, phi2 * u.deg, distance=distance * u.kpc, frame=frame)
    position = there.transform_to(galactocentric).cartesian.xyz
    rest = np.zeros(position.shape) * u.km / u.s
    star = coordinates.SkyCoord(
        **dict(zip("xyz", position, strict=True)),
        **dict(zip(("v_x", "v_y", "v_z"), rest, strict=True)),
        frame=galactocentric,
        representation_type="cartesian",
    ).transform_to(frame)
    return np.stack([star.pm_phi1_cosphi2.to_value(MAS_YR), star.pm_phi2.to_value(MAS_YR)], axis=1)


@pytest.mark.parametrize(
    "sun", [GalacticFrame(), GalacticFrame(8.3, 0.027, (11.1, 232.24, 7.25), "older")], ids=lambda sun: sun.name
)
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("OrphanNewberg10", 1e-9), ("GD1Koposov10", 1e-8)],  # gala's GD-1 matrix is a rotation to 1e-10 only
)
def test_the_reflex_against_astropy(sun, name, tolerance):
    rng = np.random.default_rng(9)
    phi1, phi2 = rng.uniform(-180, 180, 100), np.degrees(np.arcsin(rng.uniform(-1, 1, 100)))
    distance = rng.uniform(1, 40, 100)
    expected = reflex_by_astropy(name, phi1, phi2, distance, sun.galactocentric())
    found = StreamFrame.named(name).reflex(phi1, phi2, distance, sun)
    assert np.abs(found - expected).max() < tolerance


def test_the_corrected_motion_is_the_star_with_the_suns_velocity_added():
    sun, rng = GalacticFrame(), np.random.default_rng(10)
    frame, galactocentric = gala_coordinates.OrphanNewberg10(), sun.galactocentric()
    phi1, phi2, distance = rng.uniform(-80, 0, 50), rng.uniform(-8, 8, 50), rng.uniform(6, 12, 50)
    pm = rng.normal(-8, 3, (50, 2))
    star = coordinates.SkyCoord(
        phi1=phi1 * u.deg, phi2=phi2 * u.deg, distance=distance * u.kpc, pm_phi1_cosphi2=pm[:, 0] * MAS_YR,
        pm_phi2=pm[:, 1] * MAS_YR, radial_velocity=np.zeros(50) * u.km / u.s, frame=frame,
    ).transform_to(galactocentric)  # fmt: skip
    # seen from a Sun at rest: the star's Galactocentric velocity, along the directions of its own place on the sky
    velocity = star.velocity.d_xyz
    place = dict(zip("xyz", star.cartesian.xyz, strict=True))
    moved = zip(("v_x", "v_y", "v_z"), velocity + galactocentric.galcen_v_sun.xyz[:, None], strict=True)
    offset = coordinates.SkyCoord(
        **place, **dict(moved), frame=galactocentric, representation_type="cartesian"
    ).transform_to(frame)  # fmt: skip
    expected = np.stack([offset.pm_phi1_cosphi2.to_value(MAS_YR), offset.pm_phi2.to_value(MAS_YR)], axis=1)
    found = pm - StreamFrame.named("OrphanNewberg10").reflex(phi1, phi2, distance, sun)
    assert np.abs(found - expected).max() < 1e-9


def test_the_reflex_falls_with_distance_and_the_default_frame_is_v4():
    frame = StreamFrame.named("GD1Koposov10")
    near, far = frame.reflex(-40.0, 0.5, 4.0), frame.reflex(-40.0, 0.5, 8.0)
    np.testing.assert_allclose(near, 2 * far, rtol=1e-12)
    np.testing.assert_allclose(far, frame.reflex(-40.0, 0.5, 8.0, GalacticFrame()), rtol=0)
    assert pytest.approx((1 * u.mas / u.yr * u.kpc).to_value(u.km / u.s, u.dimensionless_angles())) == MAS_YR_KPC


@pytest.mark.parametrize("distance", [0.0, -1.0, math.nan])
def test_a_distance_that_is_not_positive(distance):
    with pytest.raises(ConfigError, match="positive distances"):
        StreamFrame.named("GD1Koposov10").reflex([0.0, 1.0], [0.0, 0.0], [8.0, distance])
