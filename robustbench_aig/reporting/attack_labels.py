"""Short labels for attacks whose names are long: `A7 apgd` for `apgd:steps=20,gates=straight-through`."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from robustbench_aig.reporting.words import attack_text


class AttackLabels:
    """The labels of one page. Attacks without changed settings keep their names.

    Args:
        names: of all attacks, in the plan's order, by which they are numbered.
    """

    def __init__(self, names: Iterable[str]) -> None:
        changed = [name for name in dict.fromkeys(names) if ":" in name]
        self._anchors = {name: f"A{number}" for number, name in enumerate(changed, 1)}

    def anchor(self, name: str) -> str | None:
        """Where the page lists an attack's settings, as `A7`; None for one that keeps its name."""
        return self._anchors.get(name)

    def text(self, name: str) -> str:
        """`A7 apgd`, or the name, where no link can be."""
        anchor = self.anchor(name)
        return attack_text(name) if anchor is None else f"{anchor} {attack_text(name.partition(':')[0])}"

    def link(self, name: str) -> Markup:
        """The same as a link to the list, which has the whole name in its title."""
        anchor = self.anchor(name)
        if anchor is None:
            return Markup("{}").format(attack_text(name))
        told = anchor, attack_text(name), self.text(name)
        return Markup('<a class="attack" href="#{}" title="{}">{}</a>').format(*told)
