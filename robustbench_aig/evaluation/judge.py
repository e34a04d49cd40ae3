"""The judge: what a network does with finished images, in fp32, under the policy that it is deployed with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.attacks.attack_problem import margin
from robustbench_aig.evaluation.exact_judge import expect
from robustbench_aig.gating import Policy, Restless, deployed_policy, gating
from robustbench_aig.models import MacProfile, shares_draws
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream, seed_of, seeded
from robustbench_aig.records import Draws

_AT_ONCE = 100
"""Images per pass where all are looked at."""

_ROWS = 8
"""How many times as many rows as images a pass over several draws may end with: more need memory, fewer take longer."""


@dataclass(frozen=True)
class Subject:
    """A network under evaluation.

    Attributes:
        name: of its run.
        model: images in [0, 1] to logits, in eval mode.
        profile: what its parts cost.
        policy: how its gates decide when deployed; "none" for a plain network.
        rates: (G,) of the policy "random"; 0 or 1 of a static one.
        copy: a faster copy of the network, which our own attacks work on; None where there is none.
        exact: one in float32, which other providers' attacks work on and which confirms what `copy` drops; both return
            what they find first, about which a copy in lower precision may be wrong.
        routes: (classes, G) mean open probabilities of each class's images, where an attack asks for them.
        restless: whether the network throws dice of its own, beside any gates: the process's, seeded for each draw.
    """

    name: str
    model: nn.Module
    profile: MacProfile
    policy: str
    rates: tuple[float, ...] = ()
    copy: nn.Module | None = None
    exact: nn.Module | None = None
    routes: Tensor | None = None
    restless: bool = False

    def deployed(self, stream: Stream | None = None) -> Policy:
        """The policy itself, its noise from the images' streams (B,)."""
        policy = deployed_policy(self.policy, stream, self.rates)
        return Restless(policy) if self.restless else policy

    @property
    def random(self) -> bool:
        """Whether two passes over one image may differ."""
        return self.deployed().random

    def scoring(self, draws: Draws) -> int:
        """How many draws score an image where so many are wanted: 1 where nothing is random, 0 where all is exact."""
        if not self.random:
            return 1
        return 0 if draws == "exact" else draws


@dataclass(frozen=True)
class Judgement:
    """Verdicts on a batch. All tensors start with B and lie on the model's device.

    Attributes:
        finite: whether all logits of all draws were finite; an image where they were not is an error.
        predictions: class with most votes over the scoring draws (the lowest of equals).
        margins: logit of the label minus the highest other, mean over the scoring draws.
        correct: how many of the `draws` scoring draws were right.
        draws: number of scoring draws; 1 where the policy is deterministic, 0 where every pattern of the gates counts
            by its probability: then all that is said to be over draws is exact, and choosing needs no others.
        choice_margins: as `margins`, over a disjoint set of as many draws, for choosing the worst of several attacks.
        choice_correct: as `correct`, over the same set.
        decisions: (B, G) bool, gates at the first scoring draw.
        probabilities: (B, G) open probability along that draw's path.
        macs: executed multiply-accumulates, mean over the scoring draws.
        mean_probabilities: (B, G) open probability, mean over the scoring draws, each along its own path: an unbiased
            estimate of how often the gate is open. Where nothing is said, that of the first draw.
        choice_probabilities: as `mean_probabilities`, over the draws kept for choosing.
        probability: (B,) float64, of a right answer, exact; None where draws were counted.
    """

    finite: Tensor
    predictions: Tensor
    margins: Tensor
    correct: Tensor
    draws: int
    choice_margins: Tensor
    choice_correct: Tensor
    decisions: Tensor
    probabilities: Tensor
    macs: Tensor
    mean_probabilities: Tensor
    choice_probabilities: Tensor
    probability: Tensor | None = None

    @property
    def share(self) -> Tensor:
        """(B,) probability of a right answer: share of the scoring draws, or exact."""
        return self.correct / self.draws if self.probability is None else self.probability

    @property
    def choice_share(self) -> Tensor:
        """(B,) the same over the draws kept for choosing."""
        return self.choice_correct / self.draws if self.probability is None else self.probability


@dataclass(frozen=True)
class _Draws:
    """Passes over one batch: (K, B, …) each, but for the decisions (B, G) of the first pass."""

    logits: Tensor
    macs: Tensor
    decisions: Tensor
    probabilities: Tensor


@float32()
def judge(subject: Subject, x: Tensor, y: Tensor, *, ids: Tensor, seed: int, draws: Draws) -> Judgement:
    """Score images under the deployed policy.

    The gate noise of an image depends only on (seed, image, draw); randomness of the network's own also depends on the
    other images of its batch. So the noise is the same for the clean and for every attacked version of an image: if
    decisions differ, it is because of the image. No attack can know it, since an attack's noise comes from other
    streams.

    Args:
        subject: network and policy.
        x: (B, C, H, W) in [0, 1].
        y: (B,) int64 labels.
        ids: (B,) int64 image ids.
        seed: of the evaluation.
        draws: scoring draws K for a random policy, which costs 2K passes; or "exact", for every pattern of its gates,
            2^(G+1) / G passes with G of them. A deterministic one takes a single pass.

    Raises:
        InputError: patterns were asked for, and there are too many, or not all that is random are the network's gates.
    """
    stream, scoring = Stream.of(ids, seed, "judge"), subject.scoring(draws)
    return _by_draws(subject, x, y, stream, scoring) if scoring else _exactly(subject, x, y, stream)


