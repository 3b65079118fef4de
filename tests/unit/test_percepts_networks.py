"""The annotator networks against the detectors of controlnet-aux that they stand for, at random weights; and where weights come from."""
from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.percepts import _shared, hed, lineart, pidinet
from studio import cli

pytestmark = pytest.mark.render
MODULES = {"hed": hed, "pidinet": pidinet, "lineart": lineart}
CPU = Device("cpu", torch.float32)
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)


def random_net(id: str) -> torch.nn.Module:
    torch.manual_seed(5)
    net = getattr(_shared.networks(), id)().eval()
    if id == "pidinet":                              # so that the answers spread over the range
        net.classifier.weight.data *= 100
    if id == "hed":
        torch.nn.init.normal_(net.norm, 120, 3)
        net.block1.projection.weight.data *= 30
    return net


def published(id: str, folder: Path) -> Path:
    """Random weights in the layout of the published file; PiDiNet's came out of data-parallel training."""
    state = random_net(id).state_dict()
    if id == "pidinet":
        state = {"epoch": 19, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    path = folder / next(name for name, of in _shared.PUBLISHED.items() if of == id)
    torch.save(state, path)
    return path


def detected(id: str) -> np.ndarray:
    """What the detector of controlnet-aux makes of PICTURE, uint8 [64, 128]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from controlnet_aux.hed import HEDdetector
        from controlnet_aux.lineart import LineartDetector
        from controlnet_aux.pidi import PidiNetDetector
    net = random_net(id)
    detector = {"hed": HEDdetector, "pidinet": PidiNetDetector, "lineart": lambda n: LineartDetector(n, n)}[id](net)
    return detector(PICTURE, detect_resolution=64, image_resolution=64, output_type="np")[..., 0]


def own(id: str) -> object:
    """The spec of a percept."""
    return MODULES[id].SPECS[0]


@pytest.mark.parametrize("id", MODULES)
def test_it_sees_what_the_detector_of_controlnet_aux_sees(id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared, "locate", lambda file, cache_dir: _shared.convert(published(id, tmp_path), tmp_path))
    percept = MODULES[id].load(own(id), CPU)
    seen = percept.look(torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255)
    expected = detected(id)
    assert expected.std() > 1, "the comparison must have something to compare"
    assert np.abs(seen[0, 0].numpy() * 255 - expected).max() <= 1.01, "the detector rounds down to whole levels"


@pytest.mark.parametrize("id", MODULES)
def test_weights_are_found_in_the_hub_cache_under_their_published_names(id: str, tmp_path: Path) -> None:
    repo = tmp_path / "models--lllyasviel--Annotators"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text("abc")
    folder = repo / "snapshots/abc"
    folder.mkdir(parents=True)
    prefix = "module." if id == "pidinet" else ""
    save_file({prefix + key: value for key, value in random_net(id).state_dict().items()}, folder / own(id).files[0].file)
    percept = MODULES[id].load(own(id), CPU, tmp_path)
    assert percept.bytes_resident() == own(id).bytes
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in percept.networks()[0].parameters())


@pytest.mark.parametrize("id", MODULES)
def test_converting_keeps_every_number(id: str, tmp_path: Path) -> None:
    written = load_file(_shared.convert(published(id, tmp_path), tmp_path / "new/annotators"))
    expected = random_net(id).state_dict()
    assert written.keys() == expected.keys() and all(torch.equal(written[key], expected[key]) for key in expected)


class Trap:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"norm": Trap(tmp_path / "sprung")}, tmp_path / "ControlNetHED.pth")
    with pytest.raises(BadInput, match="cannot be read safely"):
        _shared.convert(tmp_path / "ControlNetHED.pth", tmp_path / "annotators")
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "annotators").exists()


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="is not there"):
        _shared.convert(tmp_path / "sk_model.pth", tmp_path)
    (tmp_path / "other.pth").write_bytes(b"x")
    with pytest.raises(BadInput, match="none of the annotators' files.*table5_pidinet.pth"):
        _shared.convert(tmp_path / "other.pth", tmp_path)
    (tmp_path / "sk_model.pth").write_bytes(b"not a pickle")
    with pytest.raises(BadInput, match="cannot be read safely"):
        _shared.convert(tmp_path / "sk_model.pth", tmp_path)
    published("hed", tmp_path).rename(tmp_path / "sk_model.pth")
    with pytest.raises(BadInput, match="sk_model.pth does not hold the weights of this network"):
        _shared.convert(tmp_path / "sk_model.pth", tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_another_networks_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(random_net("pidinet").state_dict(), tmp_path / "ControlNetHED.safetensors")
    monkeypatch.setattr(_shared, "locate", lambda file, cache_dir: tmp_path / "ControlNetHED.safetensors")
    with pytest.raises(BadInput, match="ControlNetHED.safetensors does not hold"):
        hed.load(own("hed"), CPU)


def test_the_command_converts_into_the_users_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    home = ["--models-dir", str(tmp_path / "mine"), "--cache-dir", str(tmp_path / "cache")]
    assert cli.app(["models", "convert", str(published("pidinet", tmp_path)), *home]) == 0
    written = Path(capsys.readouterr().out.strip())
    assert written == tmp_path / "mine/annotators/table5_pidinet.safetensors" and written.exists()
    assert cli.app(["models", "list", "--json", *home]) == 0
    cards = {card["id"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["pidinet"]["here"] and cards["lines"]["here"] and not cards["hed"]["here"]
