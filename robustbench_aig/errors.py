"""What can go wrong, told in one line that names the cause and the way out.

AigrobError
├── InputError        bad usage or input (exit 2)
│   ├── ThreatError   an epsilon or a norm that cannot be meant
│   ├── RecipeError   a recipe that does not parse or validate
│   ├── DataError     a data set that cannot be read
│   ├── RunError      a run or report directory that is missing, damaged or foreign
│   │   ├── DamagedError      a file of it isn't what was written
│   │   └── LostProcessError  one of several processes has ended
│   └── NetworkError  a network that isn't ours fails on images
├── AttackError       an attack crashed, returned NaN or left the ball: its images are errors, never robust (exit 1)
│   └── NotFiniteError  a network returned NaN or infinite logits
├── CheckError        checks were carried out, and some failed (exit 1)
└── Interrupted       stopped by the user; what is finished is on disk (exit 3)
"""

import difflib
import re
from collections.abc import Iterable


class AigrobError(Exception):
    """Base of all errors that the command line shows as one line instead of a traceback."""

    exit_code = 2


class InputError(AigrobError):
    """Bad usage or bad input."""


class ThreatError(InputError):
    """An epsilon or a norm that cannot be meant."""


class RecipeError(InputError):
    """A recipe that does not parse or validate."""


class DataError(InputError):
    """A data set that cannot be read."""


class RunError(InputError):
    """A run or report directory that is missing, damaged or foreign."""


class DamagedError(RunError):
    """A file of a report directory isn't what was written, or is missing.

    Attributes:
        damage: what is wrong with which file, without the way out.
    """

    def __init__(self, damage: str, way_out: str = "restore it, or run the same attack with --resume") -> None:
        super().__init__(f"{damage}: {way_out}")
        self.damage = damage


class LostProcessError(RunError):
    """One of the processes that share an evaluation has ended."""

    def __init__(self) -> None:
        super().__init__("another process of this evaluation has ended; continue with --resume")


class NetworkError(InputError):
    """A network that isn't ours fails on images."""


class AttackError(AigrobError):
    """An attack crashed, returned NaN or left the ball."""

    exit_code = 1


class NotFiniteError(AttackError):
    """A network returned NaN or infinite logits."""

    def __init__(self) -> None:
        super().__init__("the network returned NaN or infinite logits")


class CheckError(AigrobError):
    """Checks were carried out, and some failed."""

    exit_code = 1


class Interrupted(AigrobError):
    """Stopped by the user; finished work is on disk."""

    exit_code = 3


_PHRASES = ("DefaultCPUAllocator", "STATUS_ALLOC_FAILED", "out of memory")
"""How torch's allocator on the CPU, and cuBLAS and cuDNN, say in a RuntimeError that there is no memory."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error is about memory: OutOfMemoryError of torch, MemoryError of Python and numpy, …."""
    return type(error).__name__.endswith("MemoryError") or any(phrase in str(error) for phrase in _PHRASES)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error message: the nearest known name, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names) or 'none'}"


def printable(text: str) -> str:
    """A text of anybody as a terminal may show it: control characters and lone surrogates as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All but tab and line feed; among them those that turn the direction in which a line is read."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """An error message: a name that isn't known, and the nearest one that is."""
    return f"unknown {what} '{name}': {did_you_mean(name, known)}"


def first_line(error: BaseException) -> str:
    """The first line of a library's message: the rest is for its developers."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
