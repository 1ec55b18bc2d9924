"""Answers and features of images on a cluster: the same bytes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from starloom import executors, read_table
from starloom.catalog.provenance import history
from starloom.galaxies import image_catalogs
from starloom.galaxies.finetune import fit
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.images import ImageForm
from starloom.galaxies.tasks import Classification


def test_answers_and_features(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(image_catalogs, "PART", 64)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(1)
    for row in range(140):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / "images" / f"g{row:03d}.png")
    (tmp_path / "images" / "g007.png").write_bytes(b"broken")
    pictures = rng.random((20, 1, 32, 32), dtype=np.float32)
    model = fit(pictures, np.arange(20) % 2, Classification([0, 1]), encoder="convnext_speck", seed=1)
    monkeypatch.chdir(tmp_path)  # where the workers are not
    source, form = image_source("images"), ImageForm(size=32, channels=1)
    for name, address in (("here", None), ("there", cluster.scheduler_address)):
        with executors.on(address):
            counts = image_catalogs.predict_file(model, source, f"answers_{name}.parquet", views=2, workers=1)
            image_catalogs.embed_file(model.encoder, source, form, f"features_{name}.parquet", workers=1)
        assert counts == {"rows": 140, "unusable": 1, "resumed": 0}
    for name in ("answers_{}.parquet", "features_{}.parquet"):
        one, other = ((tmp_path / name.format(where)).read_bytes() for where in ("here", "there"))
        assert one == other
    steps = history(read_table("answers_here.parquet"))
    assert [step["step"] for step in steps] == ["answers for images"]
    assert steps[0]["settings"]["views"] == 2
    assert history(read_table("features_here.parquet"))[0]["settings"]["encoder"] == "convnext_speck"
    assert not list(tmp_path.glob(".*"))
