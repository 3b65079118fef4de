"""From A1111's request fields to Jobs, and from Results to its answers."""
from __future__ import annotations

import base64
import binascii
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.decoding import decode
from models.errors import BadInput, UnknownId
from models.job import MAX_GUIDANCE, MAX_SEED, AdapterUse, Extent, Job, Picture, Result
from studio.export import png
from studio.library.recipe import fitted

DEFAULT_SIDE, DEFAULT_STEPS, DEFAULT_CFG, DEFAULT_STRENGTH = 512, 50, 7.0, 0.75
MAX_UPSCALED_PX = 64_000_000


@dataclass(frozen=True)
class Wanted:
    """`job` without its seeds; `notes`: what could not be done as asked."""
    job: Job
    notes: tuple[str, ...] = ()


def mapping(asked: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = asked.get(key) or {}
    if not isinstance(value, dict):
        raise BadInput(f'"{key}" is an object.')
    return value


def number(asked: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    """A number, brought into its range. Raises BadInput for what is none."""
    value = asked.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise BadInput(f'"{key}" is a number.')
    return min(max(value, low), high)


def words(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key) or ""
    if not isinstance(value, str):
        raise BadInput(f'"{key}" is text.')
    return value


def base_called(catalog: Any, wished: Any) -> str:
    """The id of a base by A1111's title, "name.safetensors [hash]". Raises UnknownId with those that exist."""
    name = str(wished).partition(" [")[0]
    for known in (name, name.removesuffix(".safetensors").removesuffix(".ckpt")):
        if known in catalog.bases:
            return known
    raise UnknownId(f'There is no model "{str(wished)[:80]}".', f"Known: {', '.join(catalog.bases)}.")


def from_text(asked: Mapping[str, Any], catalog: Any, base: str) -> Wanted:
    """txt2img."""
    spec, notes = catalog.base(base).spec, []
    extent = fitted(int(number(asked, "width", DEFAULT_SIDE, 1, 10 ** 6)), int(number(asked, "height", DEFAULT_SIDE, 1, 10 ** 6)), spec)
    if (wished := (asked.get("width", DEFAULT_SIDE), asked.get("height", DEFAULT_SIDE))) != (extent.width, extent.height):
        notes.append(f"{wished[0]}x{wished[1]} px became {extent}.")
    if asked.get("enable_hr") is True:
        notes.append("There is no second pass at a higher resolution: send the picture to extra-single-image.")
    style = next((name for name in asked.get("styles") or () if name in {s.id for s in spec.styles}), "")
    steps = int(number(asked, "steps", DEFAULT_STEPS, 1, 10 ** 6))
    kept = min(max(steps, spec.min_steps), spec.max_steps)
    if kept != steps:
        notes.append(f"{steps} steps became {kept}, the most that {spec.title} takes.")
    negative = words(asked, "negative_prompt")
    if negative and not spec.negative_prompt:
        notes.append(f"{spec.title} takes no negative words.")
    guidance = float(number(asked, "cfg_scale", DEFAULT_CFG, 0, MAX_GUIDANCE)) if spec.negative_prompt else None
    return Wanted(Job(words(asked, "prompt"), base, style, negative if spec.negative_prompt else "", extent=extent, steps=kept, guidance=guidance),
                  tuple(notes))


def from_picture(asked: Mapping[str, Any], catalog: Any, base: str) -> Wanted:
    """img2img: the first of init_images, the mask white where it may change."""
    given = asked.get("init_images")
    if not isinstance(given, list) or not given:
        raise BadInput("Init image not found.", 'Send "init_images": [base64].')
    wanted = from_text(asked, catalog, base)
    image = sized(picture_in(given[0]), wanted.job.extent, int(number(asked, "resize_mode", 0, 0, 3)))
    strength = float(number(asked, "denoising_strength", DEFAULT_STRENGTH, 0, 1))
    return Wanted(wanted.job.but(image=image, strength=strength, mask=_mask(asked, wanted.job.extent)), wanted.notes)


def _mask(asked: Mapping[str, Any], extent: Extent) -> Picture | None:
    if not asked.get("mask"):
        return None
    grey = np.asarray(Image.fromarray(picture_in(asked["mask"]).array[..., :3]).convert("L").resize((extent.width, extent.height)))
    return Picture.from_array(255 - grey if asked.get("inpainting_mask_invert") in (1, True) else grey)


def sized(picture: Picture, extent: Extent, mode: int) -> Picture:
    """A picture at the job's size: 0 stretched, 1 cropped, 2 and 3 with its edges drawn out."""
    image, size = Image.fromarray(picture.array), (extent.width, extent.height)
    if mode == 0:
        return Picture.from_array(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    scale = (max if mode == 1 else min)(size[0] / image.width, size[1] / image.height)
    inner = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)
    left, top = (size[0] - inner.width) // 2, (size[1] - inner.height) // 2
    if mode == 1:
        return Picture.from_array(np.asarray(inner.crop((-left, -top, size[0] - left, size[1] - top))))
    pads = ((top, size[1] - top - inner.height), (left, size[0] - left - inner.width), (0, 0))
    return Picture.from_array(np.pad(np.asarray(inner), pads, mode="edge"))


def seeds_of(asked: Mapping[str, Any], chance: int) -> tuple[int, ...]:
    """One a picture, counted up from the first as A1111 does; -1 takes `chance`."""
    count = int(number(asked, "batch_size", 1, 1, 1000)) * int(number(asked, "n_iter", 1, 1, 1000))
    first = int(number(asked, "seed", -1, -1, MAX_SEED - count))
    first = chance if first < 0 else first
    return tuple(range(first, first + count))


def annotators(catalog: Any) -> list[str]:
    return [spec.id for spec in catalog.percepts.values() if spec.sees == "lines"]


def with_controls(asked: Mapping[str, Any], wanted: Wanted, engine: Any) -> Wanted:
    """ControlNet's units as adapters of the job; other scripts are named in the notes."""
    scripts = mapping(asked, "alwayson_scripts")
    others = [name for name, what in scripts.items() if name.lower() != "controlnet" and _asks(what)]
    notes = [f'The script "{str(name)[:40]}" is not known here.' for name in others]
    units = next((what.get("args", []) for name, what in scripts.items() if name.lower() == "controlnet" and isinstance(what, dict)), [])
    used = [unit for unit in units if isinstance(unit, dict) and unit.get("enabled", True) and unit.get("model") not in (None, "", "None")]
    uses = tuple(control_of(unit, engine) for unit in used)
    return Wanted(wanted.job.but(adapters=uses), wanted.notes + tuple(notes))


def _asks(script: Any) -> bool:
    """Whether a script that rides along is switched on: clients send {"args": [False]} for those that are there but off."""
    args = script.get("args") if isinstance(script, dict) else script
    return bool(args) and args not in ([False], [None])


def control_of(unit: Mapping[str, Any], engine: Any) -> AdapterUse:
    id = engine.catalog.adapter_named(str(unit["model"]).partition(" [")[0])
    given = unit.get("image") or unit.get("input_image")
    picture = picture_in(given.get("image") if isinstance(given, dict) else given)
    module = unit.get("module") or "none"
    if module.lower() != "none":
        if module not in annotators(engine.catalog):
            raise UnknownId(f'There is no preprocessor "{module[:40]}".', f"Known: none, {', '.join(annotators(engine.catalog))}.")
        lines = engine.look(module, np.ascontiguousarray(picture.array[..., :3]))
        picture = Picture.from_array(np.repeat(lines[..., None], 3, 2))
    start, stop = float(number(unit, "guidance_start", 0, 0, 0.99)), float(number(unit, "guidance_end", 1, 0.01, 1))
    return AdapterUse(id, float(number(unit, "weight", 1, 0, 2)), Picture.from_array(np.ascontiguousarray(picture.array[..., :3])), start=start, stop=stop)


def file_in(value: Any) -> bytes:
    """The bytes of a base64 text, with or without "data:image/...;base64,". Addresses are not fetched."""
    if not isinstance(value, str) or not value:
        raise BadInput("There is no picture.", "Send it as base64.")
    if value.startswith(("http:", "https:", "file:", "ftp:")):
        raise BadInput("Pictures are not fetched from addresses.", "Send the picture itself as base64.")
    try:
        return base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("The picture is no valid base64.") from None


def picture_in(value: Any) -> Picture:
    return decode(file_in(value))


def encoded(pixels: np.ndarray, job: Job) -> str:
    return base64.b64encode(png.encode(pixels, job)).decode()


def answer(asked: Mapping[str, Any], wanted: Wanted, results: Sequence[Result], catalog: Any) -> dict[str, Any]:
    """{"images", "parameters", "info"}: the last is JSON in a string."""
    job, seeds = wanted.job, [result.job.seeds[0] for result in results]
    notes = list(dict.fromkeys([*wanted.notes, *(note for result in results for note in result.notes)]))
    first = results[0].job if results else job
    info = {"prompt": job.prompt, "all_prompts": [job.prompt] * len(seeds), "negative_prompt": job.negative,
            "all_negative_prompts": [job.negative] * len(seeds),
            "seed": seeds[0] if seeds else -1, "all_seeds": seeds, "subseed": -1, "all_subseeds": [-1] * len(seeds), "subseed_strength": 0,
            "width": first.extent.width, "height": first.extent.height, "sampler_name": "Onestroke", "cfg_scale": job.guidance or 1.0, "steps": job.steps,
            "batch_size": 1, "restore_faces": False, "face_restoration_model": None, "sd_model_name": job.base, "sd_model_hash": "", "sd_vae_name": None,
            "sd_vae_hash": None, "seed_resize_from_w": -1, "seed_resize_from_h": -1, "denoising_strength": job.strength, "extra_generation_params": {},
            "index_of_first_image": 0, "infotexts": [png.infotext(result.job) for result in results], "styles": [job.style] if job.style else [],
            "job_timestamp": time.strftime("%Y%m%d%H%M%S"), "clip_skip": 1, "is_using_inpainting_conditioning": False, "version": "onestroke", "notes": notes}
    images = [encoded(result.pixels[0], result.job) for result in results] if asked.get("send_images", True) else []
    echo = {key: value for key, value in asked.items() if key not in ("init_images", "mask", "alwayson_scripts")}
    return {"images": images, "parameters": echo, "info": json.dumps(info)}


def upscalers_here(catalog: Any) -> list[dict[str, Any]]:
    """Those whose files are here, best first."""
    from models.flows.upscale import upscalers
    return [one for one in upscalers(catalog) if one["here"]]


def enlarged(picture: Picture, asked: Mapping[str, Any], engine: Any) -> str:
    """The picture at `upscaling_resize` times its size, or at the size that is asked for, as base64 PNG."""
    from models.flows.upscale import upscale
    name, known = asked.get("upscaler_1") or "None", {one["id"]: one for one in upscalers_here(engine.catalog)}
    if name != "None" and name not in known:
        raise UnknownId(f'There is no upscaler "{str(name)[:40]}".', f"Known: None, {', '.join(known)}.")
    times = number(asked, "upscaling_resize", 2, 0.05, 16)
    width, height = max(round(picture.width * times), 1), max(round(picture.height * times), 1)
    if asked.get("resize_mode") == 1:
        width, height = (int(number(asked, f"upscaling_resize_{side}", 512, 1, 16384)) for side in "wh")
    if width * height > MAX_UPSCALED_PX:
        raise BadInput(f"{width}x{height} px are more than {MAX_UPSCALED_PX / 1e6:.0f} megapixels.", "Ask for less.")
    if name != "None":
        picture = upscale(engine, picture, 4 if max(width / picture.width, height / picture.height) > 2 else 2, name, session="sdapi")
    return png_text(np.asarray(Image.fromarray(picture.array).resize((width, height), Image.Resampling.LANCZOS)))


def png_text(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
