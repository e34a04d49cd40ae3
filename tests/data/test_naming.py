"""Images by the names of their files, or by position."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robustbench_aig.data import load_data, positions_of, read_list
from robustbench_aig.errors import InputError
from robustbench_aig.records.documents import load_report
from tests.command import aigrob_here, refused
from tests.tiny import write_images, write_recipe

NAMES = ("cat/1.png", "cat/10.png", "cat/own.png", "dog/1.png", "test/deep/7.png")


def positions(*lines: str, names: tuple[str, ...] = NAMES) -> list[int]:
    return positions_of(lines, names, len(names) or 5, Path("list.txt")).tolist()


def test_names_paths_and_positions() -> None:
    assert positions("dog/1.png", "cat/10.png") == [1, 3]
    assert positions("photos/test/dog/1.png", "/x/test/cat/1.png", "test/cat/10.png") == [0, 1, 3]
    assert positions("test/deep/7.png", "a/test/test/deep/7.png", "7.png", "4") == [4]
    assert positions("own.png") == [2]
    assert positions("4", "0", "4", names=()) == [0, 4]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1.png", "2 images are called '1.png': write CLASS/FILE"),
        ("cat/11.png", "no test image is called 'cat/11.png'; did you mean 'cat/1"),
        ("photos/train/dog/1.png", "no test image is called"),
        ("latest/dog/1.png", "no test image is called"),
        ("zzz", "one is 'cat/1.png'"),
        ("5", "no test image is called '5'"),
        ("-1", "no test image"),
    ],
)
def test_what_no_image_bears_is_refused(line: str, words: str) -> None:
    with pytest.raises(InputError, match=f"--images list.txt: .*{words}"):
        positions(line)


def test_images_without_files_go_by_position() -> None:
    with pytest.raises(InputError, match=r"'cat/1\.png' is no position, .* from 0 to 4"):
        positions("cat/1.png", names=())


def test_a_list_may_have_empty_lines_and_remarks(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# mine\r\n\r\n cat/ä b.png \r\ncat/2.png".encode())
    assert read_list(path) == ["cat/ä b.png", "cat/2.png"]


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\x00"])
def test_a_list_that_is_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"--images .*list.txt"):
        read_list(path)
    with pytest.raises(InputError, match="--images"):
        read_list(tmp_path)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with photos, a run that learned from them, and lists."""
    folder = tmp_path_factory.mktemp("named")
    write_images(folder / "photos", test=20)
    write_recipe(folder / "gated.toml", gated=True, epochs=1)
    trained = aigrob_here(folder, "train", "gated.toml", "--data", "photos", "--name", "gated", "--quiet")
    assert trained.returncode == 0, trained.stderr
    return folder


FAST = ["--attack", "fgsm", "--eps", "8/255", "--policy", "argmax", "--no-latency", "--quiet"]


def test_named_images_are_attacked_and_called_by_name(where: Path) -> None:
    (where / "some.txt").write_text("dog/3.png\nphotos/test/cat/12.png\n0\n")
    made = aigrob_here(where, "attack", "gated", *FAST, "--images", "some.txt", "--name", "some")
    assert made.returncode == 0, made.stderr
    folder = where / "reports" / "some"
    named = dict(zip(*pq.read_table(folder / "names.parquet").to_pydict().values(), strict=True))
    assert set(named.values()) == {"dog/3.png", "cat/12.png", load_data(str(where / "photos"), seed=0).test.names[0]}
    (table, _) = sorted(folder.glob("samples/*.parquet"))
    rows = pq.read_table(table).to_pydict()
    assert rows["image"] == sorted(named)
    assert [named[image].startswith("dog") for image in rows["image"]] == [label == 1 for label in rows["label"]]
    html = (folder / "report.html").read_text()
    for name in named.values():
        assert f'<td class="name">{name}</td>' in html
    report = load_report(folder)
    assert report.data.n == 3
    assert report.asked
    assert report.asked.images == "some.txt"


def test_all_named_images_are_taken_unless_a_limit_is_typed(where: Path) -> None:
    (where / "all.txt").write_text("".join(f"{number}\n" for number in range(40)))
    for arguments, n in (([], 40), (["--limit", "7"], 7)):
        made = aigrob_here(where, "attack", "gated", *FAST, "--images", "all.txt", *arguments, "--name", f"n{n}")
        assert made.returncode == 0, made.stderr
        assert load_report(where / "reports" / f"n{n}").data.n == n


@pytest.mark.parametrize("command", ["attack", "check"])
def test_unknown_names_end_in_one_line(command: str, where: Path) -> None:
    (where / "wrong.txt").write_text("dog/3.png\nbird/1.png\n")
    refused(aigrob_here(where, command, "gated", "--images", "wrong.txt", "--quiet"), "wrong.txt", "'bird/1.png'")
    refused(aigrob_here(where, command, "gated", "--images", "none.txt", "--quiet"), "none.txt", "text file")
