"""Getting a model from the hub when somebody asked for it: its size is said first, it is resumed and checked, nothing else is fetched.

Only safetensors and the small text files beside them are taken, never a pickle and never code. The hub's own client does the
transfer, into its own cache, so HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they always mean.
"""
from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import releases
from models.errors import BadInput, MissingWeights, StudioError
from models.releases import RELEASES
from models.weights import sha256

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(/[\w./ -]+)?")
PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "scheduler", "tokenizer", "tokenizer_2")
TEXTS = (".json", ".txt", ".model")
LOOK_S = 0.5
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Parcel:
    """What a download would fetch. `files`: (path in the repository, bytes, sha256 or ""); `only`: the one file that was named."""
    repo: str
    revision: str
    files: tuple[tuple[str, int, str], ...]
    only: str = ""

    @property
    def bytes(self) -> int:
        return sum(size for _, size, _ in self.files)

    def __str__(self) -> str:
        return f"{self.repo}: {self.bytes / 1e6:,.1f} MB in {len(self.files)} file{'s' if len(self.files) != 1 else ''}"


def is_hub_id(source: str) -> bool:
    """Whether this reads as owner/name or owner/name/file and is nothing on this disk."""
    return bool(HUB_ID.fullmatch(source)) and not source.startswith(".") and not Path(source).expanduser().exists()


def look_up(source: str, endpoint: str | None = None) -> Parcel:
    """Ask the hub what `source` (owner/name or owner/name/file.safetensors) would take; downloads nothing. What its project publishes
    itself (models.releases) is known without asking."""
    if release := RELEASES.get(source):
        return Parcel(source, "", ((release.file, release.bytes, ""),), release.file)
    from huggingface_hub import HfApi
    owner, name, *rest = source.split("/")
    repo, wanted = f"{owner}/{name}", "/".join(rest)
    info = _asked(repo, lambda: HfApi(endpoint=endpoint).model_info(repo, files_metadata=True))
    sizes = {f.rfilename: (f.size or 0, f.lfs.sha256 if f.lfs else "") for f in info.siblings or ()}
    chosen = choose(repo, list(sizes), wanted)
    return Parcel(repo, info.sha or "main", tuple((file, *sizes[file]) for file in chosen), chosen[0] if len(chosen) == 1 else "")


def choose(repo: str, names: list[str], wanted: str = "") -> list[str]:
    """Which of a repository's files a model needs: a pipeline's parts in half precision where there are such, or one file."""
    single = [name for name in names if name.endswith(".safetensors")]
    if wanted:
        if wanted not in single:
            raise BadInput(f'"{repo}" has no safetensors file {wanted}.', f"It has: {', '.join(single[:8]) or 'none'}.")
        return [wanted]
    if "model_index.json" in names:
        return ["model_index.json", *(name for part in PARTS for name in _part(part, names))]
    if len(single) == 1:
        return single
    if not single:
        raise BadInput(f'"{repo}" holds no safetensors file.', "Pickles are not used here; choose a model in safetensors form.")
    raise BadInput(f'"{repo}" holds {len(single)} safetensors files.', f"Name one: {', '.join(f'{repo}/{name}' for name in single[:8])}.")


def _part(part: str, names: list[str]) -> list[str]:
    """The files of one network or tokenizer of a pipeline."""
    inside = [name for name in names if name.startswith(f"{part}/")]
    weights = [name for name in inside if name.endswith(".safetensors")]
    half = [name for name in weights if ".fp16." in name]
    plain = [name for name in weights if len(name.rsplit("/", 1)[1].split(".")) == 2]
    return [name for name in inside if name.endswith(TEXTS) and not name.endswith(".index.json")] + (half or plain or weights)


def fetch(parcel: Parcel, report: Report = lambda done, total: None, endpoint: str | None = None) -> Path:
    """Download what is not there yet, going on where an earlier try ended, and compare checksums. Returns the file or the folder."""
    if release := RELEASES.get(parcel.repo):
        return releases.fetch(release, report)
    from huggingface_hub import hf_hub_download
    paths: list[Path] = []
    with _watched(parcel, report):
        for file, _, digest in parcel.files:
            got = Path(_asked(parcel.repo, lambda: hf_hub_download(parcel.repo, file, revision=parcel.revision, endpoint=endpoint)))
            if digest and sha256(got) != digest:
                got.resolve().unlink(missing_ok=True)
                raise MissingWeights(f"{file} does not have the checksum that the hub states; it was removed.", "Download it again.")
            paths.append(got)
    report(parcel.bytes, parcel.bytes)
    return paths[0] if parcel.only else paths[0].parent


class _watched:
    """Reports how many bytes lie in the hub's cache, the unfinished ones too, while the block runs."""

    def __init__(self, parcel: Parcel, report: Report) -> None:
        self.parcel, self.report, self.over = parcel, report, threading.Event()

    def __enter__(self) -> None:
        from huggingface_hub import constants
        self.blobs = Path(constants.HF_HUB_CACHE) / f"models--{self.parcel.repo.replace('/', '--')}" / "blobs"
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(LOOK_S):
            try:
                there = sum(blob.stat().st_size for blob in self.blobs.glob("*"))
            except OSError:                          # a blob was renamed while we looked
                continue
            self.report(min(there, self.parcel.bytes), self.parcel.bytes)


def _asked(repo: str, question: Callable[[], Any]) -> Any:
    """The hub's answer, or a StudioError that says why there is none."""
    from huggingface_hub import errors
    try:
        return question()
    except errors.OfflineModeIsEnabled:
        raise StudioError(f'"{repo}" is not asked for: HF_HUB_OFFLINE is set.', "Unset it, or give a file that is here.") from None
    except errors.GatedRepoError:
        raise StudioError(f'"{repo}" wants its terms accepted first.', "Accept them on its page and set HF_TOKEN.") from None
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError, errors.HFValidationError):
        raise StudioError(f'The hub has no model "{repo}" that you may see.', "Check the name; for a private one set HF_TOKEN.") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StudioError(f'"{repo}" cannot be had from the hub now: {said}', "Check the network and run the same again; what came is kept.") from None
    except Exception as error:
        if not type(error).__module__.startswith(("http", "requests", "huggingface_hub")):
            raise                                    # not the transport's: a mistake of ours
        raise StudioError(f'"{repo}" cannot be had from the hub now: {error}.', "Check the network and run the same again; what came is kept.") from None
