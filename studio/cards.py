"""What there is to know of every model: the lines of `models list`, of GET /api/models and of the Models tab."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from models.errors import StudioError
from models.shelf import Model
from models.spec import BaseSpec

PAGE = 60


def cards(engine: Any, search: str = "", kind: str = "", limit: int = PAGE, offset: int = 0) -> dict[str, Any]:
    """{"items": [card], "total", "reading": (done, total)}: what ships first, then the user's own, both by search words.

    A card: id, title, kind, plugin ("base", "adapter", "percept" or "" = cannot be loaded), arch, bytes, where, words, facts,
    knows, licence, error, path, state (absent, resident, pinned, parked, loading) and, when in memory, memory_bytes, used_at, load_s.
    """
    shelf, state = engine.catalog.shelf, _states(engine)
    shipped = [card for card in _shipped(engine.catalog) if _matches(card, search, kind)]
    own = shelf.models(search, kind, limit=max(0, limit - len(shipped[offset:])), offset=max(0, offset - len(shipped))) if shelf else []
    items = [*shipped[offset:offset + limit], *(own_card(model) for model in own)]
    return {"items": [card | state.get((card["plugin"], card["id"]), {"state": "absent"}) for card in items],
            "total": len(shipped) + (shelf.count(search, kind) if shelf else 0), "reading": shelf.progress if shelf else (0, 0)}


def memory(engine: Any) -> dict[str, Any]:
    """What is in memory, of how much: for the bar."""
    status = engine.status()
    rows = [{"id": r.id, "kind": r.kind, "title": getattr(engine.catalog, r.kind)(r.id).spec.title, "bytes": r.bytes, "pinned": r.held,
             "busy": r.pinned, "parked": r.parked, "used_at": r.used_at, "load_s": r.load_s} for r in status.resident]
    return {"device": status.device, "dtype": status.dtype, "budget_bytes": status.budget_bytes, "used_bytes": status.used_bytes,
            "resident": rows, "loading": list(engine.registry.loading or ())}


def own_card(model: Model) -> dict[str, Any]:
    """The card of one of the user's files."""
    return {"id": model.id, "title": model.title, "kind": model.kind or "unknown", "plugin": model.plugin, "arch": model.arch,
            "bytes": model.bytes, "where": "yours", "path": model.path, "words": list(model.words), "facts": model.facts or {},
            "knows": (model.facts or {}).get("description", ""), "licence": (model.facts or {}).get("licence", ""), "error": model.error}


def _shipped(catalog: Any) -> list[dict[str, Any]]:
    """Cards of what the studio knows by itself: weights in assets/, hub models by name, methods without weights."""
    return [_spec_card(spec, plugin) for plugin in ("base", "adapter", "percept") for spec in catalog.known(plugin).values()]


def _spec_card(spec: Any, plugin: str) -> dict[str, Any]:
    first = spec.files[0] if spec.files else None
    where = "no weights" if first is None else f"hub: {first.repo}" if first.repo else "yours" if Path(first.file).is_absolute() else "shipped"
    kind = "base" if isinstance(spec, BaseSpec) else getattr(spec, "kind", plugin)
    return {"id": spec.id, "title": spec.title, "kind": kind, "plugin": plugin, "arch": str(getattr(spec, "arch", "")), "bytes": spec.bytes,
            "where": where, "path": first.file if where == "yours" else "", "words": [], "facts": {}, "knows": getattr(spec, "knows", ""),
            "licence": spec.licence, "error": ""}


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
