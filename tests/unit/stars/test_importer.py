"""The published files' format, on a state made here with the names and shapes of the authors' network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from starloom.errors import ModelFileError
from starloom.stars.importer import import_published, published_names, vocabulary_of
from starloom.stars.network import PAPER, StarNetwork, count_parameters

NAMES = [*(f"bp{k}" for k in range(55)), *(f"rp{k}" for k in range(55)), "bprp", "jh", "jk", "teff", "logg", "m_h",
         "logebv", "g_fakemag"]  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(1)
    network = StarNetwork(118, PAPER).eval()
    own = network.state_dict()
    state = {theirs: own[mine].clone() for mine, theirs in published_names().items()}
    for name in list(state):
        if name.endswith(("bias_k", "bias_v")):
            state[name] = state[name].reshape(1, 1, -1)  # as torch keeps them
    torch.save({"model_state_dict": state, "optimizer": "AdamW", "epoch": 3}, folder / "weights.pt")
    norm = {"_input_mean": [0.0, *np.linspace(-1, 1, 113).tolist(), 4746.0, 2.5, -0.2, -2.4, 243.0][:119],
            "_input_std": [1.0, *np.linspace(0.1, 1, 113).tolist(), 488.0, 1.3, 0.3, 1.8, 214.0][:119]}  # fmt: skip
    config = {"tokenizer_config": {"vocabs": NAMES}, "norm_config": norm}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, network


def test_every_parameter_is_named(published):
    _, network = published
    assert set(published_names()) == set(network.state_dict())
    assert count_parameters(network) == 8_845_529


def test_it_answers_as_the_network_does(published, tmp_path):
    folder, network = published
    model = import_published(folder)
    words = model.vocabulary
    assert words.names[0] == "bp_0"
    assert words.names[113:] == ("teff", "logg", "m_h", "log_ebv", "g_fakemag")
    assert np.isinf(words.bend)
    table = {"teff": [5000.0, 4500.0], "logg": [2.0, 3.0], "j_h": [0.6, 0.5]}
    answers = model.predict(table, ["m_h"])
    kinds = torch.tensor([[112, 114, 115]] * 2)
    raw = np.array([[0.6, 5000.0, 2.0], [0.5, 4500.0, 3.0]])
    z = (raw - words.center[kinds[0] - 1]) / words.scale[kinds[0] - 1]
    with torch.inference_mode():
        found = network(kinds, torch.tensor(z, dtype=torch.float32), torch.tensor([[116]] * 2))
    mean, log_variance = (part.numpy() for part in found)
    np.testing.assert_allclose(answers["predicted_m_h"], mean[:, 0] * words.scale[115] + words.center[115], rtol=1e-4)
    np.testing.assert_allclose(
        answers["predicted_m_h_error"], np.exp(log_variance[:, 0] / 2) * words.scale[115], rtol=1e-4
    )
    # published coefficients go in as they are
    spectra = {"phot_g_mean_mag": [12.0], "bp_coefficients": np.ones((1, 55)), "rp_coefficients": np.ones((1, 55))}
    assert np.isfinite(model.predict(spectra, ["teff"])["predicted_teff"].value).all()
    model.save(tmp_path / "again")
    loaded = type(model).load(tmp_path / "again")
    assert np.isinf(loaded.vocabulary.bend)
    np.testing.assert_allclose(loaded.predict(table, ["m_h"])["predicted_m_h"], answers["predicted_m_h"], rtol=1e-5)


def test_files_of_something_else_are_told(published, tmp_path):
    folder, _ = published
    with pytest.raises(ModelFileError, match="is missing"):
        import_published(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights.pt").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="cannot be read"):
        import_published(tmp_path)
    short = {"tokenizer_config": {"vocabs": NAMES[:-1]},
             "norm_config": {key: value[:-1] for key, value in config["norm_config"].items()}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(short))
    (tmp_path / "weights.pt").write_bytes((folder / "weights.pt").read_bytes())
    with pytest.raises(ModelFileError, match="another vocabulary or size"):
        import_published(tmp_path)
    torch.save({"model_state_dict": {}}, tmp_path / "weights.pt")
    with pytest.raises(ModelFileError, match="another architecture"):
        import_published(tmp_path)
    with pytest.raises(ModelFileError, match="not that of a published"):
        vocabulary_of({"vocabs": []})
