"""Command lines that can be run as they are printed: made of typed parts, quoted for a shell here alone. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

Value = str | Path | int | bool | None | Sequence[str] | Sequence[Path]
"""Of an option: None, False and an empty sequence leave it out, True is a flag, a sequence repeats it."""

_END = "--"
"""Behind it nothing is an option, whatever it begins with."""


def spelled(words: Sequence[str]) -> str:
    """Words as a shell reads them back."""
    return shlex.join(words)


def aigrob(command: str, *names: str | Path, **options: Value) -> str:
    """A command of ours, such as `aigrob("attack", "my run", runs=Path("elsewhere"))`.

    Args:
        command: its name.
        names: what stands without an option.
        options: by name, with `_` for `-`.
    """
    given = [str(name) for name in names]
    chosen = [word for name, value in options.items() for word in _option(f"--{name.replace('_', '-')}", value)]
    # Names come first, as one types them, unless one would be taken for an option there.
    odd = any(name.startswith("-") for name in given)
    return spelled(["aigrob", command, *([*chosen, _END, *given] if odd else [*given, *chosen])])


def _option(flag: str, value: Value) -> list[str]:
    """Its words."""
    if isinstance(value, bool) or value is None:
        return [flag] if value else []
    several = [value] if isinstance(value, str | Path | int) else value
    return [word for one in several for word in (flag, str(one))]


def placeless(line: str) -> str:
    """A command line with the last part of each absolute path in place of the path."""
    try:
        return spelled([_placeless(word) for word in shlex.split(line)])
    except ValueError:  # a record may hold what no shell reads
        return line


def _placeless(word: str) -> str:
    """A path, `--option=PATH`, or an attack with its changes: `NAME:key=PATH,key=PATH`, `PATH.toml:key=PATH`."""
    option, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
    base, colon, changes = value.partition(":")
    if base.startswith("/") and not base.endswith(".toml"):  # what has a colon is no more than a path
        return f"{option}{sign}{_last_part(value)}"
    kept = [_setting(change) for change in changes.split(",")]
    return f"{option}{sign}{_setting(base)}{colon}{','.join(kept)}"


def _setting(text: str) -> str:
    """`key=PATH`, or a path alone."""
    key, sign, value = ("", "", text) if text.startswith("/") else text.partition("=")
    return f"{key}{sign}{_last_part(value)}"


def _last_part(text: str) -> str:
    """Of an absolute path, which may be quoted as TOML has it; anything else stays."""
    path = text.strip("\"'")
    return Path(path).name or text if path.startswith("/") else text


def without_option(line: str, flag: str) -> str:
    """A command line without an option that takes a value, given as `FLAG VALUE` or `FLAG=VALUE`."""
    try:
        words, kept = iter(shlex.split(line)), list[str]()
    except ValueError:  # a record may hold what no shell reads
        return line
    for word in words:
        if word == flag:
            next(words, None)
        elif not word.startswith(f"{flag}="):
            kept.append(word)
    return spelled(kept)


def with_flag(line: str, flag: str) -> str:
    """A command line with one more flag, before the `--` that ends its options."""
    try:
        words = shlex.split(line)
    except ValueError:  # a record may hold what no shell reads
        return f"{line} {flag}"
    at = words.index(_END) if _END in words else len(words)
    return spelled([*words[:at], flag, *words[at:]])
