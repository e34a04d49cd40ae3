"""Seeded changes to files that were written by the real thing: bits, lengths, values, structure."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Random = np.random.Generator

DEEP = 100_000
ODD_TEXTS = (
    *("", " ", "\n", "\x1b[2J\x07", "\u202eabc", "\udcff", "é" * 300, "x" * 300, "../../elsewhere", "/elsewhere", "~"),
    *(".", "..", "a/b", "-1", "1e400", "8/1e400", "1e-99999999", "0/0", "nan", "inf", "9" * 5000, "{", "[[", "%s"),
    *("$(x)", "CON", "null", "true", "None", "a\x00b", "=", "a=b,c=d", "apgd:steps=" + "9" * 400, "linf:", ":"),
    *("pgd:", "pgd:x", "jpeg:", "jpeg:" + "9" * 400, "cifar10/", "1,2,3", "digits", "argmax", "\ufeff", "ε"),
)
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, float("nan"), float("inf"), 2**63, -(2**70), [], {}, [[]], {"": 0}, [None] * 9),
)


def bytes_changed(content: bytes, random: Random) -> bytes:
    """A bit, some bytes, a cut, a repetition, or nothing left."""
    harmed = bytearray(content)
    place = int(random.integers(max(len(harmed), 1)))
    match random.integers(6):
        case 0 if harmed:
            harmed[place] ^= 1 << int(random.integers(8))
        case 1:
            harmed[place : place + 8] = random.bytes(8)
        case 2:
            del harmed[place:]
        case 3:
            harmed[place:place] = harmed[: int(random.integers(64))]
        case 4:
            harmed[place:place] = "\ufeff\u0000é".encode()
        case _:
            del harmed[place : place + int(random.integers(64))]
    return bytes(harmed)


def odd(random: Random) -> Any:
    """A value that somebody could write."""
    if random.random() < 0.5:
        return ODD_TEXTS[random.integers(len(ODD_TEXTS))]
    return _ODD[random.integers(len(_ODD))]


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inside for place in _places(one, (*path, key)))]


def json_changed(content: bytes, random: Random) -> bytes:
    """One value is replaced, removed, added or renamed; or it is too deep, or an integer too long."""
    document = json.loads(content)
    places = [place for place in _places(document) if place]
    *above, last = places[random.integers(len(places))]
    holder = document
    for key in above:
        holder = holder[key]
    mark = "@@mark@@"
    match random.integers(6):
        case 0 | 1:
            holder[last] = odd(random)
        case 2:
            del holder[last]
        case 3 if isinstance(holder, dict):
            holder[str(odd(random))] = holder.pop(last)
        case 4:
            holder[last] = mark
        case _:
            holder[last] = [holder[last], odd(random)]
    text = json.dumps(document, ensure_ascii=bool(random.integers(2)))
    marks = ("[" * DEEP + "]" * DEEP, "9" * 5000, '{"a":' * 2000 + "1" + "}" * 2000, "1e999", "-0.0")
    return text.replace(f'"{mark}"', marks[random.integers(len(marks))]).encode(errors="surrogatepass")


def toml_changed(content: bytes, random: Random) -> bytes:
    """One line has another value, or another key, or there is one more."""
    lines = content.decode().splitlines()
    values = ("[" * 3000 + "]" * 3000, "9" * 5000, "1e400", "nan", "-1", "{}", "[]", "''", "true", "1979-05-27", "x")
    texts = [json.dumps(text) for text in ODD_TEXTS]
    value = (*values, *texts)[random.integers(len(values) + len(texts))]
    at = int(random.integers(len(lines)))
    key, equals, _ = lines[at].partition("=")
    match random.integers(4):
        case 0 | 1 if equals:
            lines[at] = f"{key}= {value}"
        case 2:
            lines.insert(at, f"{json.dumps(str(odd(random)))} = {value}")
        case _:
            lines[at] = f"[{'.'.join('abc' * int(random.integers(1, 300)))}]"
    return "\n".join(lines).encode(errors="surrogatepass")


def table_changed(content: bytes, random: Random) -> bytes:
    """A column is gone, of another type, renamed or doubled, or rows are missing, repeated or in another order."""
    table = pq.read_table(pa.BufferReader(content))
    column = int(random.integers(table.num_columns))
    name = table.column_names[column]
    changes: list[Callable[[], pa.Table]] = [
        lambda: table.drop_columns([name]),
        lambda: table.set_column(
            column, name, pa.array([str(odd(random)).encode(errors="replace").decode()] * len(table))
        ),
        lambda: table.set_column(column, name, pa.nulls(len(table))),
        lambda: table.set_column(column, name, pa.array(random.random(len(table)) * 1e300)),
        lambda: table.set_column(column, name, pa.array(random.integers(-(2**62), 2**62, len(table)))),
        lambda: table.append_column(name, table[name]),
        lambda: table.slice(int(random.integers(len(table)))),
        lambda: table.take(random.integers(0, len(table), len(table))),
        lambda: table.slice(0, 0),
    ]
    changed = changes[random.integers(len(changes))]()
    buffer = io.BytesIO()
    pq.write_table(changed, buffer)
    return buffer.getvalue()
