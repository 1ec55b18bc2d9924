"""Run the side-by-side comparisons on one thread and write RESULTS.md.

python benchmarks/run.py
python benchmarks/run.py --only streams       # the other sections stay as they are
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import machine
from sections import page

from starloom import progress
from starloom.files import write_text

PAGE = Path(__file__).resolve().parent / "RESULTS.md"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PACKAGES = ("starloom", "numpy", "scipy", "astropy", "gala", "galpy", "torch", "numba")
TITLE = """# Side by side

Starloom beside other ways to the same result, in the same process on one thread (`make bench`). Times are CPU seconds,
the median of several calls after one that does not count; ratios mean more than seconds. Each pair is checked to give
the same result.
"""


def systems() -> dict[str, Callable[[], tuple[str, bool]]]:
    """What makes the section of each system and says whether all its results agree."""
    os.environ |= dict.fromkeys(THREADS, "1")  # before the libraries that read it are loaded
    import speed_ages
    import speed_dependence
    import speed_dynamics
    import speed_forest
    import speed_galactic_center
    import speed_galaxies
    import speed_halo
    import speed_scoring
    import speed_sdss
    import speed_seismic_ages
    import speed_sky
    import speed_snail
    import speed_som
    import speed_spectra
    import speed_stars
    import speed_streams
    import speed_zoobot

    result = {
        "streams": speed_streams.section,
        "scoring of streams": speed_scoring.section,
        "sdss": speed_sdss.section,
        "sky": speed_sky.section,
        "stars": speed_stars.section,
        "forests": speed_forest.section,
        "maps": speed_som.section,
        "spectra and selection": speed_spectra.section,
        "dynamics": speed_dynamics.section,
        "dependence": speed_dependence.section,
        "galaxy images": speed_galaxies.section,
        "seismic ages": speed_seismic_ages.section,
        "halo": speed_halo.section,
        "ages of stars": speed_ages.section,
        "snail": speed_snail.section,
        "galactic center": speed_galactic_center.section,
    }
    if speed_zoobot.available():
        result["galaxy images beside Zoobot"] = speed_zoobot.section
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare with other tools and write benchmarks/RESULTS.md.")
    parser.add_argument("--only", metavar="NAME", help="one system")
    options = parser.parse_args(arguments)
    known = systems()
    if options.only is not None and options.only not in known:
        parser.error(f"no system {options.only!r}; there are: {', '.join(known)}")
    sections, agreed = {}, True
    with progress.shown():
        for name in [options.only] if options.only else known:
            started = time.monotonic()
            text, good = known[name]()
            agreed &= good
            provenance = (
                f"{machine.processor()}; {machine.versions(*PACKAGES)}; commit {machine.commit()}; "
                f"{time.monotonic() - started:.0f} s in all."
            )
            sections[name] = f"{text.rstrip()}\n\n{provenance}\n"
            write_text(PAGE, page(TITLE, PAGE.read_text() if PAGE.exists() else "", sections))
            print(sections[name])
    if not agreed:
        print("error: a result differs from its peer's", file=sys.stderr)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
