"""The frozen values that cross every boundary: a Job decides a picture completely, a Result is that picture.

Same Job, same pixels. Jobs are compared with ==, hashed, written into the picture's metadata and replayed from it.
"""
from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from models.errors import BadInput

MAX_SIDE_PX = 8192
MAX_STEPS = 100
MAX_GUIDANCE = 100
MAX_BATCH = 64
MAX_REGIONS = 16
MAX_PROMPT_CHARS = 20_000
MAX_SEED = 2 ** 63 - 1


@dataclass(frozen=True)
class Extent:
    """Width and height in pixels."""
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE_PX and 1 <= self.height <= MAX_SIDE_PX):
            raise BadInput(f"A picture of {self.width}x{self.height} px is outside 1..{MAX_SIDE_PX} px a side.", "Choose a smaller size.")

    @classmethod
    def parse(cls, text: str) -> Extent:
        """"256x192" -> Extent(256, 192)."""
        w, _, h = text.lower().replace("×", "x").partition("x")
        try:
            return cls(int(w), int(h))
        except ValueError:
            raise BadInput(f'"{text}" is not a size.', "Write WIDTHxHEIGHT, for example 256x256.") from None

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Picture:
    """An immutable uint8 picture, `data` = H*W*C bytes row by row, C in 1 (mask), 3 (RGB), 4 (straight RGBA)."""
    width: int
    height: int
    channels: int
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data) != self.width * self.height * self.channels or self.channels not in (1, 3, 4):
            raise BadInput(f"{len(self.data)} bytes do not make a {self.width}x{self.height}x{self.channels} picture.")

    @classmethod
    def from_array(cls, pixels: np.ndarray) -> Picture:
        """`pixels`: uint8 [H, W] or [H, W, C]."""
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise BadInput(f"A picture must be uint8 HxW or HxWxC, not {pixels.dtype} {pixels.shape}.")
        h, w = pixels.shape[:2]
        return cls(w, h, 1 if pixels.ndim == 2 else pixels.shape[2], np.ascontiguousarray(pixels).tobytes())

    @property
    def array(self) -> np.ndarray:
        """Read-only uint8 [H, W, C]."""
        return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, self.channels)

    @cached_property
    def digest(self) -> str:
        """sha256 of size and bytes, 64 hex digits."""
        head = f"{self.width}x{self.height}x{self.channels}:".encode()
        return hashlib.sha256(head + self.data).hexdigest()


@dataclass(frozen=True)
class AdapterUse:
    """One adapter of a job: its id, its strength (0 = as if absent) and the picture it looks at, if it needs one.

    more: further pictures for adapters that look at several. start, stop: the share of the walk from noise (0) to picture (1)
    in which it acts; a step i of n lies at i / n. words: what it is to do with its picture, for adapters that take orders. noise: how
    little its picture is to be believed, 0..1, for adapters that paint along with it.
    """
    id: str
    strength: float = 1.0
    image: Picture | None = None
    more: tuple[Picture, ...] = ()
    start: float = 0.0
    stop: float = 1.0
    words: str = ""
    noise: float = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.noise <= 1, f"The noise of an adapter's picture is {self.noise}, outside 0..1.")
        _require(len(self.words) <= MAX_PROMPT_CHARS, f"Words may have {MAX_PROMPT_CHARS:,} characters at most.")
        _require(0 <= self.start < self.stop <= 1, f"An adapter cannot act from {self.start} to {self.stop}: 0 <= start < stop <= 1.")
        _require(not self.more or self.image is not None, "Further pictures need a first one.")

    @property
    def images(self) -> tuple[Picture, ...]:
        return (() if self.image is None else (self.image,)) + self.more

    def acts_at(self, share: float) -> bool:
        """Whether a step at `share` of the walk lies in the window."""
        return self.start <= share < self.stop

    def to_dict(self, pictures: str = "inline") -> dict:
        """JSON-ready; what has its default is left out, so that the digests of older jobs hold."""
        out = {"id": self.id, "strength": self.strength, "image": _picture_out(self.image, pictures)}
        extra = {"more": [_picture_out(p, pictures) for p in self.more], "start": self.start, "stop": self.stop, "words": self.words,
                 "noise": self.noise}
        return out | {k: v for k, v in extra.items() if v not in ([], "", 1.0 if k == "stop" else 0.0)}

    @classmethod
    def from_dict(cls, v: dict) -> AdapterUse:
        return cls(v["id"], v.get("strength", 1.0), _picture_in(v.get("image")), tuple(map(_picture_in, v.get("more", ()))),
                   v.get("start", 0.0), v.get("stop", 1.0), v.get("words", ""), v.get("noise", 0.0))


@dataclass(frozen=True)
class Region:
    """Other words for a part of the picture: `mask` 255 where `prompt` decides, 0 where the job's own prompt does, grey for a mixture.
    Where several lie over each other their weights share the place."""
    prompt: str
    mask: Picture
    weight: float = 1.0

    def __post_init__(self) -> None:
        _require(len(self.prompt) <= MAX_PROMPT_CHARS, f"A prompt may have {MAX_PROMPT_CHARS:,} characters at most.")
        _require(0 < self.weight <= 100, f"The weight of a region must be above 0 and at most 100, not {self.weight}.")

    def to_dict(self, pictures: str = "inline") -> dict:
        return {"prompt": self.prompt, "mask": _picture_out(self.mask, pictures), "weight": self.weight}

    @classmethod
    def from_dict(cls, v: dict) -> Region:
        return cls(v["prompt"], _picture_in(v["mask"]), v.get("weight", 1.0))


