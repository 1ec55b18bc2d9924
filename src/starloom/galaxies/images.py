"""Images of any file, size, depth and color become arrays of one form: (channels, size, size), values of 0 to 1."""

from __future__ import annotations

import io
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError

Pixels = NDArray[np.float32]
Stretch = Literal["auto", "none", "range", "asinh"]

FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp")
SUFFIXES = (*PICTURES, *FITS, ".npy")
MOST_MISSING = 0.5


@dataclass(frozen=True)
class ImageForm:
    """What images are made into.

    Parameters
    ----------
    size : pixels on a side.
    channels : 1 for gray, 3 for color. Color becomes gray by the mean; gray becomes color by three equal channels.
    crop : the central share of each side that is kept.
    stretch : how values that are no levels of 8 or 16 bits (FITS, arrays outside 0 to 1) come between 0 and 1:
        ``asinh`` clips at the percentiles 0 and 99.7 and takes the inverse hyperbolic sine; ``range`` divides by the
        range; ``none`` refuses them; ``auto`` is asinh.
    """

    size: int = 64
    channels: int = 3
    crop: float = 1.0
    stretch: Stretch = "auto"

    def __post_init__(self) -> None:
        if self.size < 4 or self.channels < 1 or not 0.0 < self.crop <= 1.0:
            raise ConfigError(
                f"images need a size of 4 pixels at least ({self.size}), channels ({self.channels}), and a crop in "
                f"(0, 1] ({self.crop})"
            )
        if self.stretch not in ("auto", "none", "range", "asinh"):
            raise ConfigError(f"stretch is auto, none, range or asinh, not {self.stretch!r}")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def read_image(source: Any, form: ImageForm) -> tuple[Pixels, str]:
    """One image in its form.

    Parameters
    ----------
    source : path of a PNG, JPEG, TIFF, FITS or .npy file; the bytes of a picture; or an array (height, width),
        (height, width, channels) or (channels, height, width).
    form : what it is made into.

    Returns
    -------
    pixels : (channels, size, size) float32, 0 to 1.
    remark : empty, or what had to be done: missing pixels set to the median.

    Raises
    ------
    CatalogError
        When it is absent, damaged, empty, of no known kind, or more than half of its pixels are missing.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read_picture(io.BytesIO(bytes(source)), form)
    if not isinstance(source, (str, Path)):
        return to_form(np.asarray(source), form)
    path = Path(source)
    name = path.name.lower()
    if not path.is_file():
        raise CatalogError(f"{path} is a folder" if path.is_dir() else f"no file {path}")
    if name.endswith(FITS):
        return to_form(_read_fits(path), form)
    if name.endswith(".npy"):
        return to_form(_read_npy(path), form)
    return _read_picture(path, form)


def to_form(values: NDArray[Any], form: ImageForm) -> tuple[Pixels, str]:
    """An array of any size, depth and order of axes in its form; see :func:`read_image`."""
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    if values.dtype.kind not in "uif":
        raise CatalogError(f"pixels are {values.dtype}, not numbers")
    stack = _channels_first(values)
    remark = ""
    if stack.dtype in (np.uint8, np.uint16):
        levels = stack.astype(np.float32) / np.float32(np.iinfo(stack.dtype).max)
    else:
        levels, remark = _stretched(stack, form.stretch)
    left, top, right, bottom = _window(levels.shape[2], levels.shape[1], form.crop)
    return _resized(_recolored(levels[:, top:bottom, left:right], form.channels), form.size), remark


def _read_picture(source: Any, form: ImageForm) -> tuple[Pixels, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata; what cannot be decoded raises
            with Image.open(source) as picture:
                if picture.format == "JPEG":  # decode at a fraction of the size where that is still enough
                    wanted = int(np.ceil(form.size / form.crop))
                    picture.draft("L" if form.channels == 1 and picture.mode == "L" else "RGB", (wanted, wanted))
                if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
                    values = np.asarray(picture)
                    # pictures of 16 bits come as 32-bit integers from some files
                    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 65535:
                        values = values.astype(np.uint16)
                    return to_form(values.astype(values.dtype.newbyteorder("=")), form)
                # 8 bits: cut and scaled by the decoder's library, several times faster than as arrays
                plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
                box = _window(plain.width, plain.height, form.crop)
                side = (form.size, form.size)
                if side != plain.size or box != (0, 0, *side):
                    plain = plain.resize(side, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
                levels = np.atleast_3d(np.asarray(plain)).transpose(2, 0, 1).astype(np.float32) / np.float32(255.0)
                return np.ascontiguousarray(_recolored(levels, form.channels)), ""
    except UnidentifiedImageError as error:
        raise CatalogError("no picture that can be read: of an unknown kind, or damaged at its beginning") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise CatalogError(f"damaged picture: {' '.join(str(error).split())[:100]}") from error


def _read_fits(path: Path) -> NDArray[Any]:
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on headers; a truncated image raises below
            with fits.open(path, memmap=False) as found:
                for unit in found:
                    data = unit.data if unit.is_image else None
                    if data is not None and data.ndim >= 2:
                        return np.asarray(data, dtype=np.float32)  # counts, whatever their type: never levels
    except Exception as error:  # astropy raises anything on a damaged file
        raise CatalogError(f"damaged FITS file: {' '.join(str(error).split())[:100]}") from error
    raise CatalogError("FITS file without an image")


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise CatalogError(f"damaged array: {' '.join(str(error).split())[:100]}") from error


def _channels_first(values: NDArray[Any]) -> NDArray[Any]:
    while values.ndim > 3 and 1 in values.shape:
        values = values.squeeze(axis=values.shape.index(1))
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or 0 in values.shape:
        raise CatalogError(f"pixels of shape {values.shape}; an image is (height, width), with channels first or last")
    # channels are the short axis; first when both ends are short
    if values.shape[0] > 8 and values.shape[2] <= 8:
        values = np.moveaxis(values, 2, 0)
    if values.shape[0] == 4:  # the fourth channel is opacity
        values = values[:3]
    if values.shape[0] > 8:
        raise CatalogError(f"pixels of shape {values.shape}: which axis holds the channels?")
    return values


def _stretched(values: NDArray[Any], stretch: Stretch) -> tuple[Pixels, str]:
    levels = values.astype(np.float32)
    good = np.isfinite(levels)
    share = 1.0 - float(good.mean())
    if share > MOST_MISSING:
        raise CatalogError(f"{share:.0%} of the pixels are missing or infinite")
    remark = ""
    if share > 0.0:
        remark = f"{share:.1%} of the pixels missing, set to the median"
        levels = np.where(good, levels, np.float32(np.median(levels[good])))
    low, high = float(levels.min()), float(levels.max())
    if low >= 0.0 and high <= 1.0 and stretch in ("auto", "none"):
        return levels, remark
    if stretch == "none":
        raise CatalogError(f"pixels between {low:.4g} and {high:.4g} where 0 to 1 was expected; choose a stretch")
    if stretch != "range":
        high = float(np.percentile(levels, 99.7))
    if not high > low:
        return np.zeros_like(levels), remark or "all pixels alike"
    levels = np.clip((levels - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    if stretch != "range":
        levels = np.arcsinh(levels) / np.float32(np.arcsinh(1.0))
    return levels, remark


def _window(width: int, height: int, crop: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the central square: galaxies keep their axis ratios."""
    side = max(1, round(min(width, height) * crop))
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _recolored(levels: Pixels, channels: int) -> Pixels:
    if levels.shape[0] == channels:
        return levels
    return np.repeat(levels.mean(axis=0, keepdims=True), channels, axis=0)


def _resized(levels: Pixels, size: int) -> Pixels:
    if levels.shape[1:] == (size, size):
        return np.ascontiguousarray(levels, dtype=np.float32)
    from PIL import Image

    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((size, size), Image.Resampling.BILINEAR))
        for plane in levels
    ]
    result: Pixels = np.clip(np.stack(planes), 0.0, 1.0).astype(np.float32)
    return result
