"""What the shipped adapters are worth, on held-out drawings and through the one-step student: python -m models.lab adapter_scores

Image prompt: is the picture nearer to the drawing it was shown than to 49 others (named first), and how alike are they to an ImageNet
network? Transparent: how wrong is alpha? Each beside the baseline that does not use the adapter. The scribble control has a table of
its own (models.lab.sketch_scores).
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import checkpoint
from models.devices import mixed_precision
from models.files import write_atomic
from models.lab.diffusion import TOP, estimate, sigmas_at
from models.lab.evaluate import ASSETS, contact_sheet, machine
from models.lab.image_prompt import ImagePromptConfig, views
from models.lab.latents import LatentSet
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.painter import Painter
from models.nets import image_prompt as prompt_net
from models.nets.unet import inputs_of, predict
from models.pixels import to_uint8
from models.sampling import noise, vp_scales

CROWD = 50                                           # drawings among which the right one is to be found
HEADING = "## Adapters"


@dataclass
class Bench:
    """The student, its autoencoder and some held-out rows with the noise they are painted from."""
    painter: Painter
    data: LatentSet
    rows: list[int]

    def __post_init__(self) -> None:
        self.batch = self.data.rows(self.rows)
        self.words = [self.data.texts[self.data.captions[i][0]] for i in self.rows]
        self.truth = self.painter.show(self.batch.latents)
        self.times = torch.full((len(self.rows),), float(TOP))
        sigma = sigmas_at(self.times)[:, None, None, None]
        self.x = sigma * noise([7 + i for i in self.rows], self.batch.latents.shape[1:])
        self.scaled = vp_scales(sigma)[0] * self.x

    @torch.no_grad()
    def paint(self, extra: Callable[[dict[str, Any]], dict[str, Any]] = lambda inputs: {}) -> np.ndarray:
        """uint8 [N, 256, 256, 3] in one step; `extra` turns the network's inputs into what an adapter adds."""
        net = self.painter.net("student")
        with mixed_precision("cpu"):
            added = extra(inputs_of(self.scaled, self.times, self.batch.cond))
            return self.painter.show(predict(net, self.scaled, self.times, self.batch.cond, **added).float())

    @torch.no_grad()
    def plain(self) -> np.ndarray:
        with mixed_precision("cpu"):
            return self.painter.show(estimate(self.painter.net("student"), self.x, self.times, self.batch.cond))


def prompt_scores(bench: Bench, path: Path, sheet: Path) -> list[str]:
    """Rows of the table: named first among CROWD, and likeness, with the words "an emoji" only."""
    saved = checkpoint.load(path, prompt_net.KIND)
    net = prompt_net.build(saved.config).eval()
    net.load_state_dict(saved.tensors)
    rgb = torch.from_numpy(bench.truth).permute(0, 3, 1, 2).float() / 255
    seen = views(rgb, net.image_encoder.side_px, ImagePromptConfig(), np.random.default_rng(0))
    wordless = bench.data.rows(bench.rows, [0] * len(bench.rows))
    bench.batch, with_words = wordless, bench.batch
    without = bench.plain()
    with torch.no_grad(), prompt_net.attached(bench.painter.net("student"), net, prompt_net.Look()) as eye:
        eye.show(net.image_proj(net.features(seen)))
        painted = bench.paint()
    bench.batch = with_words
    eyes = FeatureNet()
    truth, *seen_by = (look(eyes, p)[:, :POOLED] for p in (bench.truth, painted, without))
    named, alike = zip(*(_nearest(f, truth) for f in seen_by))
    sheet_of([bench.truth, to_uint8(seen), painted, without], bench.words, sheet)
    return [f"| image prompt, no words: right one of {CROWD} named first ↑ | {named[0]:.2f} | {named[1]:.2f} |",
            f"| image prompt, no words: likeness (cosine of centred features) ↑ | {alike[0]:.2f} | {alike[1]:.2f} |"]


def _nearest(features: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(share whose own drawing is the most alike in its crowd, mean likeness to the own drawing)."""
    centre = truth.mean(0)
    unit = lambda f: (f - centre) / np.linalg.norm(f - centre, axis=1, keepdims=True)
    likeness = unit(features) @ unit(truth).T
    right = []
    for i in range(len(truth)):
        crowd = [i, *[(i + k) % len(truth) for k in range(1, CROWD)]]
        right.append(likeness[i, i] >= likeness[i, crowd].max())
    return float(np.mean(right)), float(np.diag(likeness).mean())


def alpha_scores(path: Path) -> list[str]:
    """The row that training measured on held-out drawings."""
    told = checkpoint.load(path, "onestroke.rgba").recipe["alpha_error_on_held_out_drawings"]
    return [f"| transparent: mean error of alpha ↓ | {told['decoder']:.3f} | {told['colour_key']:.3f} (colour key), {told['opaque']:.3f} (opaque) |"]


def sheet_of(lines: Sequence[np.ndarray], words: Sequence[str], path: Path, columns: int = 8) -> None:
    pictures = [picture for line in lines for picture in line[:columns]]
    contact_sheet(pictures, [*words[:columns]] * len(lines), columns).save(path, quality=85)


def write_section(path: Path, heading: str, text: str) -> None:
    """Put `text` under `heading` (a line "## ...") of a markdown file, in place of what stood there."""
    whole = path.read_text(encoding="utf-8") if path.exists() else ""
    before, _, rest = whole.partition(f"{heading}\n")
    _, mark, after = rest.partition("\n## ")
    write_atomic(path, partial(Path.write_text, data=f"{before.rstrip()}\n\n{heading}\n\n{text.strip()}\n{mark}{after}", encoding="utf-8"))


def run_adapter_scores(painter: Painter, data: LatentSet, cache_dir: Path, command: str, n: int = 96, adapters: Path = ASSETS / "adapters",
                       out: Path = ASSETS / "SCORES.md") -> str:
    """Measure what is there, write the section, return it."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n])
    jobs = (("image-prompt", lambda p: prompt_scores(bench, p, cache_dir / "image-prompt.webp")), ("transparent", alpha_scores))
    rows = [row for name, score in jobs if (adapters / f"{name}.safetensors").exists() for row in score(adapters / f"{name}.safetensors")]
    text = "\n".join([f"On {len(bench.rows)} held-out drawings, one step, {datetime.date.today().isoformat()}, {machine()}, {command}.", "",
                      "| | with the adapter | without |", "|---|---|---|", *rows])
    write_section(out, HEADING, text)
    return text
