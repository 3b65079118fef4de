"""Layers that know of each other: LayerDiffuse's files for a thing on a given background, a background for a given thing, and both.

SDXL (arXiv 2402.17113, section 3.2): the latents of the given layers are laid beside the noisy ones, for which the first convolution is
widened; a release is the change of the weights, in diffusers' names or in those of its WebUI extension. fg2ble and bg2ble paint the scene
from one layer, fgble2bg and bgble2fg the missing layer from the other one and the scene. SD 1.5: several pictures of a batch are painted
together (`_layer_frames`): fg2bg background and scene, bg2fg thing and scene, joint all three; Job.each says what each shows.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models import pixels
from models.adapters import layerdiffuse
from models.adapters._fit import check_fits, peek, said_arch
from models.adapters._layer_frames import FramesTogether, Shared, eyes_of, is_frames, looked, strange, units_of
from models.adapters._layerdiffuse_parts import AddedWeights
from models.adapters._lora_keys import as_in_diffusers
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Job, Picture
from models.nets.transparent import TransparentDecoder
from models.spec import SD1, SDXL, AdapterSpec, Arch, WeightFile, slug
from models.weights import locate

ORDER = 10
ROLE = "onestroke.layers"                            # in a header: which of ROLES a file is, where its name does not say
ROLES = {"fgble2bg": (2, False), "bgble2fg": (2, True), "fg2ble": (1, False), "bg2ble": (1, False),      # pictures it looks at, alpha
         "fg2bg": (1, False), "bg2fg": (1, True), "joint": (0, True)}
XL_ROLES = ("fg2ble", "bg2ble", "fgble2bg", "bgble2fg")
_GRANTS = {"joint": "joint_layers"}
_SAYS = {"fg2ble": "a scene around a given thing", "bg2ble": "a scene on a given background", "fgble2bg": "the background of a scene with a given thing",
         "bgble2fg": "the thing in a scene on a given background", "fg2bg": "a background for a given thing", "bg2fg": "a thing for a given background",
         "joint": "a thing, its background and the scene together"}
_V1, _PORT = "LayerDiffusion/layerdiffusion-v1", "rootonchair/diffuser_layerdiffuse"
_FORGE = re.compile(r"(?:model\.)?(?:diffusion_model\.|unet\.)?(.+?)(?:::diff::\d+)?$")
XL_BYTES, SD1_BYTES = 2_600_000_000, 900_000_000     # about
GREY = 0.5                                           # what shows through clear parts of a given layer, as the files were trained


def _spec(id: str, role: str, arch: Arch, files: tuple[WeightFile, ...], size: int, title: str = "", licence: str = "") -> AdapterSpec:
    pictures, alpha = ROLES[role]
    return AdapterSpec(
        id=id, title=title or f"Layers, {role} ({arch.family})", kind="layers", arch=arch, files=files, bytes=size, needs_image=pictures > 0,
        max_images=max(1, pictures), grants=(_GRANTS.get(role, role),), claims=("decoder", "layers") if alpha else ("layers",), order=ORDER,
        max_strength=1.0, knows=f"Paints {_SAYS[role]}.", licence=licence)


def _published() -> Iterator[AdapterSpec]:
    licence = "CreativeML OpenRAIL"
    for role in XL_ROLES:
        decoder = (WeightFile("vae_transparent_decoder.safetensors", repo=_V1),) if ROLES[role][1] else ()
        change = WeightFile(f"diffuser_layer_xl_{role}.safetensors", repo=_PORT)
        yield _spec(f"layerdiffuse-sdxl-{role}", role, SDXL, (change, *decoder), XL_BYTES, licence=licence)
    for role in ("fg2bg", "bg2fg", "joint"):
        decoder = (WeightFile("layer_sd15_vae_transparent_decoder.safetensors", repo=_V1),) if ROLES[role][1] else ()
        yield _spec(f"layerdiffuse-sd15-{role}", role, SD1, (WeightFile(f"layer_sd15_{role}.safetensors", repo=_V1), *decoder), SD1_BYTES, licence=licence)


SPECS = tuple(_published())


def recognise(source: str) -> AdapterSpec | None:
    """The spec of one of these files; None for any other. Raises BadInput when it does not say which it is, or its decoder is missing."""
    path = Path(source).expanduser().absolute()
    head = (peek(path) if path.suffix == ".safetensors" else None) or {}
    frames, widened = is_frames(list(head)), _widened(head)
    if not frames and not widened:
        return None
    meta = head.get("__metadata__", {})
    known = [role for role in ROLES if (role in XL_ROLES) != frames]
    role = meta.get(ROLE) or next((role for role in known if role in path.stem.lower()), "joint" if frames and _count(head) == 3 else "")
    if role not in known:
        raise BadInput(f"{path.name} does not say what it paints.", f"Let its name contain one of {', '.join(known)}.")
    files = [path, *_decoder_beside(path, role)]
    sizes = [file.stat().st_size for file in files]
    arch = said_arch(meta) or (SD1 if frames else SDXL)
    weights = tuple(WeightFile(str(file), size) for file, size in zip(files, sizes))
    return _spec(slug(path.stem), role, arch, weights, sum(sizes), path.stem, meta.get("modelspec.license", ""))


def _decoder_beside(path: Path, role: str) -> list[Path]:
    if not ROLES[role][1]:
        return []
    beside = [file for file in sorted(path.parent.glob("*.safetensors")) if layerdiffuse.part_of(peek(file) or {}) == "decoder"]
    if not beside:
        raise BadInput(f"{path.name} paints a layer with alpha, but its transparent decoder is not beside it.",
                       "Put the release's ..._vae_transparent_decoder.safetensors into the same folder.")
    return beside[:1]


def _widened(head: Mapping[str, Any]) -> bool:
    """Whether these are changes of a network whose first convolution takes one or two layers more."""
    first = next((entry for name, entry in head.items() if name != "__metadata__" and diffusers_name(name) == ("conv_in", "weight")), None)
    return first is not None and len(first["shape"]) == 4 and first["shape"][1] in (8, 12)


def _count(head: Mapping[str, Any]) -> int:
    return len({name.split(".")[4] for name in head if name.startswith("hookers.layers.0.to_q_lora.")})


def diffusers_name(name: str) -> tuple[str, str]:
    """(flat path as diffusers has it, last part) of a tensor in diffusers' names or those of single-file checkpoints and the WebUI."""
    path, _, last = _FORGE.match(name)[1].rpartition(".")
    return as_in_diffusers(path.replace(".", "_")), last


