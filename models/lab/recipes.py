"""The lab's recipes: what `python -m models.lab NAME` does. Settings are frozen dataclasses; unknown keys are refused by name."""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import torch

from models.errors import BadInput, MissingWeights, UnknownId
from models.lab.budget import Budget

DEFAULT_FOLDER = Path(os.environ.get("ONESTROKE_LAB", Path.home() / ".cache" / "onestroke" / "lab"))


@dataclass(frozen=True)
class Settings:
    """data: the working folder. pack: a packed set of drawings to read instead of the registry packages. n: prompts scored.
    start: where a teacher without a state file, or the scribble control, begins, "shipped" (the weights in assets/) or "scratch".
    look: of models.lab.filters. base: the network an adapter is trained on, student or teacher. partial: yes, or no to train the
    scribble control on finished drawings only. out: where it is written, "" = assets/adapters. updates: where a control stops before
    its minutes are over, 0 = by the clock alone. other: more scribble controls, with commas between them, which sketch_scores measures
    beside the shipped one. judge: no = without asking what the pictures show."""
    data: Path = DEFAULT_FOLDER
    pack: str = ""
    device: str = ""
    minutes: float = 30.0
    batch_size: int = 24
    method: str = "dmd2"
    n: int = 600
    start: str = "shipped"
    workers: int = 2
    look: str = "ink"
    base: str = "student"
    partial: str = "yes"
    out: str = ""
    updates: int = 0
    other: str = ""
    judge: str = "yes"
    command: str = ""

    @property
    def on(self) -> str:
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")


def settings_from(pairs: list[str], minutes: float | None) -> Settings:
    """["data=/tmp/x", "n=100"] -> Settings."""
    known = {f.name: f.type for f in fields(Settings)}
    values: dict[str, Any] = {"minutes": minutes} if minutes is not None else {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in known or not value:
            raise BadInput(f'"{pair}" is not a setting.', f"Write key=value with a key of: {', '.join(known)}.")
        kind = {"Path": Path, "float": float, "int": int, "str": str}[known[key]]
        values[key] = kind(value)
    return Settings(**values)


def data(s: Settings) -> None:
    """Build the training set: drawings, patch basis, latents, text states."""
    from models.lab.data import build
    build(s.data, Path(s.pack) if s.pack else None, s.workers)


def decoder(s: Settings) -> None:
    """Train the patch decoder and export the autoencoder."""
    from models.lab.autoencoder import DecoderConfig, quality, train_decoder
    from models.lab.data import load_encoder
    from models.lab.drawings import read_drawings
    from models.lab.export import export_autoencoder
    from models.lab.mixtures import held_out_pictures, training_pictures
    drawings, encoder, config = read_drawings(s.data), load_encoder(s.data), DecoderConfig()
    held_out = held_out_pictures(*drawings)
    net = train_decoder(encoder, training_pictures(*drawings), held_out, Budget(s.minutes), s.data / "decoder.pt", config, s.on)
    recipe = {"data": "python -m models.lab data", "seed": config.seed, "held_out_psnr_db": round(quality(net, encoder, held_out), 2)}
    export_autoencoder(encoder.cpu(), net.cpu(), config.widths, recipe)


def crisp(s: Settings) -> None:
    """Teach the shipped decoder to finish what the student leaves soft, and export it (out=FOLDER: elsewhere)."""
    from models.lab.autoencoder import quality
    from models.lab.crisp import CrispConfig, estimates, train_crisp
    from models.lab.drawings import read_drawings
    from models.lab.export import EMBEDDED, export_autoencoder
    from models.lab.mixtures import held_out_pictures
    from models.lab.painter import Painter
    drawings, painter, config = read_drawings(s.data), Painter(), CrispConfig()
    widths = tuple(stage[0].first.out_channels for stage in painter.decoder.stages)
    held_out = held_out_pictures(*drawings)
    before = quality(painter.decoder, painter.encoder, held_out)
    known = estimates(painter.net("student"), painter.encoder, painter.text, *drawings, config)
    budget = Budget(s.minutes)
    net = train_crisp(painter.decoder, painter.encoder, known, budget, config)
    psnr = [round(before, 2), round(quality(net, painter.encoder, held_out), 2)]
    recipe = {"command": s.command, "config": str(config), "updates": budget.updates, "held_out_psnr_db_before_and_after": psnr}
    print(export_autoencoder(painter.encoder, net, widths, recipe, Path(s.out) if s.out else EMBEDDED), psnr)


def teacher(s: Settings) -> None:
    """Train the diffusion teacher, with a contact sheet at every checkpoint, and export it."""
    from models.lab.export import export_unet
    from models.lab.latents import LatentSet
    from models.lab.parallel import join, rank
    from models.lab.train import TrainConfig, Trainer, train
    config = TrainConfig(batch_size=s.batch_size)
    join()
    state_file = s.data / "teacher.pt"
    shipped = None if state_file.exists() else _shipped_teacher(s.start)
    trainer = Trainer(config, state_file, s.on, shipped and shipped[0])
    if shipped:
        trainer.progress.updates, trainer.progress.pictures_seen = (shipped[1].get(k, 0) for k in ("updates", "pictures_seen"))
    train(trainer, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)), Budget(s.minutes),
          lambda t: _sheet(s, t.ema.state_dict(t.net), t.progress.updates, 16))
    if rank():
        return
    p = trainer.progress
    export_unet("teacher", trainer.ema.state_dict(trainer.net), {"data": "python -m models.lab data", "seed": config.seed, "updates": p.updates,
                "pictures_seen": p.pictures_seen, "hours": round(p.seconds / 3600, 2), "loss_curve": (p.losses or [])[-60:]})