def _by_draws(subject: Subject, x: Tensor, y: Tensor, stream: Stream, scoring: int) -> Judgement:
    # Twice as many draws: the worst attack is chosen on one half and scored on the other.
    passes = _forward(subject, x, stream, 2 * scoring if subject.random else 1)
    margins = margin(passes.logits, y)
    # Where nothing is random there is one pass, and both are that one.
    score, choice = margins[:scoring], margins[-scoring:]
    classes = passes.logits.shape[2]
    votes = torch.nn.functional.one_hot(passes.logits[:scoring].argmax(2), classes).sum(0)
    return Judgement(
        finite=passes.logits.isfinite().all(2).all(0),
        predictions=votes.argmax(1),
        margins=score.mean(0),
        correct=(score > 0).sum(0),
        draws=scoring,
        choice_margins=choice.mean(0),
        choice_correct=(choice > 0).sum(0),
        decisions=passes.decisions,
        probabilities=passes.probabilities[0],
        macs=passes.macs[:scoring].mean(0),
        mean_probabilities=passes.probabilities[:scoring].mean(0),
        choice_probabilities=passes.probabilities[-scoring:].mean(0),
    )


@torch.no_grad()
def _exactly(subject: Subject, x: Tensor, y: Tensor, stream: Stream) -> Judgement:
    """By every pattern of the gates; the decisions are those of the first draw, as ever."""
    first = _forward(subject, x, stream, 1)
    exact = expect(subject.model, subject.profile, subject.deployed(), x, y)
    none = torch.zeros_like(y)
    return Judgement(
        finite=exact.finite,
        predictions=exact.votes.argmax(1),
        margins=exact.margins,
        correct=none,
        draws=0,
        choice_margins=exact.margins,
        choice_correct=none,
        decisions=first.decisions,
        probabilities=first.probabilities[0],
        macs=exact.macs,
        mean_probabilities=exact.probabilities,
        choice_probabilities=exact.probabilities,
        probability=exact.right,
    )


def _forward(subject: Subject, x: Tensor, stream: Stream, passes: int) -> _Draws:
    if passes == 1 or not shares_draws(subject.model):
        return _one_by_one(subject, x, stream, passes)
    at_once = max(1, _ROWS * len(x) // passes)
    parts = zip(torch.split(x, at_once), torch.split(stream.keys, at_once), strict=True)
    found = [_at_once(subject, part, Stream(keys), passes) for part, keys in parts]
    logits, macs, probabilities = (
        torch.cat([getattr(each, name) for each in found], 1) for name in ("logits", "macs", "probabilities")
    )
    return _Draws(logits, macs, torch.cat([each.decisions for each in found]), probabilities)


@torch.no_grad()
def _one_by_one(subject: Subject, x: Tensor, stream: Stream, passes: int) -> _Draws:
    logits, macs, probabilities = [], [], []
    policy = subject.deployed(stream)
    decisions = none = x.new_zeros(len(x), 0)
    with gating(subject.model, policy, execution="sparse") as trace:
        for number in range(passes):
            with _dice(subject, stream, number):
                logits.append(subject.model(x))
            gates = trace.decisions if trace.gates else none
            macs.append(subject.profile.executed(gates))
            probabilities.append(trace.probabilities if trace.gates else none)
            if number == 0:
                decisions = gates
    return _Draws(torch.stack(logits), torch.stack(macs), decisions != 0, torch.stack(probabilities))


def _dice(subject: Subject, stream: Stream, draw: int) -> AbstractContextManager[None]:
    """The process's dice for one pass, thrown from images and draw, where the network throws them."""
    if not subject.restless:
        return nullcontext()
    keys = stream.keys
    return seeded(seed_of("dice", draw, *keys.tolist()), keys.device)


@torch.no_grad()
def _at_once(subject: Subject, x: Tensor, stream: Stream, passes: int) -> _Draws:
    """The same, with what the draws have in common computed once."""
    policy = subject.deployed(stream)
    with gating(subject.model, policy, execution="sparse", draws=passes) as trace:
        rows = subject.model(x)
        assert trace.draws is not None
        gates = trace.decisions
        macs = torch.stack([subject.profile.executed(each) for each in gates])
        return _Draws(trace.draws.each(rows), macs, gates[0] != 0, trace.probabilities)


@float32()
def class_routes(subject: Subject, x: Tensor, y: Tensor, *, ids: Tensor, seed: int, classes: int) -> Tensor:
    """(classes, G) mean open probability of each gate over the images of each class, along their first draw's path.

    Args:
        subject: network and policy.
        x: (N, C, H, W) in [0, 1].
        y: (N,) int64 labels.
        ids: (N,) int64 image ids.
        seed: of the evaluation.
        classes: number of them; the row of one without images is the mean over all.
    """
    found = [
        _forward(subject, part, Stream.of(number, seed, "judge"), 1).probabilities[0]
        for part, number in zip(torch.split(x, _AT_ONCE), torch.split(ids, _AT_ONCE), strict=True)
    ]
    probabilities = torch.cat(found)
    of_class = torch.nn.functional.one_hot(y, classes).to(probabilities)
    count = of_class.sum(0)[:, None]
    sums = of_class.T @ probabilities
    return torch.where(count > 0, sums / count.clamp_min(1), probabilities.mean(0))