def on_grey(picture: Picture, job: Job) -> Tensor:
    """A given layer [1, 3, H, W] in [0, 1] as the files were trained to see it: clear parts grey."""
    fitted = pixels.to_tensor(pixels.cover(picture, job.extent))
    if fitted.shape[1] == 1:
        fitted = fitted.expand(1, 3, -1, -1)
    return fitted if fitted.shape[1] == 3 else GREY + (fitted[:, :3] - GREY) * fitted[:, 3:]


class WithAlpha:
    """The transparent decoder of every `every`-th picture of the batch; the others are opaque."""

    def __init__(self, spec: AdapterSpec, decoder: TransparentDecoder, device: Device, every: int = 1) -> None:
        self.reads, self.every = layerdiffuse.RgbaAdapter(spec, None, decoder, device), every

    def __call__(self, base: Base, latents: Tensor, strength: float) -> Tensor:
        """latents [B, C, h, w] -> straight rgba [B, 4, H, W] in [0, 1]."""
        self.reads.set_strength(strength)
        if strength == 0:
            return base.decode(latents)
        seen = self.reads._decode(base, latents[::self.every])
        if self.every == 1:
            return seen
        opaque = base.decode(latents)
        out = torch.cat([opaque, torch.ones_like(opaque[:, :1])], 1)
        out[::self.every] = seen.to(out)
        return out


class _Layers:
    """What both kinds share."""

    def __init__(self, spec: AdapterSpec, tensors: Mapping[str, Tensor], alpha: WithAlpha | None) -> None:
        self.spec, self.tensors, self.alpha, self.strength = spec, dict(tensors), alpha, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    def _decoder(self, base: Base) -> Any:
        return (lambda latents: self.alpha(base, latents, self.strength)) if self.alpha else None

    def bytes_resident(self) -> int:
        own = sum(t.numel() * t.element_size() for t in self.tensors.values())
        return own + (self.alpha.reads.bytes_resident() if self.alpha else 0)