@dataclass(frozen=True)
class Job:
    """Everything that decides a picture.

    seeds: one per sample of the batch. steps: denoising steps of a picture made from pure noise. guidance: classifier-free
    guidance scale, 1 = none, None = the base's own default. image + strength: image-to-image; strength 1 ignores the image,
    0 returns it. mask: 255 where the picture may change, 0 where it stays, grey where it may change late and so only a little.
    style: an id of the base's style list, "" = none. each: a prompt for every seed in place of `prompt`, () = `prompt` for all.
    regions: other words for parts of the picture, mixed at every step.
    """
    prompt: str = ""
    base: str = "embedded"
    style: str = ""
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    extent: Extent = Extent(256, 256)
    steps: int = 1
    guidance: float | None = None
    adapters: tuple[AdapterUse, ...] = ()
    image: Picture | None = None
    strength: float = 1.0
    mask: Picture | None = None
    each: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        _require(1 <= self.steps <= MAX_STEPS, f"{self.steps} steps is outside 1..{MAX_STEPS}.")
        _require(1 <= len(self.seeds) <= MAX_BATCH, f"{len(self.seeds)} pictures at once is outside 1..{MAX_BATCH}.")
        _require(all(0 <= s <= MAX_SEED for s in self.seeds), f"A seed must lie in 0..{MAX_SEED}.")
        _require(0.0 <= self.strength <= 1.0, f"Strength {self.strength} is outside 0..1.")
        _require(self.guidance is None or 0.0 <= self.guidance <= MAX_GUIDANCE, f"Guidance {self.guidance} is outside 0..{MAX_GUIDANCE}.")
        _require(max(map(len, (self.prompt, self.negative, *self.each))) <= MAX_PROMPT_CHARS, f"A prompt may have {MAX_PROMPT_CHARS:,} characters at most.")
        _require(self.mask is None or self.image is not None, "A mask needs an image to apply to.")
        _require(len(self.each) in (0, len(self.seeds)), f"{len(self.each)} prompts do not go with {len(self.seeds)} seeds: one each.")
        _require(len(self.regions) <= MAX_REGIONS, f"{len(self.regions)} regions are more than {MAX_REGIONS}.")

    @property
    def prompts(self) -> tuple[str, ...]:
        """One a seed."""
        return self.each or (self.prompt,) * len(self.seeds)

    @cached_property
    def digest(self) -> str:
        """sha256 over every deciding value; equal jobs have equal digests on every machine."""
        return hashlib.sha256(json.dumps(self.to_dict(pictures="digest"), sort_keys=True).encode()).hexdigest()

    def to_dict(self, pictures: str = "inline") -> dict:
        """JSON-ready values. pictures: "inline" keeps the pixels (replayable), "digest" only their hash (small)."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["extent"], out["seeds"] = str(self.extent), list(self.seeds)
        out["adapters"] = [a.to_dict(pictures) for a in self.adapters]
        out["image"], out["mask"] = _picture_out(self.image, pictures), _picture_out(self.mask, pictures)
        extra = {"each": list(self.each), "regions": [region.to_dict(pictures) for region in self.regions]}
        return {k: v for k, v in out.items() if k not in extra} | {k: v for k, v in extra.items() if v}     # older jobs keep their digests

    @classmethod
    def from_dict(cls, values: dict) -> Job:
        """The inverse of to_dict(pictures="inline"). Unknown keys are refused by name."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BadInput(f"Unknown job field {', '.join(unknown)}.", f"Known fields: {', '.join(sorted(known))}.")
        v = dict(values)
        if "extent" in v:
            v["extent"] = Extent.parse(v["extent"])
        if "seeds" in v:
            v["seeds"] = tuple(v["seeds"])
        if "adapters" in v:
            v["adapters"] = tuple(map(AdapterUse.from_dict, v["adapters"]))
        v["image"], v["mask"] = _picture_in(v.get("image")), _picture_in(v.get("mask"))
        v["each"], v["regions"] = tuple(v.get("each", ())), tuple(map(Region.from_dict, v.get("regions", ())))
        return cls(**v)

    def but(self, **changes: object) -> Job:
        """A copy with some fields replaced."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Timings:
    """Milliseconds a render spent in each stage."""
    queue_ms: float = 0.0
    load_ms: float = 0.0
    text_ms: float = 0.0
    encode_ms: float = 0.0
    denoise_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0

    def to_dict(self) -> dict[str, float]:
        return {k: round(v, 2) for k, v in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Result:
    """`pixels`: uint8 [B, H, W, 3 or 4], one per seed of `job`, read-only. `seen`: what adapters that look on saw, by name (see
    Hooks.report); empty without one."""
    pixels: np.ndarray = field(repr=False)
    job: Job
    timings: Timings
    notes: tuple[str, ...] = ()                      # what the user should know, e.g. "the size was rounded to 256x256"
    seen: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise BadInput(message)


def _picture_out(picture: Picture | None, how: str) -> dict | None:
    if picture is None:
        return None
    size = {"size": f"{picture.width}x{picture.height}x{picture.channels}"}
    return size | ({"sha256": picture.digest} if how == "digest" else {"data": base64.b64encode(picture.data).decode()})


def _picture_in(value: dict | None) -> Picture | None:
    if value is None:
        return None
    if "data" not in value:
        raise BadInput("This job names a picture by its hash only.", "Replay it from a file that holds the picture itself.")
    width, height, channels = map(int, value["size"].split("x"))
    return Picture(width, height, channels, base64.b64decode(value["data"]))
