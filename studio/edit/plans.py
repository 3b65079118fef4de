"""A plan as the page keeps it: every step as in models/flows/plan_edit.py with an id and a title, its mask the id of a picture."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.errors import BadInput
from models.flows.edit import Edited, How
from models.flows.plan_edit import TOOLS, Plan, Step, plan_of
from models.job import Extent, Job, Picture
from models.pixels import resize
from models.spec import BaseSpec
from studio.workbench.task import Call, mask_from

MOST_STEPS = 24
MOST_VARIANTS = 4
STEPS = 4                                            # of distilled bases; others take their own default
GONE, ALL = 8, 0.995                                 # fewer px than that are no mask; a larger share of the picture is all of it
Keep = Callable[[Picture], str]                     # keeps a picture or a mask of one channel, says its id


def tools() -> list[dict[str, Any]]:
    """What the page shows of every tool, in the order of the menu."""
    return [{"id": tool.id, "title": tool.title, "about": tool.about, "fields": list(tool.fields), "finds": tool.finds,
             "strength_says": tool.strength_says, "amount": list(tool.amount) if tool.amount else None, "repaints": tool.repaints, "strength": tool.strength}
            for tool in TOOLS.values()]


def routed(instruction: str, chat: Any = None) -> dict[str, Any]:
    """Words -> the plan for the page. Raises BadInput for what is empty, contradictory or not understood."""
    return plan_out(plan_of(instruction, chat))


def plan_out(plan: Plan) -> dict[str, Any]:
    return {"steps": [step_out(step) for step in plan.steps], "instruction": plan.instruction, "by": plan.by, "notes": list(plan.notes)}


def step_out(step: Step, keep: Keep | None = None) -> dict[str, Any]:
    """A step as JSON; a mask of its own is kept by `keep`."""
    values = replace(step, mask=None).to_dict()
    values.pop("mask", None)
    mask = keep(step.mask) if step.mask is not None and keep else None
    return values | {"title": step.title(), "about": TOOLS[step.tool].title} | ({"mask": mask} if mask else {})


def steps_in(values: object, pictures: Mapping[str, Picture]) -> tuple[Step, ...]:
    """The page's steps; masks are looked up and checked. Raises BadInput, the step's number in it."""
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_STEPS or not all(isinstance(value, dict) for value in values):
        raise BadInput(f"A plan has 1 to {MOST_STEPS} steps.")
    return tuple(step_in(value, pictures, i + 1) for i, value in enumerate(values))


def step_in(value: dict[str, Any], pictures: Mapping[str, Picture], number: int = 1) -> Step:
    fields = {k: v for k, v in value.items() if k not in ("mask", "title", "about")}
    step = Step.from_dict(fields)
    return step if not value.get("mask") else step.but(mask=mask_in(value["mask"], pictures, number))


def mask_in(id: object, pictures: Mapping[str, Picture], number: int = 1, extent: Extent | None = None) -> Picture:
    """The mask that the page drew, 255 where it may change, at the size of what it lies on. Raises BadInput for one of nothing or of everything."""
    if not isinstance(id, str) or id not in pictures:
        raise BadInput(f"The mask of step {number} is not here any more.", "Draw it again, or let it be found.")
    mask = mask_from(pictures, id, extent)
    if (mask.array > 127).sum() < GONE:
        raise BadInput(f"The mask of step {number} marks nothing.", "Brush over what should change, or let it be found by words.")
    if (mask.array > 127).mean() > ALL:
        raise BadInput(f"The mask of step {number} marks the whole picture.", "Leave out what should stay, or take the mask away.")
    return mask


def fitted(step: Step, extent: Extent) -> Step:
    """The step with its mask at the size of the picture that it works on: steps before it may have changed that."""
    mask = step.mask
    return step if mask is None or (mask.width, mask.height) == (extent.width, extent.height) else step.but(mask=resize(mask, extent))


def how_in(values: object, spec: BaseSpec) -> How:
    """What all steps share: {style, steps, seed, strict, variants, shows}."""
    if not isinstance(values, dict):
        raise BadInput('"how" is an object.')
    style = _one_of(values, "style", ("", *(style.id for style in spec.styles)))
    steps = _whole(values, "steps", max(spec.default_steps, min(STEPS, spec.max_steps)), spec.min_steps, spec.max_steps)
    job = Job(base=spec.id, style=style, steps=steps, seeds=(_whole(values, "seed", 0, 0, 2 ** 31),), extent=Extent(*[spec.native_px[0]] * 2))
    shows = values.get("shows", "")
    if not isinstance(shows, str) or len(shows) > 1000:
        raise BadInput("What the picture shows is said in up to 1,000 characters.")
    return How(job, shows=shows.strip(), strict=values.get("strict", True) is not False, variants=_whole(values, "variants", 1, 1, MOST_VARIANTS))


def edited_out(done: Edited, keep: Keep) -> dict[str, Any]:
    """What a step gave, its pictures kept."""
    mask = None if done.mask is None else keep(done.mask)
    return {"id": done.step.id, "before": keep(done.before), "after": keep(done.after), "mask": mask, "score": round(float(done.score), 3),
            "notes": list(done.notes), "others": [keep(other) for other in done.others], "seconds": round(float(done.seconds), 2), "title": done.step.title(),
            "width": done.after.width, "height": done.after.height}


def _whole(values: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f'"{name}" must be a whole number from {low:,} to {high:,}, not {str(value)[:40]}.')
    return value


def _one_of(values: dict[str, Any], name: str, known: Sequence[str]) -> str:
    value = values.get(name, known[0])
    if value not in known:
        raise BadInput(f'There is no {name} "{str(value)[:40]}".', f"Known: {', '.join(filter(None, known))}.")
    return value


def keeping(call: Call) -> Keep:
    """Keeps what a task makes."""
    return lambda picture: call.keep_mask(picture) if picture.channels == 1 else call.keep(picture)["picture"]
