import dataclasses
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robustbench_aig.errors import ThreatError
from robustbench_aig.norms import BALLS
from robustbench_aig.records.base import Record, RecordedThreat
from robustbench_aig.threat import Threat

sizes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
norms = st.sampled_from(list(BALLS))
epsilons = st.fractions(Fraction(1, 1000), 1)


def batch(shape: tuple[int, int, int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)


@pytest.mark.parametrize(
    ("text", "value"), [("4/255", Fraction(4, 255)), ("0.5/255", Fraction(1, 510)), ("0.03", Fraction(3, 100))]
)
def test_epsilon_is_kept_exactly_and_as_written(text: str, value: Fraction) -> None:
    threat = Threat.parse(text)
    assert (threat.radius, threat.eps, str(threat)) == (value, text, f"linf {text}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8", "did you mean 8/255?"),
        ("1", "did you mean 1/255?"),
        ("-1/255", "above 0"),
        ("0", "above 0"),
        ("4/0", "divides by zero"),
        ("abc", "not a number"),
        ("nan", "not a number"),
        ("inf", "not a number"),
        ("", "not a number"),
        ("1/2/3", "not a number"),
        ("/", "not a number"),
        ("4/", "not a number"),
        (".", "not a number"),
        ("e5", "not a number"),
        ("--1", "not a number"),
        ("1" * 400, "not a number"),
        ("1e99999999", "not a number"),
        ("1e-99999999", "not a number"),
        ("1e400", "no size"),
        ("8/1e400", "no size"),
        ("1e-400", "no size"),
        ("__import__('os')", "not a number"),
    ],
)
def test_epsilon_that_cannot_be_meant_is_refused(text: str, hint: str) -> None:
    with pytest.raises(ThreatError, match=hint.replace("?", r"\?")):
        Threat.parse(text)


def test_large_epsilon_is_fine_where_it_bounds_no_single_pixel() -> None:
    assert Threat.parse("2", "l2").value == Threat.parse("2", "l1").value == 2
    with pytest.raises(ThreatError, match="unknown norm 'l3': did you mean 'l2'"):
        Threat.parse("2", "l3")


@settings(deadline=None, max_examples=60)
@given(sizes, norms, epsilons, st.integers(0, 99))
def test_projection_is_contained_and_leaves_what_is_inside(
    shape: tuple[int, int, int, int], norm: str, eps: Fraction, seed: int
) -> None:
    threat = Threat.parse(str(eps), norm) if eps < 1 else Threat.parse("1.0", norm)
    clean, noise = batch(shape, seed)
    projected = threat.project(clean + noise, clean)
    assert threat.contains(projected, clean).all()
    torch.testing.assert_close(threat.project(projected, clean), projected, atol=1e-6, rtol=1e-5)
    assert threat.contains(threat.random_start(clean, noise.sigmoid(), torch.full((len(clean),), 0.5)), clean).all()
    assert threat.contains(threat.corner(clean, noise.sigmoid()), clean).all()


@settings(deadline=None, max_examples=30)
@given(sizes, norms, st.integers(0, 99))
def test_steepest_step_beats_every_other_unit_step(shape: tuple[int, int, int, int], norm: str, seed: int) -> None:
    """Against the definition: no step of unit size raises a linear loss more (the dual norm is reached)."""
    threat = Threat.parse("0.1", norm)
    _, gradient = batch(shape, seed)
    gain = (threat.steepest(gradient) * gradient).flatten(1).sum(1)
    dual = torch.linalg.vector_norm(gradient.flatten(1), {"linf": 1, "l2": 2, "l1": torch.inf}[norm], dim=1)
    torch.testing.assert_close(gain, dual)


def test_outside_is_seen() -> None:
    clean = torch.full((3, 1, 2, 2), 0.5)
    moved = clean.clone()
    moved[0] += 0.11  # out of the ball
    moved[1, 0, 0, 0] = torch.nan
    threat = Threat.parse("0.1")
    assert threat.contains(moved, clean).tolist() == [False, False, True]
    assert not threat.contains(torch.full_like(clean, -0.05), torch.zeros_like(clean)).any()  # out of the box


