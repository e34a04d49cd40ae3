"""Norms and gate policies are named where they are declared, and nobody asks which of them it is."""

import ast
from functools import cache
from pathlib import Path

import pytest

from robustbench_aig.norms import BALLS
from robustbench_aig.policy_traits import USUAL
from robustbench_aig.recipes import Adversarial
from robustbench_aig.recipes.claim_recipes import AccuracyClaim

PACKAGE = Path(__file__).parent.parent / "robustbench_aig"


@cache
def code() -> dict[str, list[ast.AST]]:
    """All that the files of the package say, but for comments."""
    files = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
    return {name: list(ast.walk(ast.parse(text))) for name, text in files.items()}


def naming(name: str) -> set[str]:
    """The files in whose code a name stands as a text."""
    return {
        file
        for file, nodes in code().items()
        if any(isinstance(node, ast.Constant) and node.value == name for node in nodes)
    }


def test_a_norm_takes_at_most_three_files() -> None:
    """l1 came last: what it is, and the provider whose attacks know it."""
    assert naming("l1") == {"norms.py", "attacks/providers/adv_lib.py"}


def test_a_gate_policy_is_named_in_one_file() -> None:
    for name in USUAL:
        assert naming(name) == {"policy_traits.py"}


def test_nobody_asks_which_norm_it_is() -> None:
    """An `else` would take every further norm for the other one: the ball is asked. Providers have quirks in one."""
    for file, nodes in code().items():
        for node in nodes:
            if isinstance(node, ast.Compare) and not file.startswith("attacks/providers/"):
                named = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                assert not named & set(BALLS), f"{file}:{node.lineno}"


def test_recipes_take_policies_that_fit_any_network() -> None:
    assert AccuracyClaim.model_validate({"about": "accuracy", "policies": ["open"]}).policies == ["open"]
    assert Adversarial.model_validate({"method": "pgd", "gates": "expected"}).gates == "expected"
    for name, said in (("argmin", "argmax"), ("static", "here"), ("known", "here")):
        with pytest.raises(ValueError, match=said):
            Adversarial.model_validate({"method": "pgd", "gates": name})
