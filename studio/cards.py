"""What there is to know of every model: the lines of `models list`, of GET /api/models and of the Models tab."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from models.errors import StudioError
from models.shelf import Model
from models.spec import BaseSpec, WeightFile
from models.weights import locate

PAGE = 60
SAME_KIND = {"control": "controlnet", "image_prompt": "ip_adapter", "rgba": "layerdiffuse", "concept": "embedding"}
"""What the studio's own adapters are called in the folders of the user."""


def cards(engine: Any, search: str = "", kind: str = "", limit: int = PAGE, offset: int = 0) -> dict[str, Any]:
    """{"items": [card], "total", "reading": (done, total)}: what ships first, then the user's own, both by search words, then what
    would have to be downloaded.

    A card: id, title, kind, plugin ("base", "adapter", "percept" or "" = cannot be loaded), arch, bytes, here (false = its weights
    are not on this machine), repo, where, path, words, facts, knows, licence, error, state (absent, resident, pinned, parked, loading)
    and, when in memory, memory_bytes, used_at, load_s.
    """
    shelf, state = engine.catalog.shelf, _states(engine)
    known = [card for card in _known(engine) if _matches(card, search, kind)]
    here, away = [card for card in known if card["here"]], [card for card in known if not card["here"]]
    count = shelf.count(search, kind) if shelf else 0
    own = shelf.models(search, kind, limit=max(0, limit - len(here[offset:])), offset=max(0, offset - len(here))) if shelf else []
    items = [*here[offset:], *(own_card(model) for model in own), *away[max(0, offset - len(here) - count):]][:limit]
    return {"items": [card | state.get((card["plugin"], card["id"]), {"state": "absent"}) for card in items],
            "total": len(known) + count, "reading": shelf.progress if shelf else (0, 0)}


def memory(engine: Any) -> dict[str, Any]:
    """What is in memory, of how much: for the bar."""
    status = engine.status()
    rows = [{"id": r.id, "kind": r.kind, "title": getattr(engine.catalog, r.kind)(r.id).spec.title, "bytes": r.bytes, "pinned": r.held,
             "busy": r.pinned, "parked": r.parked, "used_at": r.used_at, "load_s": r.load_s} for r in status.resident]
    return {"device": status.device, "dtype": status.dtype, "budget_bytes": status.budget_bytes, "used_bytes": status.used_bytes,
            "resident": rows, "loading": list(engine.registry.loading or ())}


def own_card(model: Model) -> dict[str, Any]:
    """The card of one of the user's files."""
    return {"here": True, "repo": "", "id": model.id, "title": model.title, "kind": model.kind or "unknown", "plugin": model.plugin, "arch": model.arch,
            "bytes": model.bytes, "where": "yours", "path": model.path, "words": list(model.words), "facts": model.facts or {},
            "knows": (model.facts or {}).get("description", ""), "licence": (model.facts or {}).get("licence", ""), "error": model.error}


def _known(engine: Any) -> list[dict[str, Any]]:
    """Cards of what the studio knows by itself: weights in assets/, hub models by name, methods without weights."""
    cache_dir = getattr(engine.registry, "cache_dir", None)
    tables = ((plugin, engine.catalog.known(plugin)) for plugin in ("base", "adapter", "percept"))
    return [_spec_card(spec, plugin, cache_dir) for plugin, table in tables for spec in table.values()]


def _spec_card(spec: Any, plugin: str, cache_dir: Path | None) -> dict[str, Any]:
    first = spec.files[0] if spec.files else None
    where = "no weights" if first is None else f"hub: {first.repo}" if first.repo else "yours" if Path(first.file).is_absolute() else "shipped"
    kind = "base" if isinstance(spec, BaseSpec) else getattr(spec, "kind", plugin)
    return {"id": spec.id, "title": spec.title, "kind": SAME_KIND.get(kind, kind), "plugin": plugin, "arch": str(getattr(spec, "arch", "")),
            "bytes": spec.bytes, "here": _is_here(first, cache_dir), "repo": first.repo if first else "", "where": where,
            "path": first.file if where == "yours" else "", "words": [], "facts": {}, "knows": getattr(spec, "knows", ""),
            "licence": spec.licence, "error": ""}


def _is_here(first: WeightFile | None, cache_dir: Path | None) -> bool:
    """Whether the first weight file is on this machine."""
    try:
        return first is None or bool(locate(first, cache_dir))
    except StudioError:
        return False


def _matches(card: dict[str, Any], search: str, kind: str) -> bool:
    text = " ".join(str(card[name]) for name in ("id", "title", "kind", "arch", "where", "knows")).lower()
    return all(word in text for word in search.lower().split()) and kind in ("", card["kind"])


def _states(engine: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """{(kind, id): state and figures} of what is in memory or on its way."""
    out = {(r.kind, r.id): {"state": "pinned" if r.held else "parked" if r.parked else "resident", "busy": r.pinned, "memory_bytes": r.bytes,
                            "used_at": r.used_at, "load_s": r.load_s} for r in engine.registry.resident()}
    if engine.registry.loading:
        out[engine.registry.loading] = {"state": "loading"}
    return out


def act(engine: Any, action: str, kind: str, id: str) -> None:
    """load, unload, pin or unpin one model. Raises StudioError; unpinning what is not there is nothing."""
    registry = engine.registry
    if action in ("load", "pin"):
        work = registry.warm if action == "load" else registry.hold
        engine.by_hand(lambda: work(kind, id))
    elif action == "unpin":
        registry.release(kind, id)
    elif action == "unload":
        registry.release(kind, id)
        engine.by_hand(lambda: registry.evict(kind, id))
    else:
        raise StudioError(f'There is no action "{action}".', "Known: load, unload, pin, unpin.")
