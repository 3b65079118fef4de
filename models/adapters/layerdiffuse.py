"""Pictures with alpha: LayerDiffuse (Zhang & Agrawala 2024, arXiv 2402.17113) for SDXL and SD 1.5, and its like for the embedded base.

A release is several files: the change of the UNet (weights to add, a LoRA, or attention sharing), the transparent decoder, and an
encoder that only editing needs. Give the folder they lie in, or any of them. For the embedded base all is in one file of kind
onestroke.rgba (models/nets/rgba.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models import checkpoint
from models.adapters._fit import check_fits, own_header, peek, said_arch
from models.adapters._layerdiffuse_parts import SHARING, AddedWeights, SharedAttention
from models.adapters._lora_keys import places
from models.adapters._networks import shipped
from models.adapters.lora import Factors, LoraAdapter
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.nets.prepack import prepack
from models.nets.rgba import DECODER, KIND, RgbaDecoder, pad_colours
from models.nets.transparent import OffsetEncoder, TransparentDecoder, decode_views
from models.pixels import blend
from models.spec import EMBEDDED, SD1, SDXL, AdapterSpec, WeightFile, slug
from models.weights import locate

ORDER = 10  # before LoRAs, which then sit on the changed layers
PLAIN_CHANNELS = 4
VIEWS = {"cpu": 1}  # turned readings of the decoder whose median is taken; elsewhere all 8
BY_WIDTH = {arch.context_dim: arch for arch in (SD1, SDXL)}
_COMMON: dict[str, Any] = dict(kind="rgba", grants=("rgba",), claims=("decoder",), order=ORDER, max_strength=1.0)
_KNOWS = "Paints a subject with a transparent background, ready to be a layer or a sticker."
_LD, _V1 = "lllyasviel/LayerDiffuse_Diffusers", "LayerDiffusion/layerdiffusion-v1"
_FILES = {
    "layerdiffuse-sdxl": (SDXL, _LD, [f"ld_diffusers_sdxl_{p}.safetensors" for p in ("attn", "vae_transparent_decoder", "vae_transparent_encoder")]),
    "layerdiffuse-sd15": (SD1, _V1, [f"layer_sd15_{p}.safetensors" for p in ("transparent_attn", "vae_transparent_decoder", "vae_transparent_encoder")]),
}
SPECS = tuple(
    AdapterSpec(id=id, title=f"Transparent ({arch.family})", arch=arch, files=tuple(WeightFile(name, repo=repo) for name in names),
                bytes=1_200_000_000, knows=_KNOWS, licence="CreativeML OpenRAIL", **_COMMON)
    for id, (arch, repo, names) in _FILES.items())  # fmt: skip


def recognise(source: str) -> AdapterSpec | None:
    """The spec of an onestroke.rgba file, or of a release; None for anything else. Raises BadInput when a release lacks a part."""
    path = Path(source).expanduser().absolute()
    if path.suffix == ".safetensors" and (meta := own_header(path, KIND)) is not None:
        return _own(path, meta, WeightFile(str(path), path.stat().st_size))
    if not path.is_dir() and part_of(peek(path) or {}) not in ("decoder", "added", "sharing"):
        return None
    folder = path if path.is_dir() else path.parent
    found = {part: file for file in sorted(folder.glob("*.safetensors")) if (part := part_of(peek(file) or {}))}
    return _release(folder.name, found) if "decoder" in found else None


def _own(path: Path, meta: Mapping[str, str], file: WeightFile) -> AdapterSpec:
    return AdapterSpec(
        id=slug(path.stem), title=meta.get("modelspec.title", path.stem), arch=said_arch(meta) or EMBEDDED, bytes=file.bytes,
        files=(file,), knows=_KNOWS, licence=meta.get("modelspec.license", ""), **_COMMON)  # fmt: skip


SPECS += tuple(_own(p, own_header(p, KIND) or {}, WeightFile(f"adapters/{p.name}", p.stat().st_size)) for p in shipped(KIND))


def part_of(head: Mapping[str, Any]) -> str:
    """Which part of a release a file with these tensor names is: decoder, encoder, added, lora, sharing; "" for none of them, also for
    what paints under or over another layer (models/adapters/layerdiffuse_layers.py)."""
    names = [name for name in head if name != "__metadata__"]
    if "latent_conv_in.weight" in head:
        return "decoder"
    if "blocks.0.weight" in head and "blocks.16.weight" in head:
        return "encoder"
    if any(name.startswith(SHARING) for name in names):
        return "" if any("to_q_lora.1." in name for name in names) else "sharing"
    if len(head.get("conv_in.weight", {}).get("shape", ())) == 4 and head["conv_in.weight"]["shape"][1] != PLAIN_CHANNELS:
        return ""
    if names and all(name.startswith(("down_blocks.", "up_blocks.", "mid_block.", "conv_", "time_", "add_")) for name in names):
        return "added"
    found, strange = places(names)
    return "lora" if found and not strange else ""


def _release(name: str, found: dict[str, Path]) -> AdapterSpec:
    change = next((part for part in ("added", "sharing", "lora") if part in found), None)
    if change is None:
        raise BadInput(
            f"{name} has the transparent decoder, but not the change of the network that goes with it.",
            "Put the release's attention file (its name ends in attn.safetensors) into the same folder.",
        )
    head = peek(found[change]) or {}
    words = {e["shape"][1] for key, e in head.items() if "attn2" in key and key.endswith(("to_k.weight", "to_k.lora_A.weight", "to_k.lora.down.weight"))}
    arch = said_arch(head.get("__metadata__", {})) or (SD1 if change == "sharing" else next((BY_WIDTH[w] for w in words if w in BY_WIDTH), None))
    if arch is None:
        raise BadInput(f"{found[change].name} does not show which base it was made for.", "Get the release for SDXL or SD 1.5.")
    files = [found[part] for part in (change, "decoder", "encoder") if part in found]
    sizes = [file.stat().st_size for file in files]
    return AdapterSpec(
        id=slug(name), title=name, arch=arch, files=tuple(WeightFile(str(f), s) for f, s in zip(files, sizes)), bytes=sum(sizes),
        knows=_KNOWS, licence=head.get("__metadata__", {}).get("modelspec.license", ""), **_COMMON)  # fmt: skip


class RgbaAdapter:
    """A change of the network (or none) and a decoder with alpha. Strength below 1 fades towards the opaque picture."""

    def __init__(self, spec: AdapterSpec, change: Any | None, net: nn.Module, device: Device, encoder: OffsetEncoder | None = None) -> None:
        layout = torch.channels_last if device.channels_last else torch.contiguous_format
        self.net = net.to(device.name, device.dtype, memory_format=layout).eval().requires_grad_(False)
        self.encoder = encoder and encoder.to(device.name).eval().requires_grad_(False)
        self.spec, self.change, self.dtype, self.strength = spec, change, device.dtype, 1.0
        self.views = VIEWS.get(device.name, 8)

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        if self.change:
            self.change.set_strength(strength)

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Change the network; leaving puts the very same tensors back. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        with ExitStack() as held:
            if self.change:
                held.enter_context(self.change.attach(base))
            yield Hooks(decode=lambda latents: self._decode(base, latents))

    def _decode(self, base: Base, latents: Tensor) -> Tensor:
        """latents [B, C, h, w] -> straight rgba [B, 4, H, W] in [0, 1]; at strength 0 what the base decodes."""
        if self.strength == 0:
            return base.decode(latents)
        rgb = base.decode(latents) if self.strength < 1 or isinstance(self.net, TransparentDecoder) else None
        rgba = self._see(base, rgb, latents)
        if self.strength == 1:
            return rgba
        return blend(torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1), rgba, rgb.new_full((1, 1, 1, 1), self.strength))

    def _see(self, base: Base, rgb: Tensor | None, latents: Tensor) -> Tensor:
        if isinstance(self.net, RgbaDecoder):
            return self.net(latents.to(self.dtype)).float().clamp(0, 1)
        plain = latents / base.vae.config.scaling_factor
        one = lambda r, z: self.net(r.to(self.dtype), z.to(self.dtype)).float()
        return torch.cat([decode_views(one, rgb[i : i + 1], plain[i : i + 1], self.views) for i in range(len(latents))])

    @torch.no_grad()
    def encode(self, base: Base, rgba: Tensor) -> Tensor:
        """Straight rgba [B, 4, H, W] in [0, 1] -> latents that remember its alpha, in the scale of `base`. Needs the encoder file."""
        if self.encoder is None:
            raise MissingWeights(f'"{self.spec.title}" came without its encoder.', "Put ..._transparent_encoder.safetensors beside it.")
        seen = (rgba[:, :3] * 2 - 1) * rgba[:, 3:]
        spread = base.vae.encode(seen.to(base.vae.dtype)).latent_dist
        moved = self.encoder(torch.cat([rgba[:, 3:], pad_colours(rgba)], 1).float())
        return (spread.mean.float() + spread.std.float() * moved) * base.vae.config.scaling_factor

    def bytes_resident(self) -> int:
        nets = [net for net in (self.net, self.encoder) if net is not None]
        own = sum(p.numel() * p.element_size() for net in nets for p in net.parameters())
        return own + (self.change.bytes_resident() if self.change else 0)


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> RgbaAdapter:
    """Read one onestroke.rgba file, or the parts of a release."""
    paths = [locate(file, cache_dir) for file in spec.files]
    if len(paths) == 1:
        return _load_own(spec, paths[0], device)
    parts = {part_of(peek(path) or {}): path for path in paths}
    tensors = {part: load_file(path) for part, path in parts.items()}
    if "decoder" not in parts:
        raise MissingWeights(f'"{spec.title}" lost its transparent decoder.', "Download it again.")
    decoder = _filled(TransparentDecoder.of(tensors["decoder"]), tensors.pop("decoder"), parts["decoder"].name)
    encoder = None
    if "encoder" in tensors:
        widths = tuple(tensors["encoder"][f"blocks.{2 * i}.weight"].shape[0] for i in range(8))
        encoder = _filled(OffsetEncoder(widths), tensors.pop("encoder"), parts["encoder"].name)
    (part, change), *_ = tensors.items()
    return RgbaAdapter(spec, _change(spec, part, change, device), decoder, device, encoder)


def _change(spec: AdapterSpec, part: str, tensors: dict[str, Tensor], device: Device) -> Any:
    moved = {name: tensor.to(device.name, device.dtype) for name, tensor in tensors.items()}
    if part == "lora":
        return lora_of(spec, moved)
    return AddedWeights(spec, moved) if part == "added" else SharedAttention(spec, moved)


def _load_own(spec: AdapterSpec, path: Path, device: Device) -> RgbaAdapter:
    saved = checkpoint.load(path, KIND)
    decoder = RgbaDecoder(saved.config["channels"], tuple(saved.config["widths"]))
    own = {name.removeprefix(DECODER): tensor for name, tensor in saved.tensors.items() if name.startswith(DECODER)}
    _filled(decoder, own, path.name)
    rest = {name: t.to(device.name, device.dtype) for name, t in saved.tensors.items() if not name.startswith(DECODER)}
    adapter = RgbaAdapter(spec, lora_of(spec, rest) if rest else None, decoder, device)
    if device.packs_weights:
        prepack(adapter.net)
    return adapter


def lora_of(spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> LoraAdapter:
    """A LoRA from tensors in PEFT or kohya names; its scale is alpha / rank where alpha is given, else 1."""
    found, strange = places(tensors)
    if strange:
        raise Incompatible(f'"{spec.title}" holds tensors of no known kind: {", ".join(strange[:3])}.', "Export it again.")
    factors = {}
    for place, roles in found.items():
        down, up = tensors[roles["down"]], tensors[roles["up"]]
        factors[place] = Factors(down, up, float(tensors[roles["alpha"]]) / len(down) if "alpha" in roles else 1.0)
    return LoraAdapter(spec, factors)


def _filled(net: nn.Module, tensors: Mapping[str, Tensor], name: str) -> Any:
    try:
        net.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise MissingWeights(f"{name} is incomplete ({str(error).splitlines()[-1].strip()[:120]}).", "Download or export it again.") from error
    return net
