"""What every spec must say, found by discovery, and that saying it costs nothing."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models import adapters, bases, percepts
from models.catalog import Catalog
from models.errors import BadInput, Conflict, Incompatible, MissingWeights, UnknownId
from models.job import Extent, Job
from models.spec import BaseSpec

CATALOG = Catalog()
BASES = list(CATALOG.bases.values())


def test_reading_every_spec_imports_no_model_library() -> None:
    code = ("import sys; from models.catalog import Catalog; c = Catalog(); assert c.bases\n"
            "print([m for m in ('diffusers', 'transformers', 'peft', 'accelerate', 'gradio', 'torchvision') if m in sys.modules])")
    root = Path(__file__).resolve().parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert out.stdout.strip() == "[]"


def test_ids_are_unique_over_all_kinds_and_fit_a_command_line() -> None:
    ids = [*CATALOG.bases, *CATALOG.adapters, *CATALOG.percepts]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", id) for id in ids)


@pytest.mark.parametrize("package", [bases, adapters, percepts], ids=lambda p: p.__name__)
def test_every_public_file_is_a_plug_in(package) -> None:
    for path in sorted(Path(package.__path__[0]).glob("[!_]*.py")):
        module = sys.modules[f"{package.__name__}.{path.stem}"]
        assert isinstance(module.SPECS, tuple) and callable(module.load), path.name


@pytest.mark.parametrize("spec", BASES, ids=lambda s: s.id)
def test_base_specs_are_consistent(spec: BaseSpec) -> None:
    assert spec.title and spec.knows and spec.licence and spec.files and spec.bytes > 1_000_000
    assert spec.min_steps <= spec.default_steps <= spec.max_steps
    assert all(side % spec.multiple_px == 0 for side in (spec.min_px, spec.max_px, *spec.native_px))
    assert all(spec.min_px <= side <= spec.max_px for side in spec.native_px)
    assert len({style.id for style in spec.styles}) == len(spec.styles)
    assert spec.negative_prompt or spec.default_guidance == 1


@pytest.mark.parametrize("spec", BASES, ids=lambda s: s.id)
def test_the_plainest_job_of_a_base_passes_the_check(spec: BaseSpec) -> None:
    side = spec.native_px[0]
    job = Job(base=spec.id, steps=spec.default_steps, extent=Extent(side, side))
    CATALOG.check(job)
    for change in (dict(steps=spec.max_steps + 1), dict(extent=Extent(side + 1, side)), dict(extent=Extent(side, spec.max_px + spec.multiple_px))):
        with pytest.raises(BadInput):
            CATALOG.check(job.but(**change))
    if not spec.negative_prompt:
        with pytest.raises(Incompatible):
            CATALOG.check(job.but(negative="blur"))


def test_adapter_specs_are_consistent() -> None:
    for spec in CATALOG.adapters.values():
        assert spec.title and spec.kind and spec.knows and spec.licence and spec.max_strength > 0
        assert spec.bytes > 1000 if spec.files else spec.bytes == 0
        assert any(spec.fits(base.arch) for base in BASES), f"{spec.id} fits no base"


def test_unknown_ids_list_what_exists() -> None:
    with pytest.raises(UnknownId, match='no base "dalle".*Known: .*embedded'):
        CATALOG.check(Job(base="dalle"))
    with pytest.raises(UnknownId, match='"dalle" is no base that is known here'):
        CATALOG.resolve_base("dalle")


def test_two_files_with_one_id_are_a_conflict(tiny_folder: Path, tmp_path: Path) -> None:
    catalog, twin = Catalog(), tmp_path / "tiny-student.safetensors"
    twin.write_bytes((tiny_folder / "tiny-teacher.safetensors").read_bytes())
    catalog.resolve_base(str(tiny_folder / "tiny-student.safetensors"))
    assert catalog.resolve_base(str(tiny_folder / "tiny-student.safetensors")).id == "tiny-student"
    with pytest.raises(Conflict, match="Rename"):
        catalog.resolve_base(str(twin))


@pytest.mark.parametrize("source", ["nowhere/at/all", "./nothing", "gone.safetensors", "no-such-owner/no-such-model"])
def test_sources_that_do_not_exist_are_refused_with_a_cure(source: str) -> None:
    with pytest.raises((BadInput, MissingWeights), match="Check the path|hf download"):
        Catalog().resolve_base(source)


def test_abilities_name_what_a_base_can_do_with_what_is_there() -> None:
    catalog = Catalog()
    student, teacher = catalog.able("embedded"), catalog.able("embedded-teacher")
    assert student.can("negative_prompt") and student.granted["negative_prompt"] == "keep-out"
    assert teacher.can("negative_prompt") and "negative_prompt" not in teacher.granted
    assert student.can("image_to_image") and student.why_not("image_to_image") == ""
    assert "ink" in student.looks and student.spec.id == "embedded"
    flat = catalog.able("sd15")
    assert not flat.can("rgba") and "no rgba" in flat.why_not("rgba") and "ink" not in flat.looks


def test_an_adapter_is_found_by_id_title_and_file_name() -> None:
    catalog = Catalog()
    assert {catalog.adapter_named(name) for name in ("ink", "Ink and wash", "INK.safetensors")} == {"ink"}
    with pytest.raises(UnknownId, match="nobody"):
        catalog.adapter_named("nobody")
