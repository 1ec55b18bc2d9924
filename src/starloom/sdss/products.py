"""Where the files of SDSS data releases are: paths on the science archive server, and value-added catalogs."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from starloom.errors import ConfigError

SERVER = "https://data.sdss.org/sas"

_PLATE_RUNS = ("v6_0_1", "v6_0_2", "v6_0_3", "v6_0_4")


@dataclass(frozen=True)
class Product:
    """A kind of file.

    Parameters
    ----------
    name : what it is called.
    release : the data release.
    template : path below the release, with keys in braces.
    meaning : what is in it.
    defaults : keys that need not be given.
    """

    name: str
    release: str
    template: str
    meaning: str
    defaults: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the path is made of, without those that follow from others."""
        found = re.findall(r"\{(\w+)", self.template)
        return tuple(dict.fromkeys(_FROM.get(key, key) for key in found))


_FROM = {
    "healpix_group": "healpix", "sdss_id_group": "sdss_id", "padded_field": "field", "plate_mark": "run2d",
    "padded_catalogid": "catalogid", "configuration_group": "configuration",
}  # fmt: skip

_DERIVED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "healpix_group": lambda key: str(int(key["healpix"]) // 1000),
    "sdss_id_group": lambda key: f"{int(key['sdss_id']) // 100 % 100:02d}/{int(key['sdss_id']) % 100:02d}",
    "padded_field": lambda key: str(key["field"]) if key["run2d"] in _PLATE_RUNS else f"{int(key['field']):06d}",
    "plate_mark": lambda key: "p" if key["run2d"] in _PLATE_RUNS else "",
    "padded_catalogid": lambda key: f"{int(key['catalogid']):011d}",
    "configuration_group": lambda key: f"{int(key['configuration']) // 100:04d}XX",
}

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "dr17": {"apred": "dr17", "aspcap": "synspec_rev1", "prefix": "ap", "run2d": "v5_13_2"},
    "dr18": {"run2d": "v6_0_4", "v_targ": "1.0.1", "v_speccomp": "v1.4.3"},
    "dr19": {"run2d": "v6_1_3", "apred": "1.3", "v_astra": "0.6.0"},
}
"""Versions of the software of each release, as far as known; a key that is given overrides one."""


@cache
def _known() -> tuple[Product, ...]:
    text = files("starloom.sdss.definitions").joinpath("products.toml").read_text(encoding="utf-8")
    return tuple(Product(**entry, defaults=DEFAULTS[entry["release"]]) for entry in tomllib.loads(text)["product"])


def products(release: str | None = None) -> tuple[Product, ...]:
    """The products of a release, or all.

    Raises
    ------
    ConfigError
        For an unknown release.
    """
    if release is None:
        return _known()
    found = tuple(product for product in _known() if product.release == release.lower())
    if not found:
        known = sorted({product.release for product in _known()})
        raise ConfigError(f"no paths are known for {release!r}; there are: {', '.join(known)}")
    return found


def product(name: str, release: str) -> Product:
    """The product of that name and release.

    Raises
    ------
    ConfigError
        When there is none, with the closest name or the releases that have it.
    """
    same = products(release)
    for entry in same:
        if entry.name == name:
            return entry
    elsewhere = [entry.release for entry in _known() if entry.name == name]
    if elsewhere:
        raise ConfigError(f"{release} has no {name}; it is in {', '.join(elsewhere)}")
    close = difflib.get_close_matches(name, [entry.name for entry in same], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(entry.name for entry in same)}"
    raise ConfigError(f"{release} has no product {name!r}{hint}")


def path(name: str, release: str, *, root: str = "", **keys: Any) -> str:
    """Path of a file below the archive's root.

    Parameters
    ----------
    name, release : the product, such as ``spec`` of ``dr18``.
    root : what to put before it, such as :data:`SERVER` or a local folder.
    keys : what the path is made of, such as ``field``, ``mjd``, ``catalogid``.

    Raises
    ------
    ConfigError
        When the product is unknown, a key is missing or is not a number where one is needed.

    Examples
    --------
    >>> path("spec", "dr18", field=15143, mjd=59205, catalogid=4570345600)
    'dr18/spectro/boss/redux/v6_0_4/spectra/lite/15143p/59205/spec-15143-59205-04570345600.fits'
    >>> path("mwmStar", "dr19", sdss_id=54392544).rpartition("/")[0][-10:]
    'star/25/44'
    """
    entry = product(name, release)
    given = {**entry.defaults, **keys}
    if lost := [key for key in entry.keys if key not in given]:
        raise ConfigError(f"the path of {name} in {release} needs {', '.join(lost)}; its keys: {', '.join(entry.keys)}")
    if unused := set(keys) - set(entry.keys):
        raise ConfigError(
            f"the path of {name} in {release} has no key {sorted(unused)[0]!r}; its keys: {', '.join(entry.keys)}"
        )
    try:
        whole = {**given, **{key: make(given) for key, make in _DERIVED.items() if f"{{{key}" in entry.template}}
        text = entry.template.format(**{key: str(value) for key, value in whole.items()})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the path of {name} in {release} cannot be made: {error}") from error
    return "/".join(part for part in (root.rstrip("/"), entry.release, text) if part)


def url(name: str, release: str, **keys: Any) -> str:
    """Address of a file on the science archive server."""
    return path(name, release, root=SERVER, **keys)
