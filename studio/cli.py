"""The command line: `onestroke` or `python3 launch.py`, with the commands generate, layers, models, doctor, bench and test.

Exit codes: 0 done, 1 something checked is missing or failed, 2 asked for what cannot be done, 130 interrupted.
"""
from __future__ import annotations

import os
import random
import subprocess
import sys
from argparse import ArgumentDefaultsHelpFormatter, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.errors import BadInput, StudioError
from models.job import MAX_BATCH, Extent, Job, Result
from models.spec import BaseSpec
from studio.files import write_whole
from studio.settings import Parser, Settings, add_flags, engine_settings

ROOT = Path(__file__).resolve().parent.parent
MAX_RANDOM_SEED = 2 ** 32
MOST_TEST_PROCESSES = 4                              # each holds PyTorch, some 1.5 GB
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def app(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. A StudioError becomes one line on stderr, with its cure."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return dispatch(list(sys.argv[1:] if argv is None else argv))
    except StudioError as error:
        print(f"onestroke: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def dispatch(args: list[str]) -> int:
    """The command named by the first word; no word opens the studio."""
    if not args or args[0].startswith("-"):
        return studio(args)
    if args[0] not in COMMANDS:
        raise BadInput(f'There is no command "{args[0]}".', f"Commands: {', '.join(COMMANDS)}; without one the studio opens.")
    return COMMANDS[args[0]](args[1:])


def studio(args: Sequence[str]) -> int:
    """Open the studio and stay until it is interrupted."""
    settings = Settings.from_args(args, os.environ)
    from studio.app import serve  # gradio takes seconds to import
    serve(settings)
    return 0


def test(args: Sequence[str]) -> int:
    """Run pytest over the project; every argument goes to it.

    Without arguments everything runs: several files at once, each process computing with one thread, then the browser tests, which
    measure time and so have the machine to themselves.
    """
    if args:
        return _pytest(args)
    workers = max(1, min(MOST_TEST_PROCESSES, os.cpu_count() or 1))
    rest = _pytest(["-n", str(workers), "--dist", "loadfile", "-m", "not browser"], OMP_NUM_THREADS="1")
    return _pytest(["-m", "browser"]) or rest


def _pytest(args: Sequence[str], **env: str) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *args], cwd=ROOT, env=os.environ | env)


# --- generate ----------------------------------------------------------------------------------------------------------

def generate_parser() -> Parser:
    out = Parser(prog="launch.py generate", description="Paint pictures from a prompt into PNG files that carry their Job.",
                 formatter_class=ArgumentDefaultsHelpFormatter)
    out.add_argument("prompt", nargs="?", help="what to paint")
    out.add_argument("--styles", action="store_true", help="list the base's styles and stop")
    out.add_argument("--style", default="", metavar="STYLE", help="one of --styles")
    out.add_argument("--negative", default="", metavar="TEXT", help="what to keep out, where the base can")
    out.add_argument("--seed", type=int, metavar="N", help="seed of the first picture; unset = a random one")
    out.add_argument("--size", type=_extent, metavar="WxH", help="unset = the size that the base was trained at")
    out.add_argument("--steps", type=int, metavar="N", help="unset = the base's own")
    out.add_argument("--count", type=int, default=1, metavar="N", help="pictures, each with the next seed")
    out.add_argument("--out", type=Path, default=Path("onestroke.png"), metavar="FILE.png", help="several become FILE-1.png, FILE-2.png ...")
    add_flags(out, os.environ)
    return out


def generate(args: Sequence[str]) -> int:
    """Paint and write; prints each file with its seed."""
    asked = generate_parser().parse_args(list(args))
    settings = engine_settings(asked)
    engine = open_engine(settings)
    try:
        spec = engine.catalog.resolve_base(settings.base)
        if asked.styles:
            print("\n".join(f"{style.id:<10} {style.title}" for style in spec.styles) or f"{spec.title} has no styles.")
            return 0
        job, files = job_from(asked, spec), out_files(asked.out, asked.count)
        write(engine.render(job, progress=_show_progress), files)
    finally:
        engine.close()
    return 0


