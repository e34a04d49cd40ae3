"""Parts of a page that may fail by themselves: evidence and numbers never wait for a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from robustbench_aig.errors import AigrobError, first_line

T = TypeVar("T")
U = TypeVar("U")
_NOTE = Markup(
    '<div class="banner"><p><strong>Missing.</strong> {} could not be made; the numbers are in report.json.</p></div>'
)


@dataclass
class Contained:
    """Makes parts of a page, and names those that it can't.

    Attributes:
        lost: what could not be made, each with the reason.
    """

    lost: list[str] = field(default_factory=list)

    def part(self, what: str, make: Callable[[], T], instead: U) -> T | U:
        """What `make` returns, or `instead` where it fails; what has a line of its own for the user is raised."""
        try:
            return make()
        except AigrobError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the evidence is complete
            self.lost.append(f"{what} ({type(error).__name__}: {first_line(error)})")
            return instead

    @pass_context
    def section(self, context: Context, name: str) -> Markup:
        """The HTML of a section by its template, which knows all that the page's does; or a note in its place."""
        page = context.environment.get_template(name)
        made = self.part(f"The section {name}", lambda: Markup(page.render(context.get_all())), None)  # noqa: S704
        return _NOTE.format(self.lost[-1]) if made is None else made


def plain_page(reason: str) -> str:
    """What stands in place of a page that could not be made at all."""
    head = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>aigrob</title></head>'
    return f"{head}<body>{_NOTE.format(reason)}</body></html>\n"
