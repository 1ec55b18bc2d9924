import collections
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from starloom.errors import ConfigError, ModelFileError
from starloom.galaxies import weight_files
from starloom.galaxies.encoder_weights import (
    export_state,
    load_encoder,
    load_weights,
    recognize,
    save_encoder,
)
from starloom.galaxies.encoders import as_encoder, count_parameters, encoder, names
from starloom.galaxies.inference_engine import prepared

SMALL = ("convnext_speck", "resnet_speck", "efficientnet_lite_speck")
PUBLISHED = {  # millions of parameters without the classifier, and features
    "convnext_atto": (3.37, 320), "convnext_pico": (8.53, 512), "convnext_nano": (14.95, 640),
    "convnext_tiny": (27.82, 768), "convnext_small": (49.45, 768), "convnext_base": (87.57, 1024),
    "convnext_large": (196.23, 1536), "resnet18": (11.18, 512), "resnet50": (23.51, 2048), "resnet101": (42.50, 2048),
    "efficientnet_lite0": (3.37, 1280),
}  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", names())
def test_sizes_are_the_published_ones_and_parts_hold_every_parameter(name):
    with torch.device("meta"):
        made = encoder(name)
    if name in PUBLISHED:
        assert (round(count_parameters(made) / 1e6, 2), made.out_features) == PUBLISHED[name]
    in_parts = [id(p) for part in made.parts() for module in part for p in module.parameters()]
    assert sorted(in_parts) == sorted(map(id, made.parameters()))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_batch_gives_one_vector_an_image(name, channels):
    made = encoder(name, channels).eval()
    with torch.no_grad():
        for size in (33, 64):
            found = made(torch.rand(1, channels, size, size + 3))
            assert found.shape == (1, made.out_features)
            assert torch.isfinite(found).all()
    with pytest.raises(ConfigError, match="takes images of shape"):
        made(torch.rand(1, channels + 1, 33, 33))


def test_timm_names():
    keys = set(encoder("convnext_speck").state_dict())
    assert {
        "stem.0.weight", "stem.1.bias", "stages.0.blocks.0.conv_dw.weight", "stages.1.downsample.0.weight",
        "stages.1.downsample.1.bias", "stages.2.blocks.1.gamma", "stages.3.blocks.0.mlp.fc2.bias", "head.norm.weight",
    } <= keys  # fmt: skip
    keys = set(encoder("resnet_speck").state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer2.0.downsample.1.weight", "layer4.0.conv2.weight"} <= keys
    keys = set(encoder("efficientnet_lite_speck").state_dict())
    assert {"conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.1.0.conv_pwl.weight", "bn2.bias"} <= keys


@pytest.mark.parametrize("layout", ["timm", "zoobot"])
@pytest.mark.parametrize("name", [*SMALL, "convnext_atto"])
def test_layouts_round_trip_bit_for_bit(tmp_path, name, layout, images):
    made = encoder(name).eval()
    state = export_state(made, layout)
    if name == "convnext_atto":  # timm's small ConvNeXts have convolutions for perceptrons
        assert state[("encoder." if layout == "zoobot" else "") + "stages.0.blocks.0.mlp.fc1.weight"].dim() == 4
    if layout == "zoobot":  # a Lightning checkpoint, its head beside the encoder
        state |= {"head.1.weight": torch.rand(4, made.out_features), "head.1.bias": torch.rand(4)}
        path = tmp_path / "last.ckpt"
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:  # with timm's classifier
        state |= {"head.fc.weight": torch.rand(9, made.out_features)} if "convnext" in name else {}
        path = tmp_path / "model.safetensors"
        save_file(state, path)
    assert recognize(state) == (name, 3)
    loaded = load_encoder(path)
    for key, value in made.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    with torch.no_grad():
        assert torch.equal(made(images), loaded(images))


def test_checkpoints_with_foreign_classes_give_their_tensors_and_run_nothing(tmp_path, monkeypatch):
    ran = []

    class Foreign:
        def __init__(self):
            self.answer = 42

        def __setstate__(self, state):
            ran.append(state)

        def __reduce__(self):
            return (_trap, ())

    def _trap():
        ran.append("run")

    module = types.ModuleType("somewhere_else")
    Foreign.__module__ = _trap.__module__ = module.__name__
    Foreign.__qualname__, _trap.__qualname__ = "Foreign", "_trap"
    module.Foreign, module._trap = Foreign, _trap
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made = encoder("convnext_speck", 1)
    path = tmp_path / "zoobot.ckpt"
    content = {"state_dict": export_state(made, "zoobot"), "hyper_parameters": {"schema": Foreign(), "a": [Foreign()]}}
    torch.save(content, path)
    ran.clear()
    loaded = load_encoder(path)
    assert ran == []
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), loaded.state_dict().values(), strict=True))


def test_other_channels_see_equal_channels_alike(tmp_path):
    color, path = encoder("resnet_speck").eval(), tmp_path / "color.safetensors"
    save_file(export_state(color), path)
    gray = load_encoder(path, channels=1)
    picture = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        assert torch.allclose(gray(picture), color(picture.expand(-1, 3, -1, -1)), atol=1e-5)
    save_file(export_state(gray), path)
    again = load_encoder(path, channels=3)
    with torch.no_grad():
        assert torch.allclose(again(picture.expand(-1, 3, -1, -1)), gray(picture), atol=1e-5)


