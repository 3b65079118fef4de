"""How a picture was made, read off its file whoever wrote it: this studio, AUTOMATIC1111 and Forge, ComfyUI, InvokeAI, Fooocus, SwarmUI, NovelAI.

Nothing that a file says is run or looked up; texts beyond MAX_TEXT are not read. Field names are in design/conventions.md, part B.
"""
from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from models.errors import BadInput
from models.job import MAX_GUIDANCE, MAX_SEED, MAX_SIDE_PX, MAX_STEPS, Extent, Job
from models.spec import BaseSpec
from studio.export import png

MAX_TEXT = 4 * 2 ** 20                               # bytes of one text, unpacked
MAX_NODES, MAX_HOPS = 5000, 64                       # of a ComfyUI graph: nodes that are read, links that are followed
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
_RESOLUTION = re.compile(r"(\d+)\D+(\d+)")


@dataclass(frozen=True)
class Recipe:
    """What a file says; None or "" where it says nothing. `loras`: (name, weight). `job`: the exact one, of our own files only."""
    tool: str
    prompt: str = ""
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    sampler: str = ""
    model: str = ""
    strength: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    text: str = field(default="", repr=False)
    job: Job | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the pixels of the job's pictures."""
        out = {k: v for k, v in vars(self).items() if k not in ("job", "loras", "size")}
        return out | {"loras": [list(lora) for lora in self.loras], "size": list(self.size) if self.size else None,
                      "job": self.job.to_dict(pictures="digest") if self.job else None}


def read(data: bytes) -> Recipe | None:
    """The recipe in an encoded picture's metadata, None where there is none that is known. Raises BadInput for what is no picture."""
    texts = dict(_png_texts(data)) if data.startswith(png.SIGNATURE) else _other_texts(data)
    job = _own_job(data)
    for reader in (_novelai, _invoke, _swarm, _fooocus, _comfy, _infotext):
        try:
            found = reader(texts)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            continue                                 # damaged, or another version's: perhaps the next one knows it
        if found:
            return found if job is None else Recipe(**vars(found) | {"tool": "Onestroke", "job": job})
    return None if job is None else Recipe("Onestroke", job.prompt, job.negative, job.seeds[0], job.steps, job.guidance,
                                           (job.extent.width, job.extent.height), model=job.base, job=job)


def job_of(recipe: Recipe, spec: BaseSpec) -> tuple[Job, tuple[str, ...]]:
    """(the job that a base paints by this recipe, what could not be kept). A job of our own comes back as it was when it is for this base."""
    if recipe.job is not None and recipe.job.base == spec.id:
        return recipe.job, ()
    notes = [f"It was made with {recipe.model}; {spec.title} paints it differently."] if recipe.model and recipe.model != spec.id else []
    words = " ".join([recipe.prompt, *(f"<lora:{name}:{weight:g}>" for name, weight in recipe.loras if f"<lora:{name}" not in recipe.prompt)])
    steps = recipe.steps or spec.default_steps
    kept = min(max(steps, spec.min_steps), spec.max_steps)
    if kept != steps:
        notes.append(f"{steps} steps became {kept}.")
    width, height = recipe.size or (spec.native_px[0],) * 2
    extent = fitted(width, height, spec)
    if recipe.size and (extent.width, extent.height) != recipe.size:
        notes.append(f"{width}x{height} px became {extent}.")
    if recipe.negative and not spec.negative_prompt:
        notes.append(f"{spec.title} takes no negative words.")
    guided = spec.negative_prompt and recipe.guidance is not None
    return Job(words, spec.id, negative=recipe.negative if spec.negative_prompt else "", seeds=(recipe.seed or 0,), extent=extent, steps=kept,
               guidance=min(max(recipe.guidance, 0.0), MAX_GUIDANCE) if guided else None), tuple(notes)


def fitted(width: int, height: int, spec: BaseSpec) -> Extent:
    """The size nearest to width x height px that a base paints, the shape kept where it has to shrink."""
    scale = min(1.0, spec.max_px / max(width, height, 1))
    side = lambda v: min(max(round(v * scale / spec.multiple_px) * spec.multiple_px, spec.min_px), spec.max_px)
    return Extent(side(width), side(height))


