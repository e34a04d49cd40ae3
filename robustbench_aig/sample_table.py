"""The sample table: one row per image and evaluation, the evidence that every published number is a function of."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from robustbench_aig.errors import DamagedError, first_line

RowStatus = Literal["ok", "error", "skipped"]
"""Of an image: measured; its attack or judgement failed; not attacked, because it was lost before (a cascade)."""

ROW = pa.schema(
    [
        pa.field("image", pa.int64(), False),  # index in the test split, stable for a data set
        pa.field("label", pa.int32(), False),
        pa.field("model", pa.string(), False),  # name of the run
        pa.field("policy", pa.string(), False),  # gate policy while judged: "none" for a plain model
        pa.field("attack", pa.string(), False),  # recipe name; "clean" for the clean image; "jpeg:3": corrupted
        pa.field("threat", pa.string(), False),  # "linf 4/255"; "none" for the clean image; "corruption jpeg 3"
        pa.field("chunk", pa.int32(), False),  # the unit of work this image was part of
        pa.field("status", pa.string(), False),  # RowStatus; columns below say what they hold unless it's "ok"
        pa.field("lost_to", pa.string(), True),  # the attack that a skipped image was lost to, or "clean"; else null
        pa.field("prediction", pa.int32(), False),  # class with most votes over the scoring draws; else -1
        pa.field("margin", pa.float32(), False),  # logit of the label minus the best other, mean over scoring draws
        pa.field("linf", pa.float32(), False),  # measured size of the change; else NaN
        pa.field("l2", pa.float32(), False),
        # Scoring draws: 1 where the policy is deterministic, 0 where all is exact.
        pa.field("draws", pa.int32(), False),
        pa.field("correct_draws", pa.int32(), False),  # of these, how many were right; else 0
        pa.field("choice_draws", pa.int32(), False),  # a disjoint set of draws, only for choosing the worst attack
        pa.field("choice_correct", pa.int32(), False),
        pa.field("choice_margin", pa.float32(), False),
        pa.field("gates_clean", pa.binary(), False),  # decisions at the first scoring draw, numpy.packbits over gates
        pa.field("gates_adv", pa.binary(), False),  # the same draw's noise on the attacked image
        pa.field("p_clean", pa.list_(pa.float16()), False),  # open probability of each gate along that path
        pa.field("p_adv", pa.list_(pa.float16()), False),
        pa.field("macs_clean", pa.float64(), False),  # executed MACs, mean over scoring draws; NaN: unknown
        pa.field("macs_adv", pa.float64(), False),
        pa.field("forwards", pa.float64(), False),  # passes the attack spent on this image
        pa.field("backwards", pa.float64(), False),
        pa.field("batch", pa.int32(), False),  # images that went through the network at once; 0 where skipped
        # Open probability of each gate of the attacked image, mean over the scoring draws, each along its path. That of
        # the clean image stands in its row of attack "clean".
        pa.field("mean_p_adv", pa.list_(pa.float16()), False),
        pa.field("choice_p_adv", pa.list_(pa.float16()), False),  # the same over the draws kept for choosing
        pa.field("p_correct", pa.float64(), True),  # exact probability of a right answer; null where draws are counted
    ]
)


def table_of(evaluation: str) -> str:
    """The sample table of an evaluation, as a path in its report directory."""
    return f"samples/{evaluation}.parquet"


def images_of(evaluation: str) -> str:
    """Its kept images, in the same way."""
    return f"images/{evaluation}.safetensors"


NAMES = "names.parquet"
"""The file of a report directory that gives images their files' names; none where they come from no files."""

NAME = pa.schema(
    [
        pa.field("image", pa.int64(), False),  # as in `ROW`
        pa.field("name", pa.string(), False),  # CLASS/FILE in the test split's folder
    ]
)

ROW_DEFAULTS: dict[str, int | list[float] | None] = {
    "batch": 0,
    "mean_p_adv": [],
    "choice_p_adv": [],
    "p_correct": None,
}
"""What a column holds in sample tables that were written before there was such a column: that it's not recorded."""


def parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file, the shortest that every reader opens: zstd alone does better on these columns."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=9,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    return buffer.getvalue()


def read_parquet(content: bytes, path: Path, **chosen: Any) -> pa.Table:  # noqa: ANN401 - pyarrow's own
    """The table of a Parquet file whose pages agree with their checksums, where it has them.

    Args:
        content: of the file.
        path: where it comes from.
        chosen: columns, filters or schema, as pyarrow takes them.

    Raises:
        DamagedError: it is damaged, or no Parquet file.
    """
    try:
        return pq.read_table(pa.BufferReader(content), page_checksum_verification=True, **chosen)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedError(f"{path}: cannot be read ({first_line(error)})") from None