def test_saved_encoders_come_back(tmp_path, images):
    made = encoder("convnext_speck", 3, depths=(1, 1, 1, 1), mean=[0.4, 0.5, 0.6], scale=0.2).eval()
    save_encoder(made, tmp_path / "whole", {"steps": 3})
    loaded = load_encoder(tmp_path / "whole")
    with torch.no_grad():
        assert torch.equal(loaded(images), made(images))
        save_encoder(made, tmp_path / "half", half=True)
        assert torch.allclose(load_encoder(tmp_path / "half")(images), made(images), atol=5e-3)
    with pytest.raises(ConfigError, match="one's own module"):
        save_encoder(as_encoder(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))), tmp_path / "own")


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    made = encoder("convnext_speck")
    before = {key: value.clone() for key, value in made.state_dict().items()}
    state = export_state(made)
    with pytest.raises(ModelFileError, match=r"missing, first 'stem\.0\.weight'"):
        load_weights(made, {key: value for key, value in state.items() if key != "stem.0.weight"})
    with pytest.raises(ModelFileError, match="shape"):
        load_weights(made, {**state, "stem.0.bias": torch.zeros(5)})
    with pytest.raises(ModelFileError, match="no place"):
        load_weights(made, {**state, "stages.9.weight": torch.zeros(5)})
    assert all(torch.equal(before[key], value) for key, value in made.state_dict().items())
    with pytest.raises(ModelFileError, match="none of the encoders"):
        recognize({"conv1.weight": torch.zeros(4, 3, 7, 7)})
    with pytest.raises(ModelFileError, match="no first layer"):
        recognize({"something.weight": torch.zeros(4)})
    (tmp_path / "damaged.pt").write_bytes(b"not a file of torch")
    for bad, message in (("damaged.pt", "cannot be read"), ("absent.pt", "is no file")):
        with pytest.raises(ModelFileError, match=message):
            load_encoder(tmp_path / bad)
    torch.save({"a": 1}, tmp_path / "empty.pt")
    with pytest.raises(ModelFileError, match="no named tensors"):
        weight_files.read_tensors(tmp_path / "empty.pt")
    torch.save(collections.OrderedDict(state), tmp_path / "fine.pth")
    assert load_encoder(tmp_path / "fine.pth").settings["name"] == "convnext_speck"


def test_layout_of_the_package_registry():
    """A made-up file in that layout: numbered blocks, names with underscores, a classifier."""
    made = encoder("efficientnet_lite0")
    own = made.state_dict()
    theirs, number = {}, 0
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    other = {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
        "conv_pwl": "_project_conv", "bn3": "_bn2",
    }  # fmt: skip
    for place, stage in enumerate(made.blocks):
        for block in range(len(stage)):
            for key, value in own.items():
                if key.startswith(f"blocks.{place}.{block}."):
                    layer, rest = key.split(".")[3:]
                    theirs[f"_blocks.{number}.{(first if place == 0 else other)[layer]}.{rest}"] = value + 0.5
            number += 1
    for mine, its in (("conv_stem", "_conv_stem"), ("bn1", "_bn0"), ("conv_head", "_conv_head"), ("bn2", "_bn1")):
        theirs |= {f"{its}.{k.split('.')[1]}": v + 0.5 for k, v in own.items() if k.startswith(f"{mine}.")}
    theirs |= {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    assert recognize(theirs) == ("efficientnet_lite0", 3)
    expected = {key: value + 0.5 for key, value in own.items()}
    load_weights(made, theirs)
    for key, value in made.state_dict().items():
        assert torch.equal(value, expected[key].to(value.dtype)), key
    with pytest.raises(ModelFileError, match="another one"):
        load_weights(encoder("convnext_speck"), theirs)


def test_any_module_is_an_encoder(images):
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made = as_encoder(module)
    assert made.out_features == 6
    assert len(made.parts()) == 3
    assert made(images).shape == (2, 6)
    with pytest.raises(ConfigError, match="one vector an image"):
        as_encoder(nn.Conv2d(3, 6, 3))
    with pytest.raises(ConfigError, match="a name or a torch module"):
        as_encoder(3)


def test_norms_in_convolutions_change_nothing(images):
    for name in SMALL[1:]:
        made = encoder(name).train()
        with torch.no_grad():
            made(torch.rand(4, 3, 64, 64))
            made.eval()
            fused = prepared(made)
            assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.blocks.modules()) if "lite" in name else True
            assert torch.allclose(fused(images), made(images), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encoder("convnext_nanno"), "did you mean 'convnext_nano'"),
        (lambda: encoder("convnext_speck", depth=3), "does not take"),
        (lambda: encoder("convnext", depths=(1, 1), widths=(4,)), "must be as many"),
        (lambda: encoder("resnet", depths=(1,), widths=(4,)), "four depths"),
        (lambda: encoder("efficientnet_lite", width=-1.0), "must be positive"),
        (lambda: encoder("convnext_speck", 0), "needs channels"),
        (lambda: encoder("convnext_speck", 3, scale=0.0), "positive scale"),
        (lambda: encoder("convnext_speck")(torch.rand(1, 3, 16, 16)), "too small"),
        (lambda: encoder("timm:convnext_nano"), "cannot be imported|timm"),
        (lambda: load_encoder("hf_hub:nobody/nothing"), "huggingface_hub|could not be had"),
    ],
)
def test_wrong_settings_are_said(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_timm_models_are_wrapped_when_timm_is_there(monkeypatch, images):
    timm = types.ModuleType("timm")
    asked = {}

    def create_model(name, num_classes, in_chans, **size):
        asked.update(name=name, num_classes=num_classes, in_chans=in_chans, **size)
        return nn.Sequential(nn.Conv2d(in_chans, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    made = encoder("timm:maxvit_tiny", 3, drop_path_rate=0.1, mean=0.5)
    assert asked == {"name": "maxvit_tiny", "num_classes": 0, "in_chans": 3, "drop_path_rate": 0.1}
    assert made(images).shape == (2, 7)
