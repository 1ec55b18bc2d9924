import io

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from starloom.catalog.tables import write_table
from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.images import ImageForm, read_image

FORM = ImageForm(size=32, channels=3)


def ramp(dtype, height=40, width=40):
    values = np.linspace(0, 1, height)[:, None] * np.ones(width)
    return (values * np.iinfo(dtype).max).astype(dtype) if np.dtype(dtype).kind == "u" else values.astype(dtype)


@pytest.mark.parametrize(
    "kind", ["png8", "png16", "jpeg", "gray jpeg", "tiff float", "palette", "opacity", "npy", "1bit"]
)
def test_every_depth_and_color_gives_the_same_picture(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "png8":
        Image.fromarray(np.stack([ramp(np.uint8)] * 3, axis=2)).save(path)
    elif kind == "png16":
        Image.fromarray(ramp(np.uint16)).save(path)
    elif kind in ("jpeg", "gray jpeg"):
        path = tmp_path / "a.jpg"
        values = ramp(np.uint8)
        Image.fromarray(values if kind == "gray jpeg" else np.stack([values] * 3, axis=2)).save(path, quality=95)
    elif kind == "tiff float":
        path = tmp_path / "a.tiff"
        Image.fromarray(ramp(np.float32)).save(path)
    elif kind == "palette":
        Image.fromarray(ramp(np.uint8)).convert("P").save(path)
    elif kind == "opacity":
        Image.fromarray(np.stack([ramp(np.uint8)] * 3 + [np.full((40, 40), 255, np.uint8)], axis=2)).save(path)
    elif kind == "npy":
        path = tmp_path / "a.npy"
        np.save(path, ramp(np.float64))
    else:
        Image.fromarray(ramp(np.uint8) > 127).save(path)
    pixels, remark = read_image(path, FORM)
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == np.float32
    assert remark == ""
    assert np.allclose(pixels[0], pixels[1])
    profile = pixels[0].mean(axis=1)
    if kind == "1bit":
        assert profile[2] < 0.1
        assert profile[-3] > 0.9
    else:
        assert profile == pytest.approx((np.arange(32) + 0.5) / 32, abs=0.03)
    gray, _ = read_image(path, ImageForm(size=32, channels=1))
    assert gray.shape == (1, 32, 32)
    assert gray[0] == pytest.approx(pixels.mean(axis=0), abs=0.02)


@pytest.mark.parametrize("shape", [(50, 60), (50, 60, 3), (3, 50, 60), (1, 50, 60), (50, 60, 1), (50, 60, 4)])
def test_arrays_of_any_order_of_axes(shape):
    values = np.random.default_rng(1).random(shape).astype(np.float32)
    pixels, _ = read_image(values, FORM)
    assert pixels.shape == (3, 32, 32)
    assert pixels.mean() == pytest.approx(0.5, abs=0.02)


def test_the_central_square_is_kept_and_galaxies_stay_round():
    values = np.zeros((60, 120), dtype=np.float32)
    y, x = np.mgrid[:60, :120]
    values[np.hypot(y - 29.5, x - 59.5) < 15] = 1.0
    pixels, _ = read_image(values, ImageForm(size=60, channels=1))
    assert pixels[0].sum(axis=0).max() == pytest.approx(pixels[0].sum(axis=1).max(), rel=0.03)
    near, _ = read_image(values, ImageForm(size=60, channels=1, crop=0.5))
    assert near.mean() == pytest.approx(4 * pixels.mean(), rel=0.1)


def test_fits_counts_are_stretched(tmp_path):
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:64, :64]
    counts = 1000.0 * np.exp(-np.hypot(x - 32, y - 32) / 6) + rng.normal(0, 5, (64, 64))
    for name, data in (("float", counts.astype(">f4")), ("integer", counts.astype(">i2"))):
        path = tmp_path / f"{name}.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data)]).writeto(path)
        pixels, remark = read_image(path, ImageForm(size=64, channels=1))
        assert remark == ""
        assert pixels.min() >= 0
        assert pixels.max() == pytest.approx(1.0)
        assert pixels[0, 32, 32] > 0.9
        # the inverse hyperbolic sine lifts what is faint above a division by the range
        plain, _ = read_image(path, ImageForm(size=64, channels=1, stretch="range"))
        assert pixels.mean() > plain.mean()
    with pytest.raises(CatalogError, match="choose a stretch"):
        read_image(path, ImageForm(size=64, channels=1, stretch="none"))