def _shipped_teacher(start: str) -> tuple[Any, dict[str, Any]] | None:
    """(network, recipe) of the shipped teacher, or None for a fresh start."""
    if start not in ("shipped", "scratch"):
        raise BadInput(f'"{start}" is no place to start from.', "Write start=shipped or start=scratch.")
    from models import checkpoint
    from models.lab.export import EMBEDDED
    path = EMBEDDED / "teacher.safetensors"
    if start == "scratch" or not path.exists():
        return None
    net, saved = checkpoint.load_unet(path)
    print(f"starting from the shipped teacher: {saved.recipe.get('pictures_seen', 0):,} pictures seen before", flush=True)
    return net, saved.recipe


def distil(s: Settings) -> None:
    """Distil the one-step student from the exported teacher with method=NAME and export it."""
    from models.lab.distil import distil as run
    from models.lab.export import EMBEDDED, export_unet
    from models.lab.latents import LatentSet
    from models.lab.method import find_method
    from models.lab.painter import Painter
    from models.lab.parallel import join, rank
    from models.weights import sha256
    method = find_method(s.method)
    config = method.Config()
    join()
    turns = {}

    def look(weights: dict[str, torch.Tensor], turn: int) -> None:
        turns["turns"] = turn
        _sheet(s, weights, turn, 1)
    weights = run(method, config, Painter().net("teacher"), LatentSet(s.data), Budget(s.minutes), s.data / f"student-{s.method}.pt", s.batch_size,
                  s.on, at_checkpoint=look)
    if rank():
        return
    export_unet("student", weights, {"method": s.method, "paper": method.paper, "config": str(config), **turns,
                                     "teacher_sha256": sha256(EMBEDDED / "teacher.safetensors")})


def scores(s: Settings) -> None:
    """Measure teacher and student against real drawings and write assets/SCORES.md."""
    from models.lab.drawings import read_drawings
    from models.lab.evaluate import run_scores
    from models.lab.export import EMBEDDED
    from models.lab.painter import Painter
    from models.weights import sha256
    painter = Painter(device=s.on)
    facts = {"command": f"`{s.command}`"} | {f"{p.name} sha256": sha256(p)[:16] for p in sorted(EMBEDDED.glob("*.safetensors"))}
    run_scores(read_drawings(s.data), painter.paint, s.data / "scores", n=s.n, rebuild=painter.rebuild, facts=facts)


def adapter_scores(s: Settings) -> None:
    """Measure the shipped adapters on held-out drawings and write their part of assets/SCORES.md."""
    from models.lab.adapter_scores import run_adapter_scores
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    print(run_adapter_scores(Painter(device=s.on), LatentSet(s.data, "test_pair", ("plain",)), s.data / "scores", f"`{s.command}`", min(s.n, 96)))


