"""The directive `fields`: the keys of a recipe or a report, as tables, from the models that validate them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from robustbench_aig.recipes.recipe_files import TAG_KEYS


class Fields(SphinxDirective):
    """`{fields} package.module.Model` lists the model's fields, and those of every model inside it once."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Markdown tables, parsed."""
        module, _, name = self.arguments[0].rpartition(".")
        return self.parse_text_to_nodes("\n".join(tables(getattr(import_module(module), name))))


def tables(root: type[BaseModel]) -> Iterator[str]:
    """Lines of Markdown: for each model its name, what it is, and a row for each field."""
    waiting, seen = [root], {root}
    while waiting:
        model = waiting.pop(0)
        yield f"\n**{model.__name__}** — {_paragraph(model.__doc__ or '')}\n"
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        for name, field in model.model_fields.items():
            kind, meaning = _cell(_type(field.annotation)), _cell(field.description or "")
            default = "" if name in TAG_KEYS else _default(field)
            yield f"| `{name}` | {kind} | {default} | {meaning} |"
        for inner in (each for field in model.model_fields.values() for each in _models(field.annotation)):
            if inner not in seen:
                seen.add(inner)
                waiting.append(inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    """The models that an annotation names, wherever in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _type(annotation: Any) -> str:  # noqa: ANN401
    """An annotation in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " | ".join(_type(each) for each in arguments if each is not NoneType)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])} to {_type(arguments[1])}"
    return str(annotation.__name__) if isinstance(annotation, type) else "anything"


def _default(field: FieldInfo) -> str:
    """The default, where one can be told in a word."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    return "by its own keys" if isinstance(value, BaseModel) else _cell("none" if value is None else f"`{value}`")


def _paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's way in."""
    app.add_directive("fields", Fields)
    return {"parallel_read_safe": True}