def test_l2_start_fills_the_ball_evenly() -> None:
    """In d dimensions a share r^d of a uniform ball lies within radius r."""
    threat = Threat.parse("0.3", "l2")
    clean = torch.full((20000, 1, 1, 3), 0.5)
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(clean.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    start = threat.random_start(clean, uniform, torch.rand(len(clean), generator=generator))
    radius = (start - clean).flatten(1).norm(dim=1)
    for share in (0.3, 0.6, 0.9):
        assert (radius <= share * threat.value).float().mean().item() == pytest.approx(share**3, abs=0.012)
    assert (start - clean).mean(0).abs().max() < 0.005


def test_what_a_threat_is_called_and_worth() -> None:
    threat = Threat.parse(" 4/255 ")
    assert (threat.norm, threat.eps, threat.key) == ("linf", "4/255", "linf 4/255")
    assert threat.value == 4 / 255
    assert Threat.parse("8/510", "l2").key == "l2 4/255"
    assert str(Threat.parse("8/510", "l2")) == "l2 8/510"
    assert Threat.parse("0.1") != Threat.parse("0.1", "l2")
    with pytest.raises(dataclasses.FrozenInstanceError):
        threat.radius = Fraction(1)  # type: ignore[misc]


@pytest.mark.parametrize("text", ["1.0", "1/1", "255/255", "0.999", "1e-9"])
def test_all_of_the_pixel_range_is_no_more_than_it(text: str) -> None:
    assert 0 < Threat.parse(text).radius <= 1


@pytest.mark.parametrize("text", ["1.0001", "256/255", "2/1", " 1 "])
def test_more_than_the_pixel_range_is_refused(text: str) -> None:
    with pytest.raises(ThreatError, match=f"did you mean {text.strip()}/255"):
        Threat.parse(text)


def around(norm: str, eps: str, beyond: float) -> bool:
    """Whether a change of all 64 pixels by the same is contained, that is longer than epsilon by so much."""
    threat = Threat.parse(eps, norm)
    clean = torch.full((1, 1, 8, 8), 0.25, dtype=torch.float64)
    each = (threat.value + beyond) / (1 if norm == "linf" else 8)
    return bool(threat.contains(clean + each, clean).all())


@pytest.mark.parametrize(("norm", "eps", "slack"), [("linf", "0.1", 1e-6), ("l2", "0.5", 1.5e-6), ("l2", "4", 5e-6)])
def test_a_ball_ends_a_millionth_beyond_its_radius(norm: str, eps: str, slack: float) -> None:
    """In L2 a millionth of the radius further: what a sum in float32 is wrong by."""
    for share, contained in ((-1.0, True), (0.0, True), (0.95, True), (1.05, False), (3.0, False)):
        assert around(norm, eps, share * slack) == contained, share


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_box_ends_a_millionth_beyond_its_range(end: float) -> None:
    outwards = 2 * end - 1
    clean = torch.full((1, 1, 1, 2), end, dtype=torch.float64)
    for beyond, contained in ((-1e-3, True), (0.0, True), (0.9e-6, True), (1.1e-6, False), (1e-3, False)):
        moved = clean.clone()
        moved[0, 0, 0, 1] += outwards * beyond  # one pixel is enough
        assert bool(Threat.parse("0.1").contains(moved, clean)) == contained, beyond


def test_a_projection_is_the_nearest_point() -> None:
    clean = torch.full((1, 1, 1, 2), 0.5)
    far = clean + torch.tensor([0.3, -0.4])
    torch.testing.assert_close(Threat.parse("0.1").project(far, clean), clean + torch.tensor([0.1, -0.1]))
    torch.testing.assert_close(Threat.parse("0.25", "l2").project(far, clean), clean + torch.tensor([0.15, -0.2]))
    for norm in ("linf", "l2"):
        near = clean + torch.tensor([0.03, -0.04])
        assert torch.equal(Threat.parse("0.1", norm).project(near, clean), near)
        assert torch.equal(Threat.parse("0.1", norm).project(clean, clean), clean)
        wide = Threat.parse("0.9", norm).project(clean + torch.tensor([0.8, -0.1]), clean)
        torch.testing.assert_close(wide, torch.tensor([[[[1.0, 0.4]]]]))


def test_a_start_is_where_its_numbers_say() -> None:
    clean = torch.full((2, 1, 1, 2), 0.5)
    uniform = torch.tensor([[[[0.25, 0.75]]], [[[0.5, 0.9]]]])
    radius = torch.tensor([0.25, 0.81])
    square = Threat.parse("0.1").random_start(clean, uniform, radius) - clean
    torch.testing.assert_close(square.flatten(1), torch.tensor([[-0.05, 0.05], [0.0, 0.08]]))
    disc = Threat.parse("0.1", "l2").random_start(clean, uniform, radius) - clean
    torch.testing.assert_close(disc.flatten(1).norm(dim=1), 0.1 * radius.sqrt())  # two pixels: a disc
    torch.testing.assert_close(disc.flatten(1), torch.tensor([[-(0.125**0.5), 0.125**0.5], [0, 0.9]]) * 0.1)


def test_a_corner_is_of_full_size_and_up_above_one_half() -> None:
    clean = torch.full((1, 1, 1, 4), 0.5)
    uniform = torch.tensor([[[[0.1, 0.5, 0.51, 0.9]]]])
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    torch.testing.assert_close(Threat.parse("0.1").corner(clean, uniform), clean + 0.1 * signs)
    torch.testing.assert_close(Threat.parse("0.1", "l2").corner(clean, uniform), clean + 0.05 * signs)
    assert torch.equal(Threat.parse("0.9").corner(clean, uniform).flatten(), (signs + 1) / 2)


def test_a_step_in_l2_has_length_one_however_small_the_gradient() -> None:
    gradient = torch.tensor([[3.0, 4.0], [3e-43, 4e-43], [0.0, 0.0], [3e37, -4e37], [1e-45, 0.0]]).view(5, 1, 1, 2)
    step = Threat.parse("0.1", "l2").steepest(gradient).flatten(1)
    expected = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0], [0.6, -0.8], [1.0, 0.0]])
    torch.testing.assert_close(step, expected, rtol=5e-3, atol=5e-3)  # the smallest floats have few digits
    assert Threat.parse("0.1").steepest(gradient).flatten(1).tolist()[:2] == [[1, 1], [1, 1]]


