"""Schemas: what is found, what is converted, and what is refused."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable

from starloom.catalog.arrow_tables import UNRECOGNIZED
from starloom.catalog.column_vocabulary import CANONICAL
from starloom.catalog.schema import Column, Schema, canonical, plain, require_rows
from starloom.catalog.surveys import SURVEYS, Survey, identify
from starloom.catalog.tables import read_table
from starloom.dynamics.schema import SCHEMA as ORBITS
from starloom.errors import CatalogError, MissingColumnError, UnitError

STARS = Schema(
    "stars",
    "positions and motions of stars",
    (
        Column("source_id", "", "identifier", kind="integer"),
        Column("ra", "deg", "right ascension", required=True),
        Column("dec", "deg", "declination", required=True),
        Column("pmra", "mas/yr", "proper motion"),
        Column("radial_velocity", "km/s", "radial velocity"),
        Column("distance", "kpc", "distance"),
        Column("g_mag", "mag", "PS1 g"),
        Column("fe_h", "dex", "iron abundance"),
        Column("member", "", "whether it is a member", kind="boolean"),
        Column("stream", "", "name of the stream", kind="text"),
    ),
)


def stars(**columns) -> QTable:
    return read_table({"ra": [10.0, 20.0], "dec": [1.0, 2.0], **columns})


def test_match_tells_what_is_there():
    table = QTable({"RAdeg": [1.0], "DEdeg": [2.0], "pmRA": [3.0] * u.arcsec / u.yr, "name": ["a"]})
    match = STARS.match(table)
    assert match.survey == "streamfinder_dr3"
    assert match.found == {"ra": "RAdeg", "dec": "DEdeg", "pmra": "pmRA"}
    assert match.missing_required == ()
    assert match.missing_optional[0] == "source_id"
    assert match.conversions == {"pmra": ("arcsec / yr", "mas/yr")}
    assert match.usable
    bare = STARS.match(QTable({"x": [1.0]}))
    assert bare.missing_required == ("ra", "dec")
    assert bare.survey is None
    assert not bare.usable


def test_match_reports_a_wrong_unit_and_does_not_fail():
    match = STARS.match(QTable({"ra": [1.0] * u.deg, "dec": [2.0] * u.s}))
    assert match.problems == {"dec": "column 'dec' has the unit 's', which cannot be converted to 'deg'"}
    assert not match.usable


def test_apply_gives_canonical_names_and_units_and_keeps_the_rest():
    table = QTable()
    table["mine"] = ["a", "b"]
    table["DEdeg"] = np.array([1, 2], dtype=np.int16)
    table["RAdeg"] = [np.pi, np.inf] * u.rad
    table["source_id"] = [4611686018427387905, 2]
    table["pmRA"] = [1.0, 2.0] * u.arcsec / u.yr
    result = STARS.apply(table, "streamfinder_dr3")
    assert result.colnames == ["source_id", "ra", "dec", "pmra", "mine"]
    np.testing.assert_allclose(result["ra"].value, [180.0, np.nan])
    assert result["ra"].unit == u.deg
    assert result["dec"].unit == u.deg
    assert result["dec"].dtype == np.float64
    np.testing.assert_allclose(result["pmra"].to_value(u.mas / u.yr), [1000.0, 2000.0], rtol=1e-14)
    assert result["source_id"][0] == 4611686018427387905
    assert table.colnames[0] == "mine"
    assert table["RAdeg"].unit == u.rad
    assert STARS.apply(table, "streamfinder_dr3", keep_others=False).colnames == result.colnames[:-1]


def test_apply_twice_changes_nothing():
    table = stars(pm_ra_cosdec=[0.0, 3.0], radial_velocity=[999.0, -50.0], distance=[8.0, 999.0])
    once = STARS.apply(table)
    twice = STARS.apply(once)
    assert once.colnames == twice.colnames
    for name in once.colnames:
        np.testing.assert_array_equal(plain(once, name), plain(twice, name))


def test_fill_values_of_a_survey_become_missing():
    table = stars(pm_ra_cosdec=[0.0, 3.0], radial_velocity=[999.0, -50.0], distance=[8.0, 999.0])
    result = STARS.apply(table)
    assert np.isnan(plain(result, "pmra")).tolist() == [True, False]
    assert np.isnan(plain(result, "radial_velocity")).tolist() == [True, False]
    assert np.isnan(plain(result, "distance")).tolist() == [False, True]
    single = stars(g_mean_psf_mag=np.array([1e20, 15.0], dtype=np.float32), i_mean_psf_mag=[1.0, 1.0])
    assert np.isnan(plain(STARS.apply(single), "g_mag")).tolist() == [True, False]


def test_fill_values_are_not_sought_in_a_table_of_general_names():
    table = stars(radial_velocity=[1100.0, 0.0], distance=[8.0, 999.0])
    assert plain(STARS.apply(table), "radial_velocity").tolist() == [1100.0, 0.0]


def test_a_column_without_unit_is_in_the_unit_of_the_survey():
    survey = Survey("own", "my survey", {"distance": ("d_pc",)}, "none", units={"distance": "pc"})
    result = STARS.apply(stars(d_pc=[1000.0, 2000.0]), survey)
    assert result["distance"].to_value(u.kpc).tolist() == [1.0, 2.0]
    with_unit = stars(d_pc=[1.0, 2.0] * u.Mpc)
    assert STARS.apply(with_unit, survey)["distance"].to_value(u.kpc).tolist() == [1000.0, 2000.0]


def test_abundances_and_magnitudes_with_and_without_units():
    for unit in (u.dex, u.dimensionless_unscaled):
        assert plain(STARS.apply(stars(fe_h=[-1.0, 0.0] * unit)), "fe_h").tolist() == [-1.0, 0.0]
    assert plain(STARS.apply(stars(g_mag=[15.0, 16.0] * u.ABmag)), "g_mag").tolist() == [15.0, 16.0]


def test_missing_columns_are_named_with_what_was_looked_for_and_what_is_close():
    table = read_table({"RA_deg": [1.0], "decl": [2.0], "pm_ra_cosdec": [1.0]})
    with pytest.raises(MissingColumnError) as caught:
        STARS.apply(table, label="stars.fits")
    message = str(caught.value)
    assert message.startswith("stars.fits lacks the columns 'ra' (right ascension; looked for ra, RA, Ra)")
    assert "'dec' (declination; looked for dec, DEC, Dec; closest there: decl)" in message
    assert "needed for stars" in message
    with pytest.raises(MissingColumnError, match="looked for ra, RAdeg, RA"):
        STARS.apply(table, "streamfinder_dr3")


def test_capitals_are_found():
    assert STARS.apply(read_table({"RA": [1.0], "DEC": [2.0]})).colnames == ["ra", "dec"]
    assert STARS.apply(read_table({"Ra": [1.0], "Dec": [2.0]})).colnames == ["ra", "dec"]


def test_names_of_a_survey_are_found_in_capitals():
    table = read_table(
        {"RA": [1.0], "DEC": [2.0], "PM_PHI1": [3.0], "G_MEAN_PSF_MAG": [20.0], "I_MEAN_PSF_MAG": [19.0]}
    )
    assert identify(table)[0][0] == "gd1_tutorial"
    schema = Schema("magnitudes", "stars", (Column("g_mag", "mag", "g"), Column("pm_phi1_cosphi2", "mas/yr", "along")))
    assert schema.match(table).found == {"g_mag": "G_MEAN_PSF_MAG", "pm_phi1_cosphi2": "PM_PHI1"}
    far = Schema("places", "stars", (Column("distance", "kpc", "distance from the Sun"),))
    apogee = {"VHELIO_AVG": [10.0], "FE_H": [0.0], "WEIGHTED_DIST": [1500.0]}
    assert plain(far.apply(read_table(apogee)), "distance").tolist() == [1.5]


def test_a_band_is_not_found_under_the_name_of_another():
    bands = Schema(
        "bands", "magnitudes", (Column("g", "mag", "g"), Column("r", "mag", "r"), Column("g_mag", "mag", ""))
    )
    found = bands.match(read_table({"G": [1.0], "R": [2.0], "G_mag": [3.0]}))
    assert found.found == {}


def test_a_column_that_the_survey_does_not_have_is_in_the_canonical_unit():
    apogee = {"RA": [1.0], "DEC": [2.0], "VHELIO_AVG": [10.0]}
    distances = Schema("places", "stars", (Column("distance", "kpc", "distance from the Sun"),))
    assert plain(distances.apply(read_table({**apogee, "distance": [1.5]})), "distance").tolist() == [1.5]
    assert plain(distances.apply(read_table({**apogee, "weighted_dist": [1500.0]})), "distance").tolist() == [1.5]


def test_identifiers_may_be_text():
    ids = Schema("ids", "stars", (Column("source_id", "", "identifier", kind="integer"),))
    written = ["4611686018427387905", "Gaia DR3 2", " Gaia EDR3 3"]
    assert ids.apply(read_table({"source_id": written}))["source_id"].tolist() == [4611686018427387905, 2, 3]
    with pytest.raises(CatalogError, match=r"'2M0001' in row 1; convert the column, or give it another name"):
        ids.apply(read_table({"source_id": ["1", "2M0001"]}))
    with pytest.raises(CatalogError, match="whole numbers are needed"):
        ids.apply(read_table({"source_id": ["9999999999999999999"]}))


def test_stars_of_apogee_without_a_match_in_gaia_are_not_one_star():
    table = {"VHELIO_AVG": [1.0, 2.0, 3.0], "GAIAEDR3_SOURCE_ID": [0, 0, 5], "TEFF": [-9999.0, 4500.0, 5000.0]}
    columns = (Column("source_id", "", "identifier", kind="integer"), Column("teff", "K", "temperature"))
    found = Schema("giants", "giants", columns).apply(read_table(table))
    assert found["source_id"].mask.tolist() == [True, True, False]
    assert np.isnan(plain(found, "teff")).tolist() == [True, False, False]


def test_a_schema_says_whether_a_star_may_be_there_twice():
    twice = read_table({"source_id": [1, 1]})
    columns = (Column("source_id", "", "identifier", kind="integer"),)
    assert len(Schema("rows", "rows", columns, unique=None).apply(twice)) == 2
    with pytest.raises(CatalogError, match="more than once"):
        Schema("stars", "stars", columns).apply(twice)
    with pytest.raises(CatalogError, match="more than once"):
        Schema("rows", "rows", columns, unique=None).apply(twice, unique="source_id")


def test_gaia_as_vizier_serves_it():
    table = {"Source": [1], "RA_ICRS": [10.0], "DE_ICRS": [5.0], "Plx": [2.0], "e_Plx": [0.1], "pmRA": [1.0]}
    found = ORBITS.match(read_table({**table, "pmDE": [1.0], "RV": [30.0], "PlxpmRAcor": [0.2]}))
    assert found.survey == "gaia_vizier"
    assert found.usable
    assert found.found["parallax_pmra_corr"] == "PlxpmRAcor"


def test_wrong_units():
    with pytest.raises(UnitError, match=r"my\.vot: column 'ra' has the unit 'km', .* converted to 'deg'"):
        STARS.apply(QTable({"ra": [1.0] * u.km, "dec": [1.0]}), label="my.vot")
    table = stars()
    table["dec"].info.meta = {UNRECOGNIZED: "banana"}
    with pytest.raises(UnitError, match="has the unit 'banana'"):
        STARS.apply(table)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pmra": ["1.5", "1h20"]}, "column 'pmra' holds text, and numbers are needed: '1h20' in row 1"),
        ({"pmra": ["1.5", "2"]}, "column 'pmra' holds text, and numbers are needed: '1.5' in row 0"),
        ({"pmra": [True, False]}, "column 'pmra' holds booleans, and numbers are needed"),
        ({"pmra": [[1.0, 2.0], [3.0, 4.0]]}, "column 'pmra' has 2 dimensions"),
        ({"source_id": [1.5, 2.0]}, "column 'source_id' holds floats, and integers are needed: .*1.5.* in row 0"),
        ({"source_id": [1.0, 4.6e18]}, "lost digits"),
        ({"source_id": ["a", "b"]}, "column 'source_id' holds text"),
        ({"source_id": np.array([1, 2**63 + 1], dtype=np.uint64)}, "beyond 64-bit .* row 1"),
        ({"source_id": [7, 7]}, "1 values of column 'source_id' .*, first 7 in rows 0 and 1"),
        ({"stream": [1, 2]}, "column 'stream' holds integers, and text is needed"),
        ({"member": ["yes", "no"]}, "column 'member' holds text, and true or false is needed"),
        ({"member": [0, 2]}, "column 'member' holds integers, and true or false is needed"),
        ({"Vrad": ["x", "y"], "Dist": [1.0, 2.0]}, r"column 'Vrad' \(for radial_velocity\) holds text"),
    ],
)
def test_columns_of_another_kind(columns, message):
    with pytest.raises(CatalogError, match=message) as caught:
        STARS.apply(stars(**columns), label="stars.csv")
    assert str(caught.value).startswith("stars.csv: ")


def test_integers_booleans_and_texts():
    table = stars(source_id=[3.0, np.nan], member=[0, 1], stream=MaskedColumn(["a", "b"], mask=[0, 1]))
    result = STARS.apply(table)
    assert result["source_id"].dtype == np.int64
    assert result["source_id"].tolist() == [3, None]
    assert result["member"].dtype == bool
    assert result["stream"].tolist() == ["a", None]


def test_identifiers_may_be_missing_twice_and_double_when_allowed():
    table = stars(source_id=MaskedColumn([7, 7], mask=[True, True]))
    assert len(STARS.apply(table)) == 2
    assert len(STARS.apply(stars(source_id=[7, 7]), unique=None)) == 2


def test_rows_are_needed():
    with pytest.raises(CatalogError, match="cut stars has no rows"):
        STARS.apply(stars()[:0], label="cut stars")
    with pytest.raises(CatalogError, match="the table has 2 rows, and at least 3 are needed"):
        require_rows(stars(), least=3)
    require_rows(stars(), least=2)
    assert len(STARS.apply(stars()[:1])) == 1


def test_all_missing_is_a_table_like_others():
    result = STARS.apply(stars(pmra=[np.nan, np.nan]))
    assert np.isnan(plain(result, "pmra")).all()


def test_plain_values():
    table = QTable(
        {"pmra": [1.0, 2.0] * u.arcsec / u.yr, "n": MaskedColumn([1, 2], mask=[False, True]), "name": ["a", "b"]}
    )
    assert plain(table, "pmra").tolist() == [1.0, 2.0]
    np.testing.assert_allclose(plain(table, "pmra", "mas/yr"), [1000.0, 2000.0], rtol=1e-14)
    np.testing.assert_array_equal(plain(table, "n", "mas/yr"), [1.0, np.nan])
    assert plain(table, "n").dtype == np.float64
    plain(table, "n")[0] = 5
    assert table["n"][0] == 1
    with pytest.raises(CatalogError, match="column 'name' holds text, not numbers"):
        plain(table, "name")
    with pytest.raises(MissingColumnError, match="no column 'pm_ra'; closest names there: pmra"):
        plain(table, "pm_ra")
    with pytest.raises(UnitError, match="column 'pmra' has the unit 'arcsec / yr'"):
        plain(table, "pmra", "deg")


def test_a_schema_names_each_column_once():
    with pytest.raises(CatalogError, match="schema twice: more than one column has the name ra"):
        Schema("twice", "", (Column("ra", "deg", ""), Column("ra", "deg", "")))
    assert STARS["ra"].required
    assert [column.name for column in STARS][:2] == ["source_id", "ra"]
    with pytest.raises(MissingColumnError, match="schema stars has no column 'dex'"):
        STARS["dex"]


def test_canonical_columns_say_what_the_vocabulary_says():
    for name, (unit, meaning) in CANONICAL.items():
        column = canonical(name)
        assert (column.name, column.unit, column.meaning, column.required) == (name, unit, meaning, False)
    assert canonical("source_id").kind == "integer"
    assert canonical("stream").kind == "text"
    own = canonical("fe_h", required=True, meaning="[Fe/H] at birth")
    assert own == Column("fe_h", "", "[Fe/H] at birth", required=True)
    with pytest.raises(CatalogError, match="no canonical column is called 'feh'"):
        canonical("feh")


def test_an_unknown_survey():
    with pytest.raises(CatalogError, match="unknown survey 'gaia_dr9'; the known ones are gaia_dr3"):
        STARS.apply(stars(), "gaia_dr9")
    assert all(survey.name == name for name, survey in SURVEYS.items())
