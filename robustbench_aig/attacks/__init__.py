"""Attacks: the protocol and its guard, our own gradient attacks, other providers', noise as a control."""

from robustbench_aig.attacks.apgd import Apgd
from robustbench_aig.attacks.attack_factory import build_attack, provider_version
from robustbench_aig.attacks.attack_guard import Attacked, run_attack
from robustbench_aig.attacks.attack_interface import Attack, View
from robustbench_aig.attacks.fgsm_and_pgd import Fgsm, Pgd
from robustbench_aig.attacks.noise import Corners

__all__ = [
    "Apgd",
    "Attack",
    "Attacked",
    "Corners",
    "Fgsm",
    "Pgd",
    "View",
    "build_attack",
    "provider_version",
    "run_attack",
]
