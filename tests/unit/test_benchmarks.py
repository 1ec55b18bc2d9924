from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from starloom.errors import ConfigError, FitError
from starloom.results.record import Bar
from starloom.streams import mock
from starloom.studies import gd1_stream

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accuracy_streams  # noqa: E402
import machine  # noqa: E402
import side_by_side  # noqa: E402
import stream_oracle  # noqa: E402
from bars import Experiment, LongBar, System, bootstrap, median, ratio, share  # noqa: E402
from sections import page  # noqa: E402

import accuracy  # noqa: E402

SEEDS = (5, 6, 7, 8)


def made_up(measure, seeds=SEEDS, **settings):
    """A system whose experiment counts members and fits without a fit."""
    experiment = Experiment("counting", measure, seeds, settings)
    bars = (
        LongBar("found over true", experiment, ratio("found", "true"), Bar("in", (0.9, 1.1)), "pooled", percent=True),
        LongBar("middle error", experiment, median("error"), Bar("<=", 0.5)),
        LongBar("lost", experiment, share("lost"), Bar("<=", 0.0), percent=True),
        LongBar("largest error", experiment, bootstrap(lambda numbers: max(n["error"] for n in numbers))),
    )
    return System("counts", "Made up.", bars, Path(accuracy.__file__))


def numbers(seed, **settings):
    return {"found": 2 * seed, "true": 20, "error": seed / 10, "lost": seed == 6}


def cells(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def measured(system, tmp_path, **options):
    settings = {"only": None, "seeds": None, "quick": False} | options
    return accuracy.measure([system], cache=tmp_path / "cache", target=tmp_path / "ACCURACY.md", **settings)


# --- pooling


def test_a_ratio_is_of_sums_and_its_interval_resamples_whole_seeds():
    pooled = ratio("a", "b")([{"a": 1, "b": 1}, {"a": 0, "b": 9}])
    assert pooled.value == pytest.approx(0.1)
    assert (pooled.low, pooled.high) == (0.0, 1.0)  # a resample may hold one seed twice


def test_one_seed_has_no_interval():
    pooled = median("a")([{"a": 3.0}])
    assert pooled.value == 3.0
    assert math.isnan(pooled.low)


@pytest.mark.parametrize(("true", "low", "high"), [(0, 0.0, 0.139108), (20, 0.860892, 1.0), (10, 0.301954, 0.698046)])
def test_a_share_has_the_binomial_interval(true, low, high):
    pooled = share("yes")([{"yes": k < true} for k in range(20)])
    assert pooled.value == true / 20
    assert (pooled.low, pooled.high) == pytest.approx((low, high), abs=1e-6)


def test_the_bootstrap_of_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(3).normal(size=400)
    pooled = bootstrap(lambda n: float(np.mean([one["x"] for one in n])))([{"x": value} for value in values])
    assert pooled.high - pooled.low == pytest.approx(2 * 1.645 * values.std() / 20, rel=0.1)


# --- the runner and its page


def test_the_page_has_values_intervals_and_verdicts(tmp_path):
    measured(made_up(numbers, size=3), tmp_path)
    text = (tmp_path / "ACCURACY.md").read_text()
    assert text.startswith("# Accuracy\n")
    assert cells(text, "found over true") == [
        "found over true (pooled)", "90.0 % to 110.0 %", "65.0 %", "55.0 % to 75.0 %", "**fail**", "4 of 4",
    ]  # fmt: skip
    assert cells(text, "middle error")[1:] == ["<= 0.5", "0.65", "0.55 to 0.75", "**fail**", "4 of 4"]
    assert cells(text, "lost")[1:] == ["<= 0.0 %", "25.0 %", "1.3 % to 75.1 %", "**fail**", "4 of 4"]
    assert cells(text, "largest error")[4:] == ["info", "4 of 4"]
    assert f"size 3; seeds 5 to 8; 0 s, 0 to 0 s a seed; version {accuracy.__version__}" in text
    assert machine.processor() in text
    assert str(machine.ROOT) not in text


def test_a_reached_bar_passes_and_an_unfinished_one_says_so(tmp_path):
    system = made_up(lambda seed: numbers(seed) | {"found": 20, "error": 0.5, "lost": False})
    text = measured(system, tmp_path, seeds=2)
    assert cells(text, "found over true")[4:] == ["incomplete (pass so far)", "2 of 4"]
    text = measured(system, tmp_path)
    for name in ("found over true", "middle error", "lost"):
        assert cells(text, name)[4:] == ["**pass**", "4 of 4"]


def test_a_seed_that_fails_counts_against_every_bar(tmp_path):
    def measure(seed):
        if seed == 7:
            raise FitError("only 3 stars")
        return {"found": 20, "true": 20, "error": 0.0, "lost": False}

    text = measured(made_up(measure), tmp_path)
    assert cells(text, "found over true")[2:] == ["100.0 %", "100.0 % to 100.0 %", "**fail**", "4 of 4, 1 failed"]
    assert "- seed 7 failed: FitError: only 3 stars" in text


def test_when_all_seeds_fail_nothing_is_reached(tmp_path):
    def measure(seed):
        raise FitError("none")

    assert cells(measured(made_up(measure), tmp_path), "lost")[2:] == ["", "", "**fail**", "4 of 4, 4 failed"]


def test_what_was_run_is_not_run_again_unless_something_changed(tmp_path):
    runs = []

    def measure(seed, **settings):
        runs.append(seed)
        return numbers(seed)

    measured(made_up(measure), tmp_path, seeds=2)
    measured(made_up(measure), tmp_path)
    assert runs == [5, 6, 7, 8]
    measured(dataclasses.replace(made_up(measure), source=Path(machine.__file__)), tmp_path)
    assert runs == [5, 6, 7, 8] * 2  # other sources
    measured(made_up(measure, size=2), tmp_path)
    assert runs == [5, 6, 7, 8] * 3  # other settings
    measured(made_up(measure), tmp_path)
    assert runs == [5, 6, 7, 8] * 3  # the first ones still hold


def test_a_damaged_line_of_the_cache_is_run_again(tmp_path):
    runs = []

    def measure(seed):
        runs.append(seed)
        return numbers(seed)

    measured(made_up(measure), tmp_path)
    (cache,) = (tmp_path / "cache").glob("*.jsonl")
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join([lines[0], lines[1][:40], "null", *lines[3:]]) + "\n")
    assert cells(measured(made_up(measure), tmp_path), "lost")[5] == "4 of 4"
    assert runs == [5, 6, 7, 8, 6, 7]