def job_from(asked: Namespace, spec: BaseSpec) -> Job:
    """The Job that the flags of `generate` describe on this base; what is unset takes the base's own value."""
    if asked.prompt is None:
        raise BadInput("There is no prompt.", 'Write it in quotes: generate "a smiling red fox".')
    if not 1 <= asked.count <= MAX_BATCH:
        raise BadInput(f"--count {asked.count} is outside 1..{MAX_BATCH}.")
    first = random.SystemRandom().randrange(MAX_RANDOM_SEED) if asked.seed is None else asked.seed
    return Job(prompt=asked.prompt, base=spec.id, style=asked.style, negative=asked.negative,
               seeds=tuple(range(first, first + asked.count)), extent=asked.size or Extent(spec.native_px[0], spec.native_px[0]),
               steps=spec.default_steps if asked.steps is None else asked.steps)


def out_files(out: Path, count: int) -> list[Path]:
    """fox.png, or fox-1.png ... fox-N.png. Raises BadInput before anything is painted when they cannot be written."""
    if out.suffix.lower() != ".png":
        raise BadInput(f"{out.name} does not end in .png.", "Pictures are written as PNG, the format that carries their Job.")
    if not out.parent.is_dir():
        raise BadInput(f"The folder {out.parent} is not there.", "Make it first, or choose another place with --out.")
    return [out] if count == 1 else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, count + 1)]


def write(result: Result, files: Sequence[Path]) -> None:
    """One PNG a sample, each with the Job that makes just that sample. A file appears whole or not at all."""
    from studio.export.png import encode
    for pixels, seed, file in zip(result.pixels, result.job.seeds, files, strict=True):
        write_whole(file, encode(pixels, result.job.but(seeds=(seed,))))
        print(f"{file}  seed {seed}")
    for note in result.notes:
        print(note, file=sys.stderr)


def _extent(text: str) -> Extent:
    return Extent.parse(text)


def _show_progress(done: int, total: int, what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{total}   ", end="\n" if what == "done" else "", file=sys.stderr, flush=True)


# --- doctor and bench --------------------------------------------------------------------------------------------------

def doctor(args: Sequence[str]) -> int:
    """Print what was found and the cure of each problem. 1 when something is missing that the studio needs."""
    parser = Parser(prog="launch.py doctor", description="Tell what this machine has and what is missing, each with its cure.")
    add_flags(parser, os.environ)
    settings = engine_settings(parser.parse_args(list(args)))
    from studio.doctor import examine, report
    checks = examine(settings)
    print(report(checks))
    return int(any(check.needed and not check.ok for check in checks))


def bench(args: Sequence[str]) -> int:
    """Run one bench; its table goes to stdout, its figures to --json."""
    from studio import bench as benches
    parser = Parser(prog="launch.py bench", description="Measure this machine.", epilog=f"Benches: {', '.join(benches.names())}")
    parser.add_argument("name", nargs="?", help="which bench; without one they are listed")
    parser.add_argument("--json", type=Path, metavar="PATH", help='also write {"machine": ..., "figures": {name: number}}')
    parser.add_argument("--quick", action="store_true", help="few cases: whether it runs, not how good it is")
    add_flags(parser, os.environ)
    asked = parser.parse_args(list(args))
    if asked.name is None:
        print("\n".join(f"{name:<10} {benches.title(name)}" for name in benches.names()) or "There are no benches yet.")
        return 0
    if asked.json and not asked.json.parent.is_dir():
        raise BadInput(f"The folder {asked.json.parent} is not there.", "Make it first, or choose another place with --json.")
    figures = (benches.quick if asked.quick else benches.find)(asked.name)(engine_settings(asked))
    print(benches.machine(), benches.table(figures), sep="\n")
    if asked.json:
        benches.write_json(asked.json, figures)
    return 0


def open_engine(settings: Settings) -> Any:
    """The engine that these settings ask for; torch is imported here and not before."""
    from models.engine import open_engine as opened
    return opened(budget_bytes=settings.budget_bytes, cache_dir=settings.cache_dir, models_dir=settings.own_models)


def models(args: Sequence[str]) -> int:
    """List, add, remove or verify models."""
    from studio.cli_models import run
    return run(args, open_engine)


def layers(args: Sequence[str]) -> int:
    """Turn files with layers into each other."""
    from studio.cli_layers import run
    return run(args)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "generate": generate, "layers": layers, "models": models, "doctor": doctor, "bench": bench, "test": test}
