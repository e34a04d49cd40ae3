"""Mutants: a module with one rule changed. What can be changed, and into what, is cosmic-ray's; which, a seed's."""

from __future__ import annotations

import ast
import difflib
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

_BINARY = re.compile(r"ReplaceBinaryOperator_(?P<old>[A-Za-z]+)_(?P<new>[A-Za-z]+)$")
_BITS = {"RShift", "LShift", "BitOr", "BitAnd", "BitXor"}


@dataclass(frozen=True)
class Mutant:
    """One changed rule.

    Attributes:
        module: below the root of the checkout.
        line: of the change, from 1.
        before: that line, without indentation.
        after: what became of it; empty where it was dropped.
        source: of the whole module.
    """

    module: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}\n    - {self.before}\n    + {self.after}"

    @property
    def digest(self) -> str:
        """Names it whatever else is changed in other modules."""
        return hashlib.sha256(f"{self.module}\0{self.source}".encode()).hexdigest()[:16]


def sample(modules: list[Path], root: Path, *, count: int, seed: int) -> list[Mutant]:
    """So many different mutants of some modules in random order; all, where there are no more.

    Of the signs that could stand in the place of a binary one, one is drawn, of arithmetic for one of arithmetic: all
    of them would be two thirds of the mutants, and nearly any test notices them.
    """
    changes = [(module, *change) for module in modules for change in _changes(module.read_text())]
    random.Random(seed).shuffle(changes)  # noqa: S311 - a sample, not a secret
    found: dict[object, Mutant] = {}
    for module, operator, occurrence in changes:
        place = module, operator, occurrence
        if binary := _BINARY.search(operator):
            if (binary["old"] in _BITS) != (binary["new"] in _BITS):
                continue
            place = module, binary["old"], occurrence
        if place not in found and (mutant := _mutant(module, root, operator, occurrence)):
            found[place] = mutant
        if len(found) == count:
            break
    return list(found.values())


def _changes(source: str) -> Iterator[tuple[str, int]]:
    """Each operator's name, with the number of each of the places that it could change."""
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        kind = get_operator(name)
        if not kind.arguments():
            operator = kind()
            positions = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            yield from ((name, occurrence) for occurrence in range(positions))


def _mutant(module: Path, root: Path, operator: str, occurrence: int) -> Mutant | None:
    """None of what doesn't compile, and where only an annotation is changed, which nobody asks in a run."""
    source = module.read_text()
    changed = mutate_code(source, get_operator(operator)(), occurrence)
    if changed is None or _rules(changed) in {None, _rules(source)}:
        return None
    before, after = source.splitlines(), changed.splitlines()
    spans = [
        code for code in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes() if code[0] != "equal"
    ]
    first, last = spans[0], spans[-1]
    lines = (before[first[1] : last[2]], after[first[3] : last[4]])
    was, became = (" ".join(line.strip() for line in part) for part in lines)
    return Mutant(module.relative_to(root).as_posix(), first[1] + 1, was, became, changed)


class _Bare(ast.NodeTransformer):
    """Drops annotations."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _rules(source: str) -> str | None:
    """What runs; None of what doesn't compile."""
    try:
        return ast.dump(_Bare().visit(ast.parse(source)))
    except SyntaxError:
        return None
