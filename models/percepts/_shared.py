"""What the annotator networks of controlnet-aux have in common: one file of weights, published as a pickle, read as safetensors.

The published files lie in lllyasviel/Annotators as .pth, which can run code when opened, so none is opened while painting. `convert`
reads one once with torch's restricted reader, which builds tensors and nothing else, and writes what is used here.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.compat import mend_torchvision
from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.files import write_atomic
from models.spec import PerceptSpec, WeightFile
from models.weights import header, locate

REPO = "lllyasviel/Annotators"
PUBLISHED = {"ControlNetHED.pth": "hed", "table5_pidinet.pth": "pidinet", "sk_model.pth": "lineart"}
"""{file of REPO: id of the percept that it is for}."""


class Parts(NamedTuple):
    """The three networks of controlnet-aux as it defines them, without weights."""
    hed: Callable[[], nn.Module]
    pidinet: Callable[[], nn.Module]
    lineart: Callable[[], nn.Module]


def networks() -> Parts:
    """Import controlnet-aux, which takes seconds. Raises MissingWeights when it is not installed."""
    mend_torchvision()
    try:
        from controlnet_aux.hed import ControlNetHED_Apache2
        from controlnet_aux.lineart import Generator
        from controlnet_aux.pidi.model import pidinet
    except ImportError as error:
        raise MissingWeights(f"The package controlnet-aux cannot be imported ({error}).", "Start with python3 launch.py, which installs it.") from None
    return Parts(ControlNetHED_Apache2, pidinet, lambda: Generator(3, 1, 3))


def file_of(id: str) -> str:
    """The name of a percept's weights as safetensors."""
    return next(Path(name).with_suffix(".safetensors").name for name, of in PUBLISHED.items() if of == id)


def weights_of(id: str) -> WeightFile:
    return WeightFile(file_of(id), repo=REPO)


def plain(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors by the names of the network: out of a training checkpoint, and without the prefix of data-parallel training."""
    inner = state.get("state_dict", state)
    inner = inner if isinstance(inner, Mapping) else {}
    return {str(name).removeprefix("module."): value for name, value in inner.items() if isinstance(value, Tensor)}


def filled(net: nn.Module, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """`net` with these weights, in fp32, frozen. Raises BadInput when names or shapes are another network's."""
    try:
        net.load_state_dict(plain(state))
    except RuntimeError as error:
        raise BadInput(f"{name} does not hold the weights of this network ({str(error).splitlines()[-1].strip()[:120]}).",
                       f"Get the file of that name from {REPO}.") from None
    return net.float().eval().requires_grad_(False)


def read(spec: PerceptSpec, net: Callable[[Parts], nn.Module], device: Device, cache_dir: Path | None) -> nn.Module:
    """The network of `spec` on the device, in fp32: lines are cut at a threshold, and half precision would show there. Raises
    MissingWeights with the cure when its file is absent."""
    try:
        path = locate(spec.files[0], cache_dir)
    except MissingWeights as error:
        published = next(name for name, id in PUBLISHED.items() if id == spec.id)
        raise MissingWeights(f'"{spec.title}" has no weights here: {Path(spec.files[0].file).name} is not there.',
                             f"Download {published} with: hf download {REPO} {published}. "
                             f"Then convert it with: python3 launch.py models convert PATH/{published}") from error
    header(path)
    layout = {"memory_format": torch.channels_last} if device.channels_last else {}
    return filled(net(networks())(), load_file(path), path.name).to(device.name, **layout)


def convert(source: Path, folder: Path) -> Path:
    """One of the PUBLISHED pickles -> safetensors in `folder` (Catalog.annotators_dir), checked against its network; returns where.

    torch.load(weights_only=True) refuses everything but tensors and plain containers, so nothing in the file is run.
    """
    if source.name not in PUBLISHED:
        raise BadInput(f"{source.name} is none of the annotators' files.", f"Known: {', '.join(PUBLISHED)} of {REPO}.")
    if not source.is_file():
        raise MissingWeights(f"{source} is not there.", "Check the path.")
    id = PUBLISHED[source.name]
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:                       # whatever the reader stumbles over is the file's fault
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"{source.name} cannot be read safely: {said[0][:120]}", f"Download it again from {REPO}.") from None
    net = filled(getattr(networks(), id)(), state if isinstance(state, Mapping) else {}, source.name)
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    target = folder / file_of(id)
    write_atomic(target, lambda part: save_file(tensors, part))
    return target


class Network:
    """A percept over one network; what is common but `look`."""

    def __init__(self, spec: PerceptSpec, net: nn.Module) -> None:
        self.spec, self.net = spec, net

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.net.state_dict().values())
