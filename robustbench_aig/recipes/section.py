"""The base of all sections, and the numbers they hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base: unknown keys and silent conversions are refused; a resolved recipe cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
