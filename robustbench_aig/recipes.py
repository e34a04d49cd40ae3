"""Recipes: what is run, with which numbers, after which paper. TOML in, validated objects out. No torch."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from robustbench_aig.errors import RecipeError, did_you_mean

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base: unknown keys and silent conversions are refused; a resolved recipe cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- models -----------------------------------------------------------------------------------------------------


class ResNetRecipe(Section):
    """A plain CIFAR-style residual network (He et al., arXiv 1512.03385)."""

    algorithm: Literal["resnet"]
    depth: int = Field(description="6n + 2, at least 8")
    widths: Annotated[list[Count], Field(min_length=3, max_length=3)] = [16, 32, 64]

    @model_validator(mode="after")
    def _depth(self) -> ResNetRecipe:
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 and at least 8 (8, 14, 20, 26, …), got {self.depth}")
        return self


class GatedResNetRecipe(ResNetRecipe):
    """Its gated twin (Veit and Belongie, arXiv 1711.11503)."""

    algorithm: Literal["gated-resnet"]  # type: ignore[assignment]
    target: Share | list[Share] = Field(0.6, description="execution rate for all gates, or one for each")
    gate_hidden: Count = 16
    gate_norm: bool = Field(True, description="batch-norm in the gate, as in the official code")

    @model_validator(mode="after")
    def _targets(self) -> GatedResNetRecipe:
        if isinstance(self.target, list) and len(self.target) != self.gates:
            raise ValueError(f"depth {self.depth} has {self.gates} gates, got {len(self.target)} targets")
        return self

    @property
    def gates(self) -> int:
        """Number of gated blocks."""
        return (self.depth - 2) // 2

    @property
    def targets(self) -> list[float]:
        """One target rate per gate."""
        return self.target if isinstance(self.target, list) else [self.target] * self.gates


class Augment(Section):
    """Random crop and flip of training images."""

    crop: Share = Field(0.0, description="largest shift as a share of the image side: 0.125 is 4 pixels of 32")
    flip: bool = Field(False, description="mirror half of the images")


class Optimizer(Section):
    """Stochastic gradient descent with momentum; weight decay acts on everything, as in the official code."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4


class Schedule(Section):
    """Learning rate over the training: linear from 0 up to `lr` at `peak`, then linear down to 0."""

    kind: Literal["triangular"] = "triangular"
    peak: Annotated[float, Field(gt=0, lt=1)] = Field(0.25, description="share of the training before the peak")


class RateLoss(Section):
    """Target-rate loss: weight · reduce over gates of (target - mean decision of the batch)²."""

    weight: Annotated[float, Field(ge=0)] = 2.0
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="mean as in the official code, sum as printed in the paper"
    )
    temperature: Positive = Field(1.0, description="of the gates' softmax in the backward pass")


class Training(Section):
    """How a network is trained."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: Augment = Augment()
    rate_loss: RateLoss | None = None


class ModelRecipe(Section):
    """One file of `models/`."""

    summary: str
    reference: str
    twin: str | None = Field(None, description="the recipe it is compared with")
    default: bool = Field(False, description="trained with its twin when no model is named")
    model: Annotated[ResNetRecipe | GatedResNetRecipe, Field(discriminator="algorithm")]
    training: Training

    @model_validator(mode="after")
    def _rate_loss(self) -> ModelRecipe:
        if isinstance(self.model, GatedResNetRecipe) != (self.training.rate_loss is not None):
            raise ValueError("training.rate_loss belongs to a gated model, and every gated model needs it")
        return self


# --- attacks ----------------------------------------------------------------------------------------------------

Provider = Literal["aigrob", "torchattacks", "foolbox"]


class FgsmRecipe(Section):
    """One step of full size (Goodfellow et al., arXiv 1412.6572)."""

    algorithm: Literal["fgsm"]
    provider: Provider = "aigrob"


class PgdRecipe(Section):
    """Projected gradient descent (Madry et al., arXiv 1706.06083)."""

    algorithm: Literal["pgd"]
    provider: Provider = "aigrob"
    steps: Count = 20
    step: Positive = Field(0.125, description="step size as a share of epsilon")
    random_start: bool = True


class CornersRecipe(Section):
    """A random change of full size, the control: every pixel ±epsilon."""

    algorithm: Literal["corners"]
    provider: Literal["aigrob"] = "aigrob"


AttackSettings = Annotated[FgsmRecipe | PgdRecipe | CornersRecipe, Field(discriminator="algorithm")]


class AttackRecipe(Section):
    """One file of `attacks/` that configures an algorithm."""

    summary: str
    reference: str
    attack: AttackSettings

    @property
    def control(self) -> bool:
        """Whether it is noise that other attacks are compared with, and no part of a union."""
        return self.attack.algorithm == "corners"


class SuiteRecipe(Section):
    """One file of `attacks/` that lists attacks."""

    summary: str
    suite: Annotated[list[str], Field(min_length=1)]


# --- reading ----------------------------------------------------------------------------------------------------

R = TypeVar("R", ModelRecipe, AttackRecipe, SuiteRecipe)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; RecipeError names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path} is not valid TOML: {error}") from None


def validate(kind: type[R], content: dict[str, Any], source: Path | str) -> R:
    """Content to a recipe; RecipeError names file, key and allowed values."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"recipe {source}: {_explain(kind, error)}") from None


def _explain(kind: type[Section], error: ValidationError) -> str:
    """The first problem of a validation error as one line."""
    problems = error.errors()
    # An unknown key explains a missing one that it was meant to be, so it is told first.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = [str(part) for part in first["loc"]]
    # pydantic puts the chosen algorithm and the member of a union into the path; the file has neither.
    key = ".".join(part for part in where if part not in _ALGORITHMS and (part.isidentifier() or part.isdigit()))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {did_you_mean(where[-1], _keys(kind, where[:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in {"missing", "value_error"} else f", got {first['input']!r}"
    return f"{f'key {key!r}: ' if key else ''}{message}{got}"


_ALGORITHMS = {"resnet", "gated-resnet", "fgsm", "pgd", "corners"}


def _keys(kind: type[BaseModel], where: list[str]) -> list[str]:
    """The keys allowed at a place in a recipe."""
    if not where:
        return list(kind.model_fields)
    field = kind.model_fields.get(where[0])
    options: list[Any] = [] if field is None else _sections(field.annotation)
    if len(where) > 1 and where[1] in _ALGORITHMS:
        options = [o for o in options if where[1] in get_args(o.model_fields["algorithm"].annotation)]
        where = where[1:]
    return _keys(options[0], where[1:]) if options else []


def _sections(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a type expression has no narrower type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
