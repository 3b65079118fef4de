"""IP-Adapter (Ye et al. 2023): pictures as a prompt, the basic form (four tokens of one vector) and the plus form (a resampler).

Published files (`image_proj.*`, `ip_adapter.N.to_k_ip.weight`) look through CLIP, whose folder has to be there; our own
(models.nets.image_prompt, kind "onestroke.image_prompt") carry what looks. Several pictures are read together.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from models import checkpoint
from models.adapters._fit import check_fits, said_arch
from models.adapters._image_eye import ClipEye, OwnEye, clip_eye
from models.adapters._networks import AGAIN, BY_TEXT_WIDTH, filled, name_of, shapes_of, shipped
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Job
from models.nets.image_prompt import HEAD_WIDTH, KIND, ImagePrompt, Look, attached, build, cross_attention
from models.spec import AdapterSpec, WeightFile, slug
from models.weights import header, locate

PICTURES, SETS_KEPT = 4, 4                           # pictures a job may show; picture sets an adapter remembers
PROJECTION, LAYERS = "image_proj.", "ip_adapter."
NOT_PLAIN = {"lora": "an IP-Adapter FaceID", "perceiver_resampler": "an IP-Adapter FaceID Plus", "proj.0.": "an IP-Adapter FaceID or full-face one"}
Shapes = Mapping[str, tuple[int, ...]]


def recognise(source: str) -> AdapterSpec | None:
    """The spec of an IP-Adapter file; None for anything else. Raises StudioError for a broken one or a kind that cannot be used."""
    path = Path(source).expanduser().absolute()
    return _spec(path, WeightFile(str(path), path.stat().st_size)) if path.is_file() else None


def _spec(path: Path, file: WeightFile) -> AdapterSpec | None:
    head = header(path)
    meta = head.get("__metadata__", {})
    config = _config(path.name, head)
    if config is None:
        return None
    width = config["projection"]["context"]
    arch = said_arch(meta) or BY_TEXT_WIDTH.get(width)
    if arch is None:
        raise BadInput(f"{path.name} is made for a text width of {width}, which no base here has.", "Get the one for SD 1.5 or SDXL.")
    name = name_of(path)
    return AdapterSpec(
        id=slug(name), title=meta.get("modelspec.title") or name, kind="image_prompt", arch=arch, files=(file,), bytes=path.stat().st_size,
        needs_image=True, max_images=PICTURES, order=55, licence=meta.get("modelspec.license", ""),
        knows=meta.get("modelspec.description") or "Takes over subject, colours and look of up to four pictures.")


def _config(name: str, head: Mapping[str, Any]) -> dict[str, Any] | None:
    """What models.nets.image_prompt.build takes: said by our own header, else seen from shapes; None for another kind of file."""
    meta, shapes = head.get("__metadata__", {}), shapes_of(head)
    if "onestroke.kind" in meta:                     # another kind of ours may have layers by these names
        return json.loads(meta["onestroke.config"]) if meta["onestroke.kind"] == KIND else None
    if not any(key.startswith(LAYERS) for key in shapes):
        return None
    if other := next((what for mark, what in NOT_PLAIN.items() if any(mark in key for key in shapes)), None):
        raise BadInput(f"{name} is {other}, which cannot be used.", "Get the plain one, or the plus one.")
    try:
        return {"encoder": None, "projection": _projection(shapes), "layers": _layers(shapes)}
    except (KeyError, StopIteration) as error:
        raise MissingWeights(f"{name} is an incomplete IP-Adapter: {error.args[0] if error.args else LAYERS} is missing.", AGAIN) from None


def _projection(shapes: Shapes) -> dict[str, Any]:
    if PROJECTION + "latents" not in shapes:
        out, width = shapes[PROJECTION + "proj.weight"]
        context = shapes[PROJECTION + "norm.weight"][0]
        return {"form": "pooled", "width": width, "context": context, "tokens": out // context}
    _, queries, inner = shapes[PROJECTION + "latents"]
    depth = len({name.split(".")[2] for name in shapes if name.startswith(PROJECTION + "layers.")})
    return {"form": "resampler", "width": shapes[PROJECTION + "proj_in.weight"][1], "context": shapes[PROJECTION + "proj_out.weight"][0],
            "inner": inner, "queries": queries, "depth": depth, "heads": shapes[PROJECTION + "layers.0.0.to_q.weight"][0] // HEAD_WIDTH,
            "grow": shapes[PROJECTION + "layers.0.1.1.weight"][0] // inner}


def _layers(shapes: Shapes) -> dict[str, list[int]]:
    """{number: [text width, layer width]}."""
    keys = {name.split(".")[1]: shape for name, shape in shapes.items() if name.startswith(LAYERS) and name.endswith("to_k_ip.weight")}
    return {number: [shape[1], shape[0]] for number, shape in sorted(keys.items(), key=lambda item: int(item[0]))}


SPECS = tuple(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size)) for path in shipped(KIND))


class ImagePromptAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, prompt: ImagePrompt, eye: OwnEye | ClipEye) -> None:
        self.spec, self.prompt, self.eye, self.strength = spec, prompt, eye, 1.0
        self._looks: list[Look] = []
        self._seen: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}
        self._now: tuple[Tensor, Tensor] | None = None

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        for look in self._looks:
            look.amount = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Wrap the processors of the layers that read words. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        self._check_layers(base)
        with attached(base.network, self.prompt, Look(self.strength)) as look:
            self._looks.append(look)
            try:
                yield Hooks(prepare=self._prepare, before_denoise=lambda step: self._show(look, step))
            finally:
                self._looks = [other for other in self._looks if other is not look]
                self._seen.clear()
                self._now = None

    def _check_layers(self, base: Base) -> None:
        own = {number: (keys.to_k_ip.in_features, keys.to_k_ip.out_features) for number, keys in self.prompt.ip_adapter.items()}
        there = {number: (layer.to_k.weight.shape[1], layer.to_k.weight.shape[0]) for number, layer in cross_attention(base.network).items()}
        if own != there:
            odd = next(number for number in sorted({*own, *there}, key=int) if own.get(number) != there.get(number))
            raise Incompatible(f'"{self.spec.title}" brings {own.get(odd, "nothing")} for layer {odd}, "{base.spec.title}" has {there.get(odd, "none")} there.',
                               "Choose one made for this base.")

    def _prepare(self, job: Job, use: AdapterUse) -> None:
        """Look at the pictures, once for every set of them."""
        if not use.strength:
            self._now = None
            return
        key = tuple(picture.digest for picture in use.images)
        if key not in self._seen:
            while len(self._seen) >= SETS_KEPT:
                del self._seen[next(iter(self._seen))]
            with_pictures, without = self.eye.look(use.images)
            self._seen[key] = self.prompt.tokens(with_pictures), self.prompt.tokens(without)
        self._now = self._seen[key]

    def _show(self, look: Look, step: Step) -> dict[str, Any]:
        """The tokens of the pictures, in the pass with the negative prompt those of no picture; gone after this call of the network."""
        look.show(self._now and self._now[step.negative])
        return {}

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.prompt.parameters()) + self.eye.bytes_resident()


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> ImagePromptAdapter:
    """Read the file, and CLIP where the file does not carry what looks. Raises MissingWeights when CLIP is not there."""
    path = locate(spec.files[0], cache_dir)
    config = _config(path.name, header(path))
    if config is None:
        raise MissingWeights(f"{path.name} is no IP-Adapter any more.", AGAIN)
    if config["encoder"]:
        prompt = filled(lambda: build(config), checkpoint.load(path, KIND).tensors, path.name, device)
        return ImagePromptAdapter(spec, prompt, OwnEye(prompt, device))
    eye = clip_eye(path, config["projection"]["width"], config["projection"]["form"] == "pooled", device, cache_dir)
    with safe_open(path, "pt") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys() if name.startswith((PROJECTION, LAYERS))}
    return ImagePromptAdapter(spec, filled(lambda: build(config), tensors, path.name, device), eye)
