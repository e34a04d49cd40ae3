"""`python -m benchmarks.mutants`: mutants of a place against its tests; those that none of these notices are listed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutants.mutation import Mutant, sample
from benchmarks.mutants.outcomes import Outcome, Same, add_outcome, digest_of, read_outcomes, read_same, same_as
from benchmarks.mutants.places import PLACES, ROOT, Place
from benchmarks.mutants.trial import SURVIVED, Job, preload, trials

LEAST = 0.9
"""The share of mutants that the tests of a place have to notice."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every place notices enough, 1 where one doesn't, 2 where that can't be told."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"{', '.join(PLACES)}; all by default")
    parser.add_argument(
        "--count", type=int, default=200, help="mutants of each place (%(default)s); all, where there are fewer"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at the same time (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "mutants", help="what became of them (%(default)s)"
    )
    asked = parser.parse_args(arguments)
    if unknown := set(asked.places) - PLACES.keys():
        parser.error(f"no such place: {', '.join(sorted(unknown))}; there are {', '.join(PLACES)}")
    try:
        reviewed = read_same(Path(__file__).with_name("same.toml"), ROOT)
        of_each = [
            run(name, PLACES[name], ROOT, asked.out / f"{name}.jsonl", reviewed, asked.count, asked.seed, asked.jobs)
            for name in asked.places or PLACES
        ]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return int(not all(of_each))


def run(
    name: str,
    place: Place,
    root: Path,
    kept: Path,
    reviewed: dict[tuple[str, str, str], Same],
    count: int,
    seed: int,
    jobs: int,
) -> bool:
    """Whether the tests of a place notice enough; says so, and what they don't.

    Raises:
        ValueError: they don't pass without any mutant.
    """
    mutants = sample(place.modules(root), root, count=count, seed=seed)
    ((_, whole),) = trials([Job()], root, place.tests, at_once=1, limit=1800)
    if whole.outcome != SURVIVED:
        raise ValueError(f"{name}: its tests fail as they are: {whole.outcome}")
    preload(whole.imported)
    now, before = digest_of(root, ("robustbench_aig", "tests")), read_outcomes(kept)
    known = {one.mutant: one.outcome for one in before.values() if one.checkout == now}
    # What survived is of most interest; what was noticed is noticed soonest by what noticed it.
    last = {one.mutant: one.outcome for one in before.values()}
    mutants.sort(key=lambda mutant: last.get(mutant.digest) != SURVIVED)
    todo = [Job(mutant, last.get(mutant.digest)) for mutant in mutants if mutant.digest not in known]
    begun = time.monotonic()
    for number, (job, trial) in enumerate(
        trials(todo, root, place.tests, at_once=jobs, limit=20 + 5 * whole.seconds * jobs), 1
    ):
        assert job.mutant is not None
        known[job.mutant.digest] = trial.outcome
        add_outcome(kept, Outcome(job.mutant.digest, now, trial.outcome))
        left = (time.monotonic() - begun) / number * (len(todo) - number)
        alive = sum(outcome == SURVIVED for outcome in known.values())
        if number % 20 == 0 or sys.stdout.isatty():
            print(f"{name}: {number} of {len(todo)}, {alive} unnoticed, {left / 60:.0f} min to go", flush=True)
    return _told(name, mutants, known, reviewed)


def _told(name: str, mutants: list[Mutant], known: dict[str, str], reviewed: dict[tuple[str, str, str], Same]) -> bool:
    alive = [mutant for mutant in mutants if known[mutant.digest] == SURVIVED]
    same = {mutant.digest: found for mutant in mutants if (found := same_as(mutant, reviewed))}
    unnoticed = [mutant for mutant in alive if mutant.digest not in same]
    noticed_same = [mutant for mutant in mutants if mutant.digest in same and known[mutant.digest] != SURVIVED]
    count = len(mutants) - len(same)
    for mutant in unnoticed:
        print(f"unnoticed: {mutant}")
    for mutant in alive:
        if mutant.digest in same:
            print(f"means the same, {same[mutant.digest].reason}: {mutant}")
    for mutant in noticed_same:
        print(f"listed as the same, and noticed by {known[mutant.digest]}: {mutant}")
    share = 1 - len(unnoticed) / count if count else 1.0
    print(
        f"{name}: {count - len(unnoticed)} of {count} noticed, {100 * share:.1f} %; {len(same)} mean the same\n",
        flush=True,
    )
    return share >= LEAST and not noticed_same


if __name__ == "__main__":
    sys.exit(main())
