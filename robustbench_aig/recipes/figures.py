"""What a network measures, and what was published of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from robustbench_aig.recipes.section import Count, Section


class Figures(Section):
    """Counted by `make figures` from the network itself; a test holds them."""

    classes: Count
    shape: Annotated[list[Count], Field(min_length=3, max_length=3, description="channels, height, width")]
    parameters: Count
    macs: Annotated[int, Field(ge=1, description="multiply-accumulates per image with every gate open")]


class Published(Section):
    """The same quantities as printed elsewhere, digit for digit."""

    parameters: str | None = Field(None, description="with its unit, as printed: '1.7 M'")
    operations: str | None = Field(None, description="per image, as printed: '0.5 G'")
    convention: Literal["mac", "2mac"] = Field("2mac", description="what the source counts as one operation")
    source: str
    exception: dict[Literal["parameters", "operations"], str] | None = Field(
        None, description="why our figure differs by more than 1 % and one unit of the last digit"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_runs(cls, content: object) -> object:
        """Runs trained before figures had several exceptions hold an empty key."""
        if isinstance(content, dict) and content.get("exception", "") is None:
            return {key: value for key, value in content.items() if key != "exception"}
        return content