def sketch_scores(s: Settings) -> None:
    """Measure the scribble control at every moment of a drawing and write its part of assets/SCORES.md."""
    from models.lab.drawings import read_drawings
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.sketch_scores import run_sketch_scores
    from models.weights import ASSETS
    print(run_sketch_scores(Painter(device=s.on), LatentSet(s.data, "test_pair", ("plain",)),
                            read_drawings(s.data) if s.judge == "yes" else None, s.data / "scores", f"`{s.command}`",
                            ASSETS / "adapters" / "scribble.safetensors", [Path(p) for p in s.other.split(",") if p], min(s.n, 96)))


def pair_scores(s: Settings) -> None:
    """Measure the pair of pictures and lines (UniCon) and write its part of assets/SCORES.md and its contact sheet."""
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.pair_scores import run_pair_scores
    print(run_pair_scores(Painter(device=s.on), LatentSet(s.data, "test_pair", ("plain",)), f"`{s.command}`", min(s.n, 96)))


def unic_scores(s: Settings) -> None:
    """Measure the UNIC adapter and write its part of assets/SCORES.md."""
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.unic_scores import run_unic_scores
    from models.weights import ASSETS
    print(run_unic_scores(Painter(device=s.on), LatentSet(s.data, "test_pair", ("plain",)), f"`{s.command}`", min(s.n, 96),
                          Path(s.out) if s.out else ASSETS / "adapters" / "unic.safetensors"))


def sheet(s: Settings) -> None:
    """Paint the fixed 64 prompts with the exported student and teacher, as PNG in the data folder."""
    from models.lab.evaluate import contact_sheet, read_prompts
    from models.lab.painter import Painter
    painter, (styles, prompts) = Painter(device=s.on), zip(*read_prompts())
    for who, steps in (("student", 1), ("student", 4), ("teacher", 24)):
        painted = np.concatenate([painter.paint(prompts[i:i + 16], styles[i:i + 16], range(i, i + 16), steps, who) for i in range(0, len(prompts), 16)])
        contact_sheet(list(painted), prompts).save(s.data / f"sheet-{who}-{steps}.png")
        print(s.data / f"sheet-{who}-{steps}.png")


def style(s: Settings) -> None:
    """Train a LoRA that paints in look=NAME on base=NAME and put it into assets/adapters."""
    from models.lab.lora import LoraSettings, run
    run(LoraSettings(look=s.look, base=s.base, data=s.data, minutes=s.minutes, device=s.on))


def scribble(s: Settings) -> None:
    """Train the scribble control on unfinished drawings and put it into assets/adapters."""
    from models.lab.control import ControlConfig, make_scribble
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.weights import ASSETS
    join()
    painter = Painter(device=s.on)
    shipped = ASSETS / "adapters" / "scribble.safetensors"
    config = ControlConfig() if s.partial == "yes" else ControlConfig(whole=1.0)
    make_scribble(painter.net(s.base), painter.encoder, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)),
                  Budget(s.minutes, s.updates or None), Path(s.out) if s.out else shipped, s.command, s.on, config, shipped if s.start == "shipped" else None)


def glyphs(s: Settings) -> None:
    """Train the glyph control, which paints words, on made-up signs and put it into assets/adapters."""
    from models.lab.glyphs import make_glyphs
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.weights import ASSETS
    join()
    painter, shipped = Painter(device=s.on), ASSETS / "adapters" / "glyphs.safetensors"
    make_glyphs(painter.net(s.base), painter.encoder, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)),
                Budget(s.minutes, s.updates or None), Path(s.out) if s.out else shipped, s.command, s.on, start=shipped if s.start == "shipped" else None)


def image_prompt(s: Settings) -> None:
    """Train the image prompt with its encoder and put it into assets/adapters."""
    from models.lab.image_prompt import make_image_prompt
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.weights import ASSETS
    join()
    painter = Painter(device=s.on)
    make_image_prompt(painter.net(s.base), painter.encoder, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)), Budget(s.minutes),
                      ASSETS / "adapters" / "image-prompt.safetensors", s.command, s.on)


def unicon(s: Settings) -> None:
    """Train the pair of a picture and its lines or silhouette (UniCon) and put it into assets/adapters."""
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.lab.unicon import make_unicon
    from models.weights import ASSETS
    join()
    painter = Painter(device=s.on)
    shipped = ASSETS / "adapters" / "unicon.safetensors"
    make_unicon(painter.net(s.base), painter.encoder, painter.text, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)),
                Budget(s.minutes), Path(s.out) if s.out else shipped, s.command, s.on, start=shipped if s.start == "shipped" else None)


