"""The survey registry: it is whole, and it recognizes tables."""

import numpy as np
import pytest
from astropy.table import QTable

from starloom.catalog.arrow_tables import parse_unit
from starloom.catalog.column_vocabulary import CANONICAL
from starloom.catalog.surveys import SURVEYS, get_survey, identify


def table_of(survey: str, **extra: float) -> QTable:
    names = [natives[0] for natives in get_survey(survey).columns.values()]
    return QTable({**{name: [1.0] for name in names if name not in extra}, **{k: [v] for k, v in extra.items()}})


@pytest.mark.parametrize("survey", [name for name in SURVEYS if name != "gaia_dr2"])
def test_a_table_with_all_columns_of_a_survey_is_recognized(survey):
    extra = {"ref_epoch": 2016.0} if survey == "gaia_dr3" else {}
    assert identify(table_of(survey, **extra))[0] == (survey, len(SURVEYS[survey].columns))


def test_the_epoch_tells_data_releases_apart():
    assert identify(table_of("gaia_dr2", ref_epoch=2015.5))[0][0] == "gaia_dr2"
    names = [name for name, _ in identify(table_of("gaia_dr2", ref_epoch=2016.0))]
    assert names[0] == "gaia_dr3"
    assert "gaia_dr2" not in names
    assert identify(table_of("gaia_dr3", ref_epoch=np.nan))[0][0] == "gaia_dr3"


def test_general_columns_name_no_survey_with_names_of_its_own():
    names = {name for name, _ in identify(QTable({"ra": [1.0], "dec": [1.0], "distance": [1.0], "stream": ["a"]}))}
    assert names == {"gaia_dr3", "gaia_dr2"}
    assert identify(QTable({"x": [1.0]})) == []
    assert identify(QTable()) == []


@pytest.mark.parametrize("survey", SURVEYS.values(), ids=str)
def test_entries_use_canonical_names_and_known_units(survey):
    assert set(survey.columns) <= set(CANONICAL)
    assert {*survey.units, *survey.sentinels, *survey.limits} <= set(survey.columns)
    assert survey.citation
    for name in survey.columns:
        assert not isinstance(parse_unit(survey.unit(name)), str)


def test_correlations_of_gaia_are_all_there():
    names = [name for name in SURVEYS["gaia_dr3"].columns if name.endswith("_corr")]
    assert len(names) == 10
    assert {"ra_dec_corr", "dec_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr"} <= set(names)


def test_fill_values():
    hectochelle = get_survey("gd1_hectochelle")
    assert hectochelle.missing("r_mag", np.array([29.97, 20.0, np.nan])).tolist() == [True, False, False]
    panstarrs = get_survey("panstarrs1")
    assert panstarrs.missing("g_mag", np.array([-999, 20])).tolist() == [True, False]
    assert panstarrs.missing("ra", np.array([0.0])).tolist() == [False]


@pytest.mark.parametrize(
    ("survey", "name", "value"),
    [
        ("apogee_allstar", "radial_velocity_error", 0.02), ("apogee_allstar", "pmra_error", 0.03),
        ("apogee_allstar", "pmdec_error", 0.03), ("astronn_dr17", "age", 6.0), ("astronn_dr17", "age_error", 1.5),
        ("astronn_dr17", "galactic_radius", 8.2), ("astronn_dr17", "galactic_height", -0.4),
        ("astronn_dr17", "eccentricity", 0.1), ("astronn_dr17", "action_r", 20.0),
    ],
)  # fmt: skip
def test_fill_values_of_apogee_are_none_of_its_numbers(survey, name, value):
    """An error of -9999 would pass as a number whose square is an error of 9999."""
    gone = get_survey(survey).missing(name, np.array([-9999.0, -9999.99, value]))
    assert gone.tolist() == [True, True, False]
