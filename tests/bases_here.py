"""Ids of the bases that contract tests run over, known before a fixture is made."""
from __future__ import annotations

from models.catalog import Catalog
from models.errors import MissingWeights
from models.spec import AdapterSpec, BaseSpec
from models.weights import locate

TINY = ("tiny-student", "tiny-teacher", "tiny-sd1", "tiny-sd1-file", "tiny-sd2", "tiny-sd2-file", "tiny-sdxl", "tiny-sdxl-file",
        "tiny-sana", "tiny-sana-sprint")


def is_here(spec: BaseSpec | AdapterSpec) -> bool:
    """Whether all files of a spec are on this machine and shipped with the project."""
    try:
        return all(locate(file) for file in spec.files) and not any(file.repo for file in spec.files)
    except MissingWeights:
        return False


def shipped_bases() -> list[str]:
    return [id for id, spec in Catalog().bases.items() if is_here(spec)]


def shipped_adapters() -> list[tuple[str, str]]:
    """(adapter, base) for every shipped adapter that changes pictures, and the first shipped base it fits."""
    catalog, here = Catalog(), shipped_bases()
    fits = {spec.id: [id for id in here if spec.fits(catalog.bases[id].arch)] for spec in catalog.adapters.values()
            if spec.kind != "record"}
    return [(adapter, bases[0]) for adapter, bases in fits.items() if bases]
