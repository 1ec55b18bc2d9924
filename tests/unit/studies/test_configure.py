from __future__ import annotations

import pydantic
import pytest

from starloom.errors import ConfigError
from starloom.studies import registry
from starloom.studies.study import command, configure


def test_presets_and_overrides_and_their_order(toy):
    assert configure(toy.STUDY).stars == 400
    tour = configure(toy.STUDY, preset="tour", seed=7, workers=1)
    assert (tour.stars, tour.fit.steps, tour.seed, tour.workers, tour.preset) == (60, 2, 7, 1, "tour")
    settings = ["stars=50", "fit.steps = 9", "cuts=[0.1, 0.2]", "label=12", "seed=5"]
    own = configure(toy.STUDY, preset="tour", overrides=settings)
    assert (own.stars, own.fit.steps, own.cuts, own.label, own.seed) == (50, 9, (0.1, 0.2), "12", 5)
    assert toy.PRESETS["tour"] == {"stars": 60, "fit": {"steps": 2}}, "a preset is not changed by an override"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "slow"}, "unknown preset 'slow': choose from tour, quick, full"),
        ({"seed": -1}, "seed: .*greater than or equal to 0, got -1"),
        ({"workers": 0}, "workers: "),
        ({"overrides": ["stras=3"]}, "no setting 'stras'; did you mean 'stars'"),
        ({"overrides": ["zzz=3"]}, r"no setting 'zzz'\. Its settings: cuts, fit.kill_at, .*stars, workers"),
        ({"overrides": ["fit=3"]}, "no setting 'fit'"),
        ({"overrides": ["preset=tour"]}, "no setting 'preset'"),
        ({"overrides": ["stars"]}, "write key=value"),
        ({"overrides": ["=3"]}, "write key=value"),
        ({"overrides": ["stars=many"]}, "toy: stars: .*got 'many'"),
        ({"overrides": ["stars=NaN"]}, "toy: stars"),
        ({"overrides": ["stars=0"]}, "toy: stars"),
        ({"overrides": ["fit.steps=0"]}, "toy: fit.steps"),
        ({"overrides": ["cuts={}"]}, "toy: cuts"),
    ],
)
def test_bad_settings_say_what_to_do(toy, settings, message):
    with pytest.raises(ConfigError, match=message):
        configure(toy.STUDY, **settings)


def test_a_configuration_is_frozen_and_takes_no_unknown_name(toy):
    config = configure(toy.STUDY)
    with pytest.raises(pydantic.ValidationError):
        config.stars = 3
    with pytest.raises(pydantic.ValidationError):
        toy.Config(nothing=1)


def test_the_command_gives_the_same_configuration_again(toy):
    config = configure(toy.STUDY, preset="tour", overrides=["stars=50", "label=it's", "cuts=[0.25]"], seed=3)
    line = command(toy.STUDY, config, "my stars.fits")
    assert line == (
        "starloom run toy --preset tour --seed 3 --data 'my stars.fits' --set stars=50 "
        "--set 'label=it'\"'\"'s' --set 'cuts=[0.25]'"
    )


def test_registry(toy):
    assert "gd1-stream" in registry.names()
    assert registry.get("toy").name == "toy"
    with pytest.raises(ConfigError, match="no study is called 'gd1_strem'; did you mean 'gd1-stream'"):
        registry.get("gd1_strem")
