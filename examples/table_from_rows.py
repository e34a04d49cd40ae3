"""The accuracies of a report, computed from its rows without aigrob: python examples/table_from_rows.py DIR."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

SHARES = ("correct_draws", "draws"), ("choice_correct", "choice_draws")  # without draws p_correct is exact
folder, clean, attacks = Path(sys.argv[1]), {}, {}
if not (folder / "samples").is_dir():
    sys.exit(f"{folder} has no rows: name a report directory with samples/")
print("network", "gates", "threat", "attack", "images", "unattacked", "attacked", "MACs", sep="\t")
for e in json.loads((folder / "plan.json").read_text())["evaluations"]:
    table = pq.read_table(folder / "samples" / f"{e['id']}.parquet")
    t = {"p_correct": np.array(np.nan)} | dict(zip(table.column_names, map(np.asarray, table.columns), strict=True))
    score, choice = (np.where(t[of] > 0, t[right] / np.maximum(t[of], 1), t["p_correct"]) for right, of in SHARES)
    rows = score, np.where(t["status"] == "skipped", np.inf, choice), t["choice_margin"], t["status"] == "error"
    who = e["model"], e["policy"], t["threat"][0]
    unattacked = clean.setdefault(who[:2], rows)  # a plan begins each network and policy with clean images
    if e["role"] == "attack":  # controls don't count in the worst case
        attacks.setdefault(who, [unattacked]).append(rows)
    macs = t["macs_adv"][t["status"] == "ok"].mean() if (t["status"] == "ok").any() else np.nan
    print(*who, e["attack"], score.size, f"{unattacked[0].mean():.6f}\t{score.mean():.6f}\t{macs:.1f}", sep="\t")
for who, parts in attacks.items():
    score, choice, margin, failed = map(np.stack, zip(*parts, strict=True))
    worst = np.where(choice == choice.min(axis=0), margin, np.inf).argmin(axis=0)  # the attack that is worst, by image
    held = np.where(failed.any(axis=0), 0, score[worst, np.arange(worst.size)]).mean()
    print(*who, "worst case", worst.size, f"{score[0].mean():.6f}\t{held:.6f}", sep="\t")
