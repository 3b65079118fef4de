"""What a base, adapter or percept says of itself before a byte of it is loaded. Reading a spec imports nothing slow."""
from __future__ import annotations

import re
from dataclasses import dataclass


def slug(name: str) -> str:
    """A name as ids are written, fit for a command line: "Pixel Art XL v1.1" -> "pixel-art-xl-v1-1"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@dataclass(frozen=True)
class Arch:
    """Where an adapter fits: `family` names the network, `context_dim` and `latent_channels` must match too."""
    family: str
    context_dim: int
    latent_channels: int

    def __str__(self) -> str:
        return f"{self.family} (text width {self.context_dim}, {self.latent_channels} latent channels)"


EMBEDDED = Arch("onestroke-embedded", 384, 32)
SD1, SD2, SDXL = Arch("sd1", 768, 4), Arch("sd2", 1024, 4), Arch("sdxl", 2048, 4)
SANA = Arch("sana", 2304, 32)


@dataclass(frozen=True)
class WeightFile:
    """One file: in `assets/` when `repo` is empty, else on the hub. sha256 "" = not checked (a user's own file)."""
    file: str
    bytes: int = 0
    sha256: str = ""
    repo: str = ""


@dataclass(frozen=True)
class Style:
    """A look the base was trained on; `phrase` is appended to the prompt."""
    id: str
    title: str
    phrase: str


EMBEDDED_STYLES = (Style("flat", "Flat", "flat emoji style"), Style("modern", "Modern flat", "modern flat emoji style"),
                   Style("soft", "Soft gradient", "soft gradient emoji style"), Style("3d", "3D", "3d emoji style"),
                   Style("shaded", "Shaded", "shaded emoji style"), Style("blob", "Blob", "blob emoji style"),
                   Style("sticker", "Sticker", "sticker style"))


@dataclass(frozen=True)
class BaseSpec:
    """What a base can do. Tabs enable just what is listed and say why the rest is off."""
    id: str
    title: str
    arch: Arch
    files: tuple[WeightFile, ...]
    bytes: int                                       # resident size in fp32; half of it in a 16-bit format
    native_px: tuple[int, ...] = (256,)              # sides it was trained at
    multiple_px: int = 16                            # sides are rounded to this
    min_px: int = 64
    max_px: int = 1024
    min_steps: int = 1
    max_steps: int = 4
    default_steps: int = 1
    default_guidance: float = 1.0
    negative_prompt: bool = False
    image_to_image: bool = True
    inpainting: bool = False
    rgba: bool = False
    control_kinds: tuple[str, ...] = ()
    reference_images: bool = False
    styles: tuple[Style, ...] = ()
    knows: str = ""                                  # one sentence for people
    licence: str = ""


def styled(spec: BaseSpec, prompt: str, style: str) -> str:
    """The prompt with the phrase of a style appended."""
    phrase = next((s.phrase for s in spec.styles if s.id == style), "")
    return ", ".join(part for part in (prompt.strip().rstrip(","), phrase) if part)


@dataclass(frozen=True)
class AdapterSpec:
    """What an adapter needs and takes. Two adapters whose `claims` meet cannot be attached together; `order` sorts the rest.

    Without `files` it is a method that needs no weights; then `bytes` is 0.
    """
    id: str
    title: str
    kind: str                                        # "lora", "control", "image_prompt", ...
    arch: Arch
    files: tuple[WeightFile, ...]
    bytes: int
    needs_image: bool = False
    max_images: int = 1                              # pictures it can look at together
    control: str = ""                                # what a "control" adapter obeys: "scribble", "canny", "depth", ...
    grants: tuple[str, ...] = ()                     # abilities the base has only with it: "negative_prompt", "rgba", "inpainting"
    claims: tuple[str, ...] = ()
    order: int = 50
    max_strength: float = 1.5
    knows: str = ""
    licence: str = ""
    also: tuple[Arch, ...] = ()                      # further architectures, for what depends on their shared latents only
    families: tuple[str, ...] = ()                   # whole families, for methods without weights, to which widths do not matter

    def fits(self, arch: Arch) -> bool:
        return arch == self.arch or arch in self.also or arch.family in self.families


@dataclass(frozen=True)
class PerceptSpec:
    """A network that looks instead of paints. `sees`: "lines" [B, 1, H, W] in [0, 1]; "alpha" [B, 1, H, W] in [0, 1], how much of a
    pixel belongs to the thing, its look(rgb, hints) being told by hints [B, 2, H, W] what to keep and what to drop; or "likeness", unit
    vectors [B, D]; "words", such vectors that words have too; or "icons": it looks at nothing and writes icons from words
    (Engine.borrow); or "larger": it enlarges `scale` times (models/flows/upscale.py)."""
    id: str
    title: str
    files: tuple[WeightFile, ...]
    bytes: int
    licence: str = ""
    sees: str = "lines"