class FirstConvolution(nn.Module):
    """The network's own first convolution plus the change, which also sees the latents of given layers: W x + s * delta (x, given)."""

    def __init__(self, plain: nn.Module, delta: Tensor, strength: Any) -> None:
        super().__init__()
        self.plain, self.given, self.strength = plain, None, strength
        self.delta = nn.Parameter(delta, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        out, strength = self.plain(x), self.strength()
        if self.given is None or strength == 0:
            return out
        seen = torch.cat([x, self.given.to(x).expand(len(x), -1, -1, -1)], 1)
        return torch.add(out, F.conv2d(seen, self.delta.to(x), padding=self.plain.padding), alpha=strength)


class WidenedLayers(_Layers):
    """SDXL."""

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        deltas, first = self._fitted(base)
        added = AddedWeights(self.spec, deltas)
        added.set_strength(self.strength)
        with added.attach(base):
            plain = base.network.conv_in
            base.network.conv_in = FirstConvolution(plain, first, lambda: self.strength)
            conv = base.network.conv_in
            try:
                yield Hooks(prepare=lambda job, use: self._prepare(base, conv, added, job, use), decode=self._decoder(base))
            finally:
                base.network.conv_in = plain

    def _fitted(self, base: Base) -> tuple[dict[str, Tensor], Tensor]:
        """(the changes by names of the base, the change of the first convolution)."""
        by_flat = {name.replace(".", "_"): name for name, _ in base.network.named_modules()}
        out: dict[str, Tensor] = {}
        for name, delta in self.tensors.items():
            flat, last = diffusers_name(name)
            if flat not in by_flat:
                raise Incompatible(f'"{self.spec.title}" changes {name}, which "{base.spec.title}" does not have.', "Choose one made for this base.")
            out[f"{by_flat[flat]}.{last}"] = delta
        first = out.pop("conv_in.weight")
        own = base.network.conv_in.weight
        if first.shape[0] != own.shape[0] or first.shape[1] <= own.shape[1] or first.shape[2:] != own.shape[2:]:
            shapes = f"{tuple(first.shape)} for the first convolution, which is {tuple(own.shape)}"
            raise Incompatible(f'"{self.spec.title}" brings {shapes}.', "Choose one made for this base.")
        return out, first

    def _prepare(self, base: Base, conv: FirstConvolution, added: AddedWeights, job: Job, use: AdapterUse) -> None:
        added.set_strength(self.strength)
        conv.given = None
        if self.strength == 0:
            return
        wanted = conv.delta.shape[1] // base.latent_channels - 1
        if len(use.images) != wanted:
            raise BadInput(f'"{self.spec.title}" looks at {wanted} layers, not {len(use.images)}.', "Give it the layer, and then the scene.")
        conv.given = torch.cat([base.encode(on_grey(picture, job).to(base.device)) for picture in use.images], 1)


class FrameLayers(_Layers):
    """SD 1.5."""

    def __init__(self, spec: AdapterSpec, tensors: Mapping[str, Tensor], alpha: WithAlpha | None) -> None:
        super().__init__(spec, tensors, alpha)
        self.units, self.eyes = units_of(tensors), eyes_of(tensors)
        self.frames = next(iter(self.units.values())).frames
        if alpha:
            alpha.every = self.frames

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        layers = {name.replace(".", "_"): module for name, module in base.network.named_modules()}
        if lost := [flat for flat in self.units if flat not in layers]:
            raise Incompatible(f'"{self.spec.title}" changes {lost[0]}, which "{base.spec.title}" does not have.', "Choose one for SD 1.5.")
        shared = Shared(lambda: self.strength)
        wraps = [(layers[flat], layers[flat].processor, unit) for flat, unit in self.units.items()]
        for layer, found, unit in wraps:
            layer.set_processor(FramesTogether(found, unit, shared))
        try:
            yield Hooks(prepare=lambda job, use: self._prepare(base, shared, job, use), decode=self._decoder(base))
        finally:
            for layer, found, _ in wraps:
                layer.set_processor(found)

    def _prepare(self, base: Base, shared: Shared, job: Job, use: AdapterUse) -> None:
        shared.active, shared.maps = False, {}
        if self.strength == 0:
            return
        if len(job.seeds) % self.frames:
            raise BadInput(f'"{self.spec.title}" paints {self.frames} pictures together, not {len(job.seeds)}.', f"Give {self.frames} seeds, or twice as many.")
        if self.eyes:
            shared.maps = looked(self.eyes, on_grey(use.image, job).to(base.device) * 2 - 1)
        shared.active = True


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> WidenedLayers | FrameLayers:
    """Read the change and, for layers with alpha, the decoder."""
    paths = [locate(file, cache_dir) for file in spec.files]
    change = load_file(paths[0])
    if is_frames(list(change)) and (more := strange(list(change))):
        raise Incompatible(f'"{spec.title}" holds tensors of no known kind: {", ".join(more[:3])}.', "Download it again.")
    moved = {name: tensor.to(device.name, device.dtype) for name, tensor in change.items()}
    alpha = None
    if len(paths) > 1:
        tensors = load_file(paths[1])
        try:
            alpha = WithAlpha(spec, layerdiffuse._filled(TransparentDecoder.of(tensors), tensors, paths[1].name), device)
        except (KeyError, ValueError) as error:
            raise MissingWeights(f"{paths[1].name} is no transparent decoder.", "Download it again.") from error
    return FrameLayers(spec, moved, alpha) if is_frames(list(change)) else WidenedLayers(spec, moved, alpha)
