"""Files of spectra: made ones of every kind, and damaged ones."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from starloom.errors import CatalogError, StarloomError
from starloom.spectra import apogee, sdss
from starloom.spectra.reading import kind_of, read_spectra
from starloom.spectra.spectrum import SpectrumFile

CATALOGID = 6305039478318694399


def test_a_spec_file_with_everything(write_spec):
    found = read_spectra(write_spec())
    assert found.kind == "spec"
    assert found.names == ["coadd", "MJD_EXP_59146-02", "MJD_EXP_59146-03"]
    assert found.ids["catalogid"] == CATALOGID
    assert found.main.meta["catalogid"] == CATALOGID
    assert found.main.meta["redshift"] == 0.5
    assert found.main.meta["class"] == "QSO"
    assert found.tables["lines"]["LINENAME"][0] == "H_alpha"
    assert found.main.flux.dtype == np.dtype("float64")
    assert found.main.flux.dtype.isnative
    assert found.main.grid.step == 1e-4
    assert found.main.frame == "barycentric"
    assert found.notes == ()
    assert found["coadd"] is found.main
    with pytest.raises(CatalogError, match="no spectrum 'visit 1'"):
        found["visit 1"]


def test_a_lite_file_and_one_without_the_object(write_spec):
    found = read_spectra(write_spec(parts=()))
    assert found.names == ["coadd"]
    assert len(found.notes) == 2
    assert dict(found.tables) == {}
    assert "SPALL" in found.notes[0]


def test_exposures_can_be_left_out(write_spec):
    assert sdss.read_spec(write_spec(), exposures=False).names == ["coadd"]


def test_all_zero_ivar_is_read_and_said(write_spec):
    count = 100
    columns = [
        fits.Column("flux", "E", array=np.ones(count, dtype=np.float32)),
        fits.Column("loglam", "E", array=(3.6 + 1e-4 * np.arange(count)).astype(np.float32)),
        fits.Column("ivar", "E", array=np.zeros(count, dtype=np.float32)),
        fits.Column("and_mask", "J", array=np.zeros(count, dtype=np.int32)),
    ]
    found = read_spectra(write_spec(columns=columns))
    assert not found.main.good.any()
    assert np.isnan(found.main.signal_to_noise)
    assert any("0 everywhere" in note for note in found.notes)


def test_wavelengths_in_air_are_refused(write_spec):
    with pytest.raises(CatalogError, match="in air"):
        read_spectra(write_spec(VACUUM=False))


def test_an_id_that_became_a_float_is_refused():
    assert sdss.exact_integer(np.int64(CATALOGID), "catalogid") == CATALOGID
    assert sdss.exact_integer(b"27021597775536148", "catalogid") == 27021597775536148
    assert sdss.exact_integer("2M00", "apogee_id") == "2M00"
    assert sdss.exact_integer(12.0, "plate") == 12
    with pytest.raises(CatalogError, match="lost digits"):
        sdss.exact_integer(float(CATALOGID), "catalogid")


def test_ids_of_the_header_where_no_row_has_them(write_spec):
    found = read_spectra(write_spec(parts=(), **{"HIERARCH CATALOGID": CATALOGID}, PLATEID=15000, MJD=59146))
    assert found.ids["catalogid"] == CATALOGID
    assert found.ids["mjd"] == 59146


def test_apstar_with_several_visits(write_apstar):
    found = read_spectra(write_apstar(3))
    assert found.kind == "apStar"
    assert found.names == ["coadd", "coadd, one weight a visit", "visit 1", "visit 2", "visit 3"]
    assert [found[f"visit {k}"].meta["snr"] for k in (1, 2, 3)] == [10.0, 20.0, 30.0]
    assert found["visit 2"].meta["radial_velocity"] == 13.0
    assert found.main.meta["radial_velocity"] == 12.5
    assert not found.main.good[:50].any()
    assert not found.main.good[100]
    assert found.main.good[101:].all()
    assert found.main.frame == "rest"
    assert found.main.signal_to_noise == pytest.approx(100, rel=0.01)


def test_apstar_with_one_visit_in_one_row(write_apstar):
    found = read_spectra(write_apstar(1))
    assert found.names == ["coadd"]
    assert len(found.main) == 8575


def test_aspcapstar(write_aspcapstar):
    found = read_spectra(write_aspcapstar())
    assert found.kind == "aspcapStar"
    assert found.main.unit == ""
    assert found.main.columns["model"].tolist() == [1.0] * 8575
    assert found.tables["labels"]["TEFF"][0] == 4800.0
    assert found.main.signal_to_noise == pytest.approx(100, rel=0.02)


def test_aspcapstar_without_labels(write_aspcapstar):
    found = apogee.read_aspcapstar(write_aspcapstar(labels=False))
    assert dict(found.tables) == {}
    assert found.notes == ("no table of labels in this file",)


def test_mwmstar_leaves_out_what_is_empty(write_mwmstar):
    found = read_spectra(write_mwmstar())
    assert found.kind == "mwmStar"
    assert found.names == ["BOSS/APO", "APOGEE/APO"]
    assert found.ids == {"sdss_id": 54377305, "catalogid": CATALOGID}
    assert found["APOGEE/APO"].meta["catalogid"] == CATALOGID
    assert found["APOGEE/APO"].bad_bits == apogee.BAD_BITS
    assert found["BOSS/APO"].bad_bits == sdss.BAD_BITS
    assert found.main.signal_to_noise == 15.0


def test_an_empty_mwmstar(write_mwmstar):
    with pytest.raises(CatalogError, match="all its extensions are empty"):
        read_spectra(write_mwmstar(empty=True))


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_truncated_files_are_told(write_spec, tmp_path, share):
    whole = write_spec().read_bytes()
    broken = tmp_path / "broken.fits"
    broken.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CatalogError, match=r"broken\.fits"):
        read_spectra(broken)


def test_a_truncated_gzip_file_is_told(write_apstar, tmp_path):
    packed = gzip.compress(write_apstar(2).read_bytes())
    broken = tmp_path / "broken.fits.gz"
    broken.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CatalogError, match=r"broken\.fits\.gz"):
        read_spectra(broken)


def test_what_is_no_file_of_spectra(tmp_path):
    image = tmp_path / "image.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((5, 5)), name="SCI")]).writeto(image)
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    empty = tmp_path / "empty.fits"
    empty.write_bytes(b"")
    for path, word in (
        (image, "SCI"),
        (text, "text.fits"),
        (empty, "0 bytes"),
        (tmp_path / "none.fits", "not exist"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(CatalogError, match=word):
            read_spectra(path)


def test_a_kind_that_does_not_fit(write_spec, write_apstar, tmp_path):
    with pytest.raises(CatalogError, match="flux, loglam and ivar"):
        read_spectra(write_apstar(), kind="spec")
    with pytest.raises(CatalogError, match="extension 1 is a table"):
        read_spectra(write_spec(), kind="apStar")
    with pytest.raises(CatalogError, match="unknown kind"):
        read_spectra(tmp_path / "any.fits", kind="spam")


def test_a_missing_extension_of_apstar(write_apstar, tmp_path):
    with fits.open(write_apstar()) as file:
        fits.HDUList([hdu.copy() for hdu in file[:3]]).writeto(tmp_path / "short.fits")
    with pytest.raises(CatalogError, match="no extension 3 with the mask"):
        apogee.read_apstar(tmp_path / "short.fits")


def test_a_coadd_without_ivar(write_spec):
    columns = [fits.Column(name, "E", array=np.ones(10, dtype=np.float32)) for name in ("flux", "loglam")]
    with pytest.raises(CatalogError, match="ivar"):
        sdss.read_spec(write_spec(columns=columns, parts=()))


def test_kinds_are_found_by_content(write_spec, write_apstar, write_aspcapstar, write_mwmstar):
    paths = (write_spec(), write_apstar(), write_aspcapstar(), write_mwmstar())
    assert [kind_of(path) for path in paths] == ["spec", "apStar", "aspcapStar", "mwmStar"]


def test_spectra_as_rows_of_a_table(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({
        "file": ["a", "b"], "loglam0": [3.6, 3.61], "z": [0.1, 0.2],
        "flux": [np.ones(5), np.ones(7)], "ivar": [np.ones(5), np.zeros(7)],
        "and_mask": [np.zeros(5, int), np.zeros(7, int)],
    })  # fmt: skip
    found = sdss.spectra_of_table(frame)
    assert [len(one) for one in found] == [5, 7]
    assert found[1].meta["z"] == 0.2
    assert found[0].grid.start == 3.6
    assert len(sdss.spectra_of_table(frame, rows=[1])) == 1
    frame.at[0, "ivar"] = np.ones(4)
    with pytest.raises(CatalogError, match="row 0"):
        sdss.spectra_of_table(frame)
    with pytest.raises(CatalogError, match="loglam0"):
        sdss.spectra_of_table(frame.drop(columns="loglam0"))
    with pytest.raises(CatalogError, match="does not exist"):
        sdss.spectra_of_table(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("x")
    with pytest.raises(CatalogError, match="Parquet"):
        sdss.spectra_of_table(tmp_path / "bad.parquet")


@pytest.mark.parametrize("kind", ["spec", "apstar", "aspcapstar", "mwmstar"])
def test_damaged_files_give_one_clear_error_or_a_spectrum(kind, request, damaged):
    """Ninety damaged files from a fixed seed, in the headers above all: there the structure is."""
    path = request.getfixturevalue(f"write_{kind}")()
    content, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for turn in range(90):
        cut = len(content) if turn % 3 == 0 else 12_000
        path.write_bytes(damaged(content[:cut], rng) + content[cut:])
        try:
            assert isinstance(read_spectra(path), SpectrumFile)
        except StarloomError as error:
            refused += path.name in str(error) or pytest.fail(f"the file is not named: {error}")
    assert refused > 5