def _own_job(data: bytes) -> Job | None:
    try:
        return png.job_in(data)
    except BadInput:
        return None                                  # a damaged job; the other texts may be whole


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """(keyword, text) of tEXt, zTXt and iTXt chunks (PNG specification, section 11.3.4); what is packed too large is left out."""
    at = len(png.SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= MAX_TEXT:
            keyword, _, body = data[at + 8:at + 8 + length].partition(b"\0")
            if (text := _chunk_text(kind, body)) is not None:
                yield keyword.decode("latin-1"), text
        at += length + 12


def _chunk_text(kind: bytes, body: bytes) -> str | None:
    if kind == b"tEXt":
        return _decoded(body)
    if kind == b"zTXt":
        return _unpacked(body[1:])
    packed, rest = body[:1] == b"\1", body[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _unpacked(rest) if packed else _decoded(rest)


def _unpacked(body: bytes) -> str | None:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(body, MAX_TEXT)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else _decoded(text)


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _other_texts(data: bytes) -> dict[str, str]:
    """Texts of JPEG, WebP, AVIF, TIFF (EXIF) and GIF (comment), by the names that PNG would give them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                exif, comment = image.getexif(), image.info.get("comment", b"")
                values = [*exif.values(), exif.get_ifd(EXIF_IFD).get(USER_COMMENT, b""), comment]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, struct.error, KeyError, TypeError):
        raise BadInput("This file is not a picture that can be read.", "Use a PNG, JPEG, WebP or AVIF file.") from None
    texts: dict[str, str] = {}
    for value in values:
        text = _comment(value) if isinstance(value, bytes) else value if isinstance(value, str) else ""
        if not text or len(text) > MAX_TEXT:
            continue
        name, _, rest = text.partition(":")
        texts[name if name in ("prompt", "workflow") and rest.lstrip().startswith("{") else "parameters"] = \
            rest if name in ("prompt", "workflow") and rest.lstrip().startswith("{") else text
    return texts


def _comment(value: bytes) -> str:
    """An EXIF comment by the code its first eight bytes name (EXIF 2.3, table 9)."""
    if value.startswith(b"UNICODE\0"):
        body = value[8:]
        return body.decode("utf-16-le" if body[1:2] == b"\0" else "utf-16-be", "replace")
    return _decoded(value.removeprefix(b"ASCII\0\0\0")).strip("\0")


def _infotext(texts: dict[str, str]) -> Recipe | None:
    text = texts.get("parameters", "")
    said = png.read_infotext(text) if text.strip() else {}
    if not said or ("Steps" not in said and "Seed" not in said):
        return None
    size = (_whole(said.get("Size-1")), _whole(said.get("Size-2")))
    tool = said.get("Version", "A1111")
    return Recipe("Onestroke" if tool == "Onestroke" else "A1111", said["Prompt"], said["Negative prompt"], _seed(said.get("Seed")),
                  _steps(said.get("Steps")), _real(said.get("CFG scale")), _size(*size), said.get("Sampler", ""), said.get("Model", ""),
                  _real(said.get("Denoising strength")), text=text)


def _novelai(texts: dict[str, str]) -> Recipe | None:
    if texts.get("Software") != "NovelAI":
        return None
    said = _object(texts.get("Comment", "{}"))
    return Recipe("NovelAI", _text(texts.get("Description") or said.get("prompt")), _text(said.get("uc")), _seed(said.get("seed")),
                  _steps(said.get("steps")), _real(said.get("scale")), _size(said.get("width"), said.get("height")), _text(said.get("sampler")),
                  _text(texts.get("Source")), _real(said.get("strength")), text=texts.get("Comment", ""))


def _invoke(texts: dict[str, str]) -> Recipe | None:
    if "invokeai_metadata" not in texts:
        return None
    said = _object(texts["invokeai_metadata"])
    named = lambda part: _text(part.get("name") or part.get("model_name")) if isinstance(part, dict) else _text(part)
    loras = tuple((named(one.get("model") or one.get("lora")), _real(one.get("weight")) or 1.0) for one in said.get("loras") or ())
    return Recipe("InvokeAI", _text(said.get("positive_prompt")), _text(said.get("negative_prompt")), _seed(said.get("seed")),
                  _steps(said.get("steps")), _real(said.get("cfg_scale")), _size(said.get("width"), said.get("height")),
                  _text(said.get("scheduler")), named(said.get("model")), _real(said.get("strength")), loras, texts["invokeai_metadata"])


def _swarm(texts: dict[str, str]) -> Recipe | None:
    text = texts.get("parameters", "")
    if "sui_image_params" not in text:
        return None
    said = _object(text)["sui_image_params"]
    weights = said.get("loraweights") or []
    loras = tuple((_text(name), _real(weights[i]) if i < len(weights) else 1.0) for i, name in enumerate(said.get("loras") or ()))
    return Recipe("SwarmUI", _text(said.get("prompt")), _text(said.get("negativeprompt")), _seed(said.get("seed")), _steps(said.get("steps")),
                  _real(said.get("cfgscale")), _size(said.get("width"), said.get("height")), _text(said.get("sampler")), _text(said.get("model")),
                  _real(said.get("initimagecreativity")), loras, text)


def _fooocus(texts: dict[str, str]) -> Recipe | None:
    text = texts.get("parameters", "")
    if not text.lstrip().startswith("{") or "sui_image_params" in text:
        return None
    said = _object(text)
    size = _RESOLUTION.search(_text(said.get("resolution")))
    loras = tuple((_text(one[0]), _real(one[1]) or 1.0) for one in said.get("loras") or ())
    return Recipe("Fooocus", _text(said["prompt"]), _text(said.get("negative_prompt")), _seed(said.get("seed")), _steps(said.get("steps")),
                  _real(said.get("guidance_scale")), _size(*size.groups()) if size else None, _text(said.get("sampler")),
                  _text(said.get("base_model")), None, loras, text)


def _comfy(texts: dict[str, str]) -> Recipe | None:
    """The first sampler of the graph, and what its links lead to."""
    if not texts.get("prompt", "").lstrip().startswith("{"):
        return None
    graph = {str(k): v for k, v in list(_object(texts["prompt"]).items())[:MAX_NODES] if isinstance(v, dict)}
    sampler = next((node for node in graph.values() if "sampler" in str(node.get("class_type", "")).lower() and "positive" in node.get("inputs", {})), None)
    if sampler is None:
        return None
    given = sampler["inputs"]
    first = lambda kind, key: next((n["inputs"][key] for n in graph.values() if kind in str(n.get("class_type", "")) and key in n.get("inputs", {})), None)
    loras = tuple((_stem(n["inputs"].get("lora_name")), _real(n["inputs"].get("strength_model")) or 1.0)
                  for n in graph.values() if str(n.get("class_type", "")).startswith("LoraLoader"))
    seed = given.get("seed", given.get("noise_seed"))
    return Recipe("ComfyUI", _words(graph, given.get("positive")), _words(graph, given.get("negative")), _seed(_value(graph, seed)),
                  _steps(_value(graph, given.get("steps"))), _real(given.get("cfg")), _size(first("EmptyLatent", "width"), first("EmptyLatent", "height")),
                  _text(given.get("sampler_name")), _stem(first("CheckpointLoader", "ckpt_name")), _real(given.get("denoise")), loras, texts["prompt"])


def _words(graph: dict[str, Any], link: Any) -> str:
    """The text that a conditioning link leads to, through whatever stands between."""
    seen: set[str] = set()
    ahead = [link]
    while ahead and len(seen) < MAX_HOPS:
        at = ahead.pop(0)
        if not isinstance(at, list) or not at or str(at[0]) in seen or str(at[0]) not in graph:
            continue
        seen.add(str(at[0]))
        inputs = graph[str(at[0])].get("inputs", {})
        for key in ("text", "text_g", "prompt", "string", "value"):
            if isinstance(inputs.get(key), str) and inputs[key].strip():
                return inputs[key]
        ahead += [v for v in inputs.values() if isinstance(v, list)]
    return ""


def _value(graph: dict[str, Any], value: Any) -> Any:
    """A number that is written in the node itself or in the one it is linked to."""
    if isinstance(value, list) and value and str(value[0]) in graph:
        return next((v for v in graph[str(value[0])].get("inputs", {}).values() if isinstance(v, int)), None)
    return value


def _object(text: str) -> dict[str, Any]:
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError("no JSON object")
    return said


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _stem(value: Any) -> str:
    """A model's name without its folders and suffix."""
    return _text(value).replace("\\", "/").rpartition("/")[2].rsplit(".safetensors", 1)[0]


def _number(value: Any, kind: Callable[[Any], Any], low: float, high: float) -> Any:
    """A number of a file within limits, None for what is none."""
    try:
        number = kind(value)
        return number if low <= number <= high else None
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(value: Any) -> int | None:
    return _number(value, int, 1, MAX_SIDE_PX * 16)


def _seed(value: Any) -> int | None:
    return _number(value, int, 0, MAX_SEED)


def _steps(value: Any) -> int | None:
    steps = _number(value, int, 1, 10_000)
    return None if steps is None else min(steps, MAX_STEPS)


def _real(value: Any) -> float | None:
    return _number(value, float, -1000.0, 1000.0)


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    size = (_whole(width), _whole(height))
    return None if None in size else size
