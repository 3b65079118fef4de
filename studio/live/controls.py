"""The knobs of the live tab as one checked value, as the page sends them."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from models.errors import BadInput
from models.job import AdapterUse, Extent, Job
from models.spec import BaseSpec

_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool}


@dataclass(frozen=True)
class Controls:
    """`strength`: 0 keeps the drawing, 1 ignores it. `refine`: render again at the base's most steps when the hand rests. `look`: id
    of a LoRA, "" = none."""
    prompt: str = ""
    negative: str = ""
    style: str = ""
    base: str = "embedded"
    seed: int = 0
    steps: int = 1
    strength: float = 0.85
    refine: bool = True
    look: str = ""
    look_strength: float = 1.0

    def updated(self, values: dict) -> Controls:
        """A copy with the page's values. Unknown names and wrong kinds are refused, nothing is changed then."""
        kinds = {f.name: _TYPES.get(f.type, tuple) for f in fields(self)}
        for name, value in values.items():
            if name not in kinds:
                raise BadInput(f"This canvas has no setting called {str(name)[:40]!r}.")
            if not isinstance(value, kinds[name]) or (isinstance(value, bool) and kinds[name] is not bool):
                raise BadInput(f"The setting {name} cannot be {str(value)[:40]!r}.")
        return replace(self, **values)

    def to_dict(self) -> dict:
        return asdict(self)


def job_of_words(controls: Controls, spec: BaseSpec, keep_out: str = "") -> Job:
    """What the knobs ask for without a drawing. `keep_out`: the adapter that lets a base without guidance avoid words, "" = none."""
    side = spec.native_px[0]
    negative = controls.negative.strip() if spec.negative_prompt or keep_out else ""
    uses = ((AdapterUse(controls.look, float(controls.look_strength)),) if controls.look else ()) + (
        (AdapterUse(keep_out),) if keep_out and negative else ())
    return Job(prompt=controls.prompt.strip(), base=controls.base, style=controls.style, seeds=(controls.seed,), negative=negative,
               extent=Extent(side, side), steps=min(max(controls.steps, spec.min_steps), spec.max_steps), adapters=uses)