def layered_codes(s: Settings) -> None:
    """Train layered codes, which guess a picture from few strokes: both stages, or with start=FILE the sketch encoder on FILE's codes."""
    from models.lab.latents import LatentSet
    from models.lab.layered_codes import CodesConfig, make_layered_codes
    from models.lab.painter import Painter
    from models.weights import ASSETS
    painter = Painter(device=s.on)
    start = None if s.start in ("shipped", "scratch") else Path(s.start)
    make_layered_codes(painter.net(s.base), painter.encoder, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)), s.minutes,
                       Path(s.out) if s.out else ASSETS / "adapters" / "layered-codes.safetensors", s.command, s.on,
                       CodesConfig(whole=s.partial == "no"), start, s.updates)


def unic(s: Settings) -> None:
    """Train the adapter that does with a picture what a sentence says (UNIC) and put it into assets/adapters."""
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.lab.unic import make_unic
    from models.weights import ASSETS
    join()
    painter = Painter(device=s.on)
    shipped = ASSETS / "adapters" / "unic.safetensors"
    make_unic(painter.net(s.base), painter.encoder, painter.text, LatentSet(s.data), LatentSet(s.data, "test_pair", ("plain",)),
              Budget(s.minutes), Path(s.out) if s.out else shipped, s.command, s.on, start=shipped if s.start == "shipped" else None)


def rgba(s: Settings) -> None:
    """Train the transparent decoder and put it into assets/adapters."""
    from models.lab.drawings import read_drawings
    from models.lab.painter import Painter
    from models.lab.rgba import make_rgba
    from models.weights import ASSETS
    painter = Painter(device=s.on)
    make_rgba(painter.encoder, painter.decoder, read_drawings(s.data), Budget(s.minutes), ASSETS / "adapters" / "transparent.safetensors",
              s.command, s.on)


def embedded(s: Settings) -> None:
    """Everything, resumable: data, decoder (12 % of the minutes), teacher (58 %), student (30 %), scores."""
    data(s)
    for name, stage, share in (("decoder", decoder, 0.12), ("teacher", teacher, 0.58), ("student", distil, 0.3)):
        print(f"== {name}: {share * s.minutes:.0f} minutes on {s.on}", flush=True)
        stage(replace(s, minutes=share * s.minutes))
    scores(s)


RECIPES: dict[str, Callable[[Settings], None]] = {
    f.__name__: f for f in (data, decoder, crisp, teacher, distil, scores, adapter_scores, sketch_scores, pair_scores, unic_scores,
                            sheet, style, scribble, glyphs, image_prompt, unicon, unic, layered_codes, rgba, embedded)}


@cache
def recipes() -> dict[str, Callable[[Settings], None]]:
    """RECIPES of this file, and of every recipes_*.py beside it."""
    from models import lab
    others = [import_module(f"models.lab.{info.name}") for info in iter_modules(lab.__path__) if info.name.startswith("recipes_")]
    return RECIPES | {f.__name__: f for other in others for f in other.RECIPES}


def find_recipe(name: str) -> Callable[[Settings], None]:
    if name not in recipes():
        raise UnknownId(f'There is no recipe "{name}".', f"Known: {', '.join(recipes())}.")
    return recipes()[name]


def _sheet(s: Settings, weights: dict[str, torch.Tensor], number: int, steps: int) -> None:
    """A contact sheet of the first prompts, to see what the figures do not say."""
    from models.lab.evaluate import contact_sheet, read_prompts
    from models.lab.items import PHRASES
    from models.lab.painter import Painter
    from models.nets.unet import build_unet
    styles, prompts = zip(*read_prompts()[:32])
    try:
        painter = Painter(device=s.on)
    except MissingWeights as error:
        print(f"no contact sheet: {error}")
        return
    net = build_unet()
    net.load_state_dict(weights)
    net.to(s.on, memory_format=torch.channels_last).eval()
    texts = [f"{p}, {PHRASES[st]}" if st else p for p, st in zip(prompts, styles)]
    with torch.inference_mode():
        painted = painter.show(painter.latents(net, texts, range(len(texts)), steps, distilled=steps == 1))
    path = s.data / f"sheet-{steps:02d}-{number:07d}.png"
    contact_sheet(list(painted), prompts).save(path)
    print(f"contact sheet {path.name}", flush=True)
