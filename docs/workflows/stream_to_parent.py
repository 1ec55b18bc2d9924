"""From a table of stars to the likely parents of a stream: membership, orbit, association.

    python stream_to_parent.py my_stream.toml my_stars.fits -o members.parquet

Writes the input's rows with the membership probability of each star and what the stream's orbit predicts at its place,
and beside it ``members.parents.ecsv``: the most probable globular clusters. Both tables carry the steps that made them.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from starloom import read_table, write_table
from starloom.catalog.provenance import KEY, record
from starloom.datasets.access import open_table
from starloom.dynamics.frames import GalacticFrame
from starloom.streams import association, orbit_match, origins, progenitors
from starloom.streams.fitted import FittedStream
from starloom.streams.orbit_fit import StreamOrbit
from starloom.streams.orbit_sampler import OrbitSampling
from starloom.streams.stream_completion import model_for
from starloom.streams.stream_file import StreamFile
from starloom.streams.tracks import fitted_track


def membership(file: StreamFile, stars: QTable, seed: int) -> tuple[FittedStream, QTable]:
    """The fitted density model, and the rows with ``p_member``."""
    model, _ = model_for(file, stars, file.reference())
    fitted = model.fit(stars, seed=seed)
    return fitted, fitted.predict(stars)


def orbit_points(fitted: FittedStream, members: QTable, *, least: float = 0.8, most: int = 150) -> QTable:
    """The likeliest members as points of an orbit; distances are those of the fitted track, once a degree."""
    chosen = members[np.nan_to_num(np.asarray(members["p_member"])) > least]
    chosen = chosen[np.argsort(-np.asarray(chosen["p_member"]))[:most]]
    names = [name for name in ("ra", "dec", "pmra", "pmra_error", "pmdec", "pmdec_error", "pmra_pmdec_corr",
                               "radial_velocity", "radial_velocity_error") if name in chosen.colnames]  # fmt: skip
    points = chosen[names]
    track = fitted_track(fitted)
    phi1 = chosen["phi1"].to_value(u.deg)
    points["sky_error"] = np.interp(phi1, track["phi1"].value, track["phi2_width"].value) * u.deg
    if "distance_modulus" in track.colnames:
        modulus = np.interp(phi1, track["phi1"].value, track["distance_modulus"].value)
        half = 0.5 * (track["distance_modulus_high"] - track["distance_modulus_low"]).value / 1.645
        distance = 10 ** (0.2 * modulus - 2.0) * u.kpc
        error = distance * np.fmax(np.interp(phi1, track["phi1"].value, half), 0.03) * 0.2 * np.log(10.0)
        # neighbors share one distance track: one point a degree carries it, the others have none
        _, first = np.unique(np.floor(phi1), return_index=True)
        alone = np.isin(np.arange(len(phi1)), first)
        points["distance"] = np.where(alone, distance, np.nan * u.kpc)
        points["distance_error"] = np.where(alone, error, np.nan * u.kpc)
    return points


def parents(orbit: object, model: StreamOrbit, clusters: QTable, seed: int, *, name: str, draws: int = 32) -> QTable:
    """Globular clusters by their probability to be the stream's parent."""
    rng = np.random.default_rng(seed)
    fitted = origins.FittedStreams({name: orbit}, {}, {})
    stream = fitted.integrals(model.milky_way, draws=draws)
    listed, _ = progenitors.clusters_and_satellites(clusters)
    known, _ = origins.parent_integrals(listed, model.milky_way, model.frame, rng, samples=draws)
    halo = association.SmoothHalo.around(known, stream)
    near = association.distances(stream, known) < 6.0
    matches = orbit_match.orbit_matches(model.milky_way, fitted.phase, known, model.frame.sun.x, near, rng)
    # one stream cannot say how many streams have a parent: the share is the one found for 22 streams
    found = association.associate(stream, known, halo, matches, share=0.3)
    order = np.argsort(-found.probability[0])[:10]
    table = QTable({"parent": [known.names[k] for k in order], "probability": found.probability[0, order]})
    table["distance"] = found.distance[0, order]
    table["orbit_p_value"] = matches.p_value[0, order]
    return table


def run(settings: Path, stars: Path, out: Path, *, seed: int = 1, sampling: OrbitSampling | None = None) -> QTable:
    """The whole chain; the two tables are written and the first is given back."""
    file = StreamFile.of(tomllib.loads(settings.read_text()))
    fitted, members = membership(file, read_table(stars), seed)
    model = StreamOrbit(frame=GalacticFrame(), sampling=sampling or OrbitSampling())
    orbit = model.fit(orbit_points(fitted, members), seed=seed, name=file.name)
    predicted = orbit.predict(members)
    for name in predicted.colnames:
        if name.startswith("orbit_"):
            members[name] = predicted[name]
    members.meta[KEY] = predicted.meta[KEY]
    found = parents(orbit, model, open_table("mw_progenitors", "clusters"), seed, name=file.name)
    found.meta[KEY] = members.meta[KEY]
    record(found, "association with globular clusters", potential=model.milky_way.name, share=0.3, seed=seed)
    write_table(members, out)
    write_table(found, out.with_suffix(".parents.ecsv"))
    return members


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("settings", type=Path, help="the ten-line file of the stream")
    words.add_argument("stars", type=Path, help="FITS, Parquet, ECSV, VOTable or CSV")
    words.add_argument("-o", "--out", type=Path, default=Path("members.parquet"))
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    run(given.settings, given.stars, given.out, seed=given.seed)