def test_a_quick_run_leaves_the_page_alone(tmp_path):
    seen = []

    def measure(seed, size):
        seen.append(size)
        return numbers(seed)

    system = made_up(measure, size=9)
    quick = dataclasses.replace(system.experiments[0], quick={"size": 1})
    bars = tuple(dataclasses.replace(bar, experiment=quick) for bar in system.bars)
    measured(dataclasses.replace(system, bars=bars), tmp_path, quick=True, seeds=1)
    assert seen == [1]
    assert not (tmp_path / "ACCURACY.md").exists()
    assert "size 1" in (tmp_path / "cache" / "quick" / "ACCURACY.md").read_text()


def test_numbers_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        measured(made_up(lambda seed: {"found": math.nan}), tmp_path)
    assert not list((tmp_path / "cache").glob("*.jsonl"))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {benchmarks!r})
import accuracy
from bars import Experiment, LongBar, System, ratio

folder = Path({folder!r})

def measure(seed):
    with open(folder / "started", "a") as log:
        log.write(f"{{seed}}\\n")
    if seed == 2 and (folder / "kill").exists():
        (folder / "kill").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return {{"a": seed, "b": 1}}

experiment = Experiment("killed", measure, (0, 1, 2, 3))
system = System("killed", "Made up.", (LongBar("sum", experiment, ratio("a", "b")),), Path(accuracy.__file__))
accuracy.measure([system], None, None, False, folder / "cache", folder / "ACCURACY.md")
"""


def test_a_killed_run_goes_on_with_the_seed_it_was_killed_in(tmp_path):
    (tmp_path / "kill").touch()
    command = [sys.executable, "-c", KILLED.format(benchmarks=str(BENCHMARKS), folder=str(tmp_path))]
    assert subprocess.run(command).returncode == -9
    assert not (tmp_path / "ACCURACY.md").exists()
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "started").read_text().split() == ["0", "1", "2", "2", "3"]
    records = [json.loads(line) for line in (tmp_path / "cache" / "killed.jsonl").read_text().splitlines()]
    assert [record["seed"] for record in records] == [0, 1, 2, 3]
    assert cells((tmp_path / "ACCURACY.md").read_text(), "sum")[2] == "1.5"


def test_a_name_chooses_a_system_an_experiment_or_a_bar():
    system = made_up(numbers)
    for name in (None, "counts", "counting", "lost"):
        assert accuracy.select([system], name) == [(system, system.experiments)]
    with pytest.raises(ConfigError, match="'loss'; there are: counts, found over true"):
        accuracy.select([system], "loss")


def test_new_sections_replace_old_ones_and_leave_the_others():
    old = page("# T\n", "", {"a": "## a\n\nold a\n", "b": "## b\n\n| x |\n"})
    new = page("# New\n", old, {"a": "## a\n\nnew a\n", "c": "## c\n"})
    assert new == "# New\n\n## a\n\nnew a\n\n## b\n\n| x |\n\n## c\n"
    assert page("# New\n", new, {}) == new


def test_the_list_names_the_bars_and_a_wrong_option_is_refused(capsys):
    assert accuracy.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "streams guided (20 seeds)" in listed
    assert "coverage of the 90 % track bands, unguided" in listed
    assert accuracy.main(["--only", "nothing"]) == 2
    assert "no system, experiment or bar 'nothing'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        accuracy.main(["--seeds", "0"])


def test_the_digest_follows_the_imports(tmp_path):
    (tmp_path / "first.py").write_text("from second import f\nimport starloom.files\n")
    (tmp_path / "second.py").write_text("def f():\n    from third import g\n")
    (tmp_path / "third.py").write_text("g = 1\n")
    (tmp_path / "other.py").write_text("")
    digest = machine.source_digest(tmp_path / "first.py")
    (tmp_path / "other.py").write_text("x = 1\n")
    assert machine.source_digest(tmp_path / "first.py") == digest
    (tmp_path / "third.py").write_text("g = 2\n")
    assert machine.source_digest(tmp_path / "first.py") != digest


def test_the_streams_bars_depend_on_the_model_and_its_mock():
    waiting, seen = [BENCHMARKS / "accuracy_streams.py"], set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += machine._imported(path)
    names = {path.relative_to(machine.ROOT).as_posix() for path in seen}
    rooms = "src/starloom"
    assert {f"{rooms}/streams/mixture.py", f"{rooms}/streams/mock.py", f"{rooms}/neural/curves.py"} <= names
    assert {f"{rooms}/stats/polygon_mass.py", "benchmarks/stream_oracle.py", "benchmarks/bars.py"} <= names


def test_a_line_of_the_results_says_when_the_two_disagree():
    line = side_by_side.Comparison("adding", "loop", 0.5, 2.0, 1e-9, 1e-6, "s", 1000, "sums", "a note")
    assert line.row() == "| adding | 0.5 | 2,000 sums/s | 2 (loop) | **4** | 1.0e-09 s (<= 1e-06) |"
    for difference in (1e-3, math.nan):
        wrong = dataclasses.replace(line, difference=difference)
        assert not wrong.agrees
        assert "**disagree**" in wrong.row()
    assert "- adding: a note" in side_by_side.table([line])


# --- the streams


def test_calibration_error_of_certain_and_of_wrong_probabilities():
    p, true = np.array([0.0, 0.05, 0.95, 1.0]), np.array([False, False, True, True])
    assert accuracy_streams.calibration_error(p, true) == pytest.approx((0.05 + 0.05) / 4)
    assert accuracy_streams.calibration_error(1.0 - p, true) == pytest.approx((1.95 + 1.95) / 4)


def test_the_oracle_itself_reaches_all_of_the_oracle():
    rng = np.random.default_rng(1)
    oracle = rng.beta(0.1, 0.5, 20000)
    true = rng.random(20000) < oracle
    itself = accuracy_streams.against_oracle(oracle, true, oracle)
    assert accuracy_streams.oracle_share([itself, itself]) == pytest.approx(1.0, abs=0.01)
    # half of what it found, as pure: half of its completeness
    half = itself | {name: itself[name] // 2 for name in ("true_found", "chosen")}
    assert accuracy_streams.oracle_share([half]) == pytest.approx(0.5, abs=0.01)


def test_nothing_found_is_nothing_of_the_oracle():
    true, oracle = np.array([True, False]), np.array([0.9, 0.1])
    assert accuracy_streams.oracle_share([accuracy_streams.against_oracle(np.zeros(2), true, oracle)]) == 0.0


def test_the_probabilities_of_the_oracle_are_frequencies():
    field = mock.MockField(gd1_stream.POLYGON)
    stars = mock.make(field, 31)
    true = np.asarray(stars["component"])
    density = stream_oracle.densities(field, stars)
    total = sum(density.values())
    for name in mock.COMPONENTS:
        p, is_it = density[name] / total, true == name
        z = (is_it.sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        assert abs(z) < 4  # false alarm 6e-5 each
    p = stream_oracle.probability(field, stars)
    member = true != "background"
    for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        part = (p > low) & (p <= high)
        z = (member[part].sum() - p[part].sum()) / np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(z) < 4
    seen = np.isfinite(stars["g_mean_psf_mag"].value)
    assert p[member & seen].mean() > p[member & ~seen].mean() + 0.1  # photometry tells


def test_coverage_counts_only_where_the_selection_keeps_half():
    from astropy import units as u
    from astropy.table import QTable

    phi1 = np.array([-60.0, -50.0, -40.0])
    truth = mock.track(phi1)
    table = QTable({"phi1": phi1 * u.deg, "completeness": [0.4, 0.6, 0.9]})
    for name in accuracy_streams.COORDINATES:
        off = 2.0 if name == "phi2" else 0.0
        table[f"{name}_low"] = (truth[name] - 1.0 + [0.0, 0.0, off]) * u.one
        table[f"{name}_high"] = (truth[name] + 1.0 + [0.0, 0.0, off]) * u.one
    found = accuracy_streams.track_coverage(table)
    assert found["points"] == 2
    assert found["covered_phi2"] == 1
    assert (found["covered"], found["points_of_all"]) == (7, 8)


def test_the_plain_model_agrees_with_starlooms_likelihood():
    import torch
    from plain_stream_model import PlainStreamModel
    from speed_streams import field, fit

    from starloom.streams.mixture import PreparedStars

    fitted, table = fit(members=2, steps=8), field(1500, seed=4)
    stars = fitted.prepare(table)
    background = fitted.background.log_prob(stars)
    prepared = PreparedStars(fitted.model, stars, fitted.mixture, background)
    fitted.mixture.zero_grad()
    ours = torch.logsumexp(fitted.mixture.log_densities(prepared, fitted.mixture.curves()), dim=0)
    ours.sum().backward()
    for network in range(2):
        plain = PlainStreamModel(fitted, network, stars, background, torch.float64, nodes=96, cells=8)
        value = plain.log_likelihood()
        value.sum().backward()
        apart = (ours[network] - value).abs().detach()
        assert float(apart.mean()) < 1e-3
        assert float(apart.max()) < 0.05  # a star far off the isochrone, read off Starloom's table of distances
        for name, curves in plain.curves.items():
            layers = zip(curves.weights, curves.biases, strict=True)
            parts = [*(layer for pair in layers for layer in pair), curves.details]
            gradients = torch.cat([part.grad[network].flatten() for part in parts])
            theirs = torch.cat([gradient.flatten() for gradient in plain.gradients()[name]])
            assert float((gradients - theirs).norm()) < 0.05 * float(theirs.norm()), name


def test_the_plain_window_mass_is_a_probability():
    import torch
    from plain_stream_model import window_mass

    from starloom.stats.windows import ConvexPolygon

    square = ConvexPolygon.box((-1.0, 1.0), (-1.0, 1.0))
    zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    normal = (torch.tensor([0.0, 50.0], dtype=torch.float64), zero, one, zero, one)
    assert window_mass(square, normal, 48).tolist() == pytest.approx([math.erf(2**-0.5) ** 2, 0.0], abs=1e-12)