def test_missing_pixels_are_filled_and_said():
    values = np.random.default_rng(3).random((32, 32)).astype(np.float32)
    values[:3] = np.nan
    values[5, 5] = np.inf
    pixels, remark = read_image(values, FORM)
    assert np.isfinite(pixels).all()
    assert "9.5% of the pixels missing" in remark
    values[:20] = np.nan
    with pytest.raises(CatalogError, match="missing or infinite"):
        read_image(values, FORM)
    assert read_image(np.full((32, 32), 7.0), FORM)[1] == "all pixels alike"


def bytes_of(values, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "unknown kind"),
        (b"rubbish", "unknown kind"),
        (bytes_of(ramp(np.uint8))[:60], "damaged"),
        (bytes_of(ramp(np.uint8, 200, 200), "JPEG")[:700], "damaged"),
        ("/nowhere/a.png", "no file"),
        ("/", "is a folder"),
        (np.zeros((3, 4, 5, 6)), "shape"),
        (np.zeros((0, 5)), "shape"),
        (np.zeros((20, 20, 20)), "channels"),
        (np.array([["a", "b"]]), "not numbers"),
    ],
)
def test_what_is_no_image_is_said(source, message):
    with pytest.raises(CatalogError, match=message):
        read_image(source, FORM)


def test_damaged_files_of_every_kind(tmp_path):
    for name in ("a.fits", "a.npy", "a.png"):
        path = tmp_path / name
        path.write_bytes(b"SIMPLE  =                    T" if name == "a.fits" else b"xx")
        with pytest.raises(CatalogError, match=r"damaged|without an image"):
            read_image(path, FORM)
    fits.PrimaryHDU().writeto(tmp_path / "b.fits")
    with pytest.raises(CatalogError, match="without an image"):
        read_image(tmp_path / "b.fits", FORM)


def test_a_folder_goes_on_past_what_cannot_be_read(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "a.jpg", "deep/c.png"):
        Image.fromarray(ramp(np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no image")
    source = image_source(tmp_path)
    assert source.ids.tolist() == ["a", "b", "broken", "deep/c"]
    pixels, reasons, _ = source.read_all(FORM, workers=2)
    assert [bool(reason) for reason in reasons] == [False, False, True, False]
    assert (pixels[2] == 0).all()
    assert np.array_equal(pixels, source.read_all(FORM, workers=1)[0])
    rows = np.concatenate([rows for rows, _ in source.batches(FORM, 3, workers=2)])
    assert rows.tolist() == [0, 1, 2, 3]
    assert source.subset(np.array([True, False, False, True])).ids.tolist() == ["a", "deep/c"]


def test_catalogs_with_files_bytes_and_missing_names(tmp_path):
    Image.fromarray(ramp(np.uint8)).save(tmp_path / "a.png")
    big = np.array([4611686018427387905, 7, 8], dtype=np.int64)
    write_table({"objid": big, "file_loc": np.array(["a.png", "none.png", ""])}, tmp_path / "list.csv")
    source = image_source(tmp_path / "list.csv")
    assert source.ids.tolist() == big.tolist()
    reasons = source.read_all(FORM)[1]
    assert reasons[0] == ""
    assert all("no file" in reason for reason in reasons[1:])
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"galaxy_id": [3, 4], "jpeg": pa.array([bytes_of(ramp(np.uint8)), None], pa.binary())})
    parquet.write_table(table, tmp_path / "pictures.parquet")
    source = image_source(tmp_path / "pictures.parquet")
    assert source.table.colnames == ["galaxy_id"]
    assert [bool(reason) for reason in source.read_all(FORM)[1]] == [False, True]


def test_wrong_catalogs_are_refused(tmp_path):
    cases = [
        ({"a": [1]}, {}, "no column of images"),
        ({"file": np.array(["a", "b"]), "id": [1, 1]}, {}, "more than once"),
        ({"file": np.array(["a"])}, {"images": "picture"}, "no column 'picture'"),
        ({"file": np.array(["a"])}, {"ids": "name"}, "no column 'name'"),
    ]
    for table, options, message in cases:
        with pytest.raises(CatalogError, match=message):
            image_source(table, **options)
    for given in ([], np.zeros((0, 3, 8, 8)), np.zeros(5), tmp_path):
        with pytest.raises(CatalogError, match=r"no images|array of images"):
            image_source(given)


@pytest.mark.parametrize("bad", [{"size": 2}, {"channels": 0}, {"crop": 0.0}, {"crop": 1.5}, {"stretch": "log"}])
def test_wrong_forms_are_refused(bad):
    with pytest.raises(ConfigError):
        ImageForm(**bad)
