"""The mass of a normal in a polygon does not care how the plane is turned, moved or scaled."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starloom.stats.windows import ConvexPolygon

TOLERANCE = 3e-7  # the quadrature's promised error on both sides
fixed = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def normals_in_polygons(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = draw(st.integers(3, 9))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners)) + np.arange(corners) * 0.05
    vertices = np.stack([3 * np.cos(angle), 2 * np.sin(angle)], axis=1) + rng.uniform(-1, 1, 2)
    factor = rng.normal(size=(2, 2)) * 10 ** rng.uniform(-1, 0.5) + 0.1 * np.eye(2)
    return vertices, rng.uniform(-3, 3, 2), factor @ factor.T + 0.01 * np.eye(2)


def mass(vertices, mean, covariance):
    values = (mean[0], mean[1], covariance[0, 0], covariance[0, 1], covariance[1, 1])
    normal = (torch.tensor(float(value), dtype=torch.float64) for value in values)
    return float(ConvexPolygon(vertices).log_normal_mass(*normal).exp())


@fixed
@given(normals_in_polygons(), st.floats(-np.pi, np.pi))
def test_rotation(case, angle):
    vertices, mean, covariance = case
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = mass(vertices @ turn.T, turn @ mean, turn @ covariance @ turn.T)
    assert abs(turned - mass(*case)) < TOLERANCE


@fixed
@given(normals_in_polygons(), st.floats(-50, 50), st.floats(-50, 50))
def test_translation(case, dx, dy):
    vertices, mean, covariance = case
    shift = np.array([dx, dy])
    assert abs(mass(vertices + shift, mean + shift, covariance) - mass(*case)) < TOLERANCE


@fixed
@given(normals_in_polygons(), st.floats(0.05, 50), st.floats(0.05, 50), st.booleans())
def test_scale_and_reflection(case, a, b, mirror):
    vertices, mean, covariance = case
    scale = np.diag([-a if mirror else a, b])
    assert abs(mass(vertices @ scale, scale @ mean, scale @ covariance @ scale) - mass(*case)) < TOLERANCE


@fixed
@given(normals_in_polygons(), st.floats(0.1, 0.9))
def test_two_halves_make_the_whole(case, part):
    vertices, mean, covariance = case
    polygon = ConvexPolygon(vertices)
    x = polygon.vertices[:, 0]
    cut = x.min() + part * (x.max() - x.min())
    low, high = (float(value) for value in polygon.bounds(torch.tensor(cut, dtype=torch.float64)))
    ends = [(cut, low), (cut, high)]
    left, right = ([*polygon.vertices[side].tolist(), *ends] for side in (x < cut, x > cut))
    whole = mass(left, mean, covariance) + mass(right, mean, covariance)
    assert abs(whole - mass(*case)) < 2 * TOLERANCE


@fixed
@given(normals_in_polygons())
def test_a_mass_is_a_probability(case):
    assert 0.0 <= mass(*case) <= 1.0 + 1e-9