def test_two_spellings_are_one_threat_and_each_is_kept_in_files() -> None:
    """Read and written as `{norm, eps, value}`, in a file as in a document that was parsed before."""

    class Holder(Record):
        threat: RecordedThreat | None

    first, second = Threat.parse("4/255"), Threat.parse("8/510")
    assert first == second
    assert len({first, second, Threat.parse("4/255", "l2"), Threat.parse("5/255")}) == 3
    document = Holder(threat=second).model_dump_json()
    assert document == '{"threat":{"norm":"linf","eps":"8/510","value":0.01568627450980392}}'
    for read in (Holder.model_validate_json(document), Holder.model_validate(Holder(threat=second).model_dump())):
        assert read.threat is not None
        assert (read.threat.radius, read.threat.eps) == (Fraction(4, 255), "8/510")
    assert Holder.model_validate_json('{"threat":null}').threat is None
    wrong = '{"threat":{"norm":"linf","eps":"8","value":8}}', '{"threat":{"norm":"l3","eps":"1/255","value":1}}'
    for text, said in zip(wrong, ("did you mean 8/255", "l1"), strict=True):
        with pytest.raises(ValidationError, match=said):
            Holder.model_validate_json(text)
    assert "WrittenThreat" in Holder.model_json_schema()["$defs"]
