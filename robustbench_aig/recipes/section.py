"""The base of all sections, and the numbers they hold."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from robustbench_aig.policy_traits import POLICIES

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
_FITTING = [name for name, traits in POLICIES.items() if not (traits.given or traits.leaks)]


def _fits(name: str) -> str:
    if name not in _FITTING:
        raise ValueError(f"'{name}' is no gate policy that fits here: known are {', '.join(_FITTING)}")
    return name


GatePolicy = Annotated[str, AfterValidator(_fits), Field(json_schema_extra={"enum": [*_FITTING]})]
"""One that fits any gated network as it is, and whose noise no attacker knows."""


class Section(BaseModel):
    """Base: unknown keys and silent conversions are refused; a resolved recipe cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def changed(self, **settings: Any) -> Self:  # noqa: ANN401 - whatever keys it has
        """The same with other settings, as valid as if all had been said at once."""
        said = {key: getattr(self, key) for key in self.model_fields_set}
        return self.model_validate(said | settings)
