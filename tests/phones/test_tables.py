"""The tables: built once, kept on the disk, right even when `phonenumbers` changes under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from phonenumbers import PhoneMetadata

from rollbook.phones.column import classify
from rollbook.phones.plans import national, plan, stored, table
from rollbook.phones.plans.pieces import Pieces, Steps, together
from tests.phones.oracle import differences

PIECES = Pieces(np.array([100, 1000]), np.array([200, 2000]), {"move": np.array([1, 2])})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rollbook"


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Tables in memory are built anew, in the test and after it."""
    caches = (table, national._behind_plus, national._verdicts, national._matches, national._beginnings)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def built() -> Pieces:
    return PIECES


def never() -> Pieces:
    raise AssertionError("it was built again")


def test_a_table_is_built_once(cache: Path) -> None:
    stored.pieces("some", built)
    found = stored.pieces("some", never)
    assert found.low.tolist() == [100, 1000]
    assert found.high.tolist() == [200, 2000]
    assert found["move"].tolist() == [1, 2]
    [file] = cache.iterdir()
    assert phonenumbers.__version__ in file.name


def test_another_version_of_phonenumbers_has_tables_of_its_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.pieces("some", built)
    monkeypatch.setattr(phonenumbers, "__version__", "99.0")
    with pytest.raises(AssertionError, match="built again"):
        stored.pieces("some", never)


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "junk", "other"])
def test_a_damaged_file_is_built_again(cache: Path, damage: str) -> None:
    stored.pieces("some", built)
    [file] = cache.iterdir()
    content = file.read_bytes()
    if damage == "other":
        np.savez(file, low=np.array([1.5]), high=np.array([2]))
    else:
        file.write_bytes(
            {
                "empty": b"",
                "cut": content[: len(content) // 2],
                "changed": content.replace(np.int64(1000).tobytes(), np.int64(1001).tobytes()),
                "junk": b"not a table",
            }[damage]
        )
    assert stored.pieces("some", built).low.tolist() == [100, 1000]
    assert stored.pieces("some", never).low.tolist() == [100, 1000]


def test_without_a_folder_to_write_to_each_process_builds_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert stored.pieces("some", built) is PIECES
    assert stored.pieces("some", built) is PIECES


def test_nothing_is_left_behind_when_the_disk_is_full(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert stored.pieces("some", built) is PIECES
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "home", "folder"),
    [
        ("/var/cache", "/srv/anna", "/var/cache/rollbook"),
        ("relative", "/srv/anna", "/srv/anna/.cache/rollbook"),
        ("", "/srv/anna", "/srv/anna/.cache/rollbook"),
        ("", "nowhere", None),
    ],
)
def test_the_folder_is_where_the_desktop_says(
    variable: str, home: str, folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", home)
    assert stored.folder() == (None if folder is None else Path(folder))


def test_pieces_are_cut_where_a_value_changes() -> None:
    steps = Steps.of({1: [(10, 7)], 2: [(30, 1), (20, 2), (50, 3)]})
    cut = Pieces.whole([2], number=0).look_up(steps, "number", "value")
    assert list(zip(cut.low.tolist(), cut.high.tolist(), cut["value"].tolist(), strict=True)) == [
        (100, 130, 1),
        (130, 150, 2),
        (150, 200, 3),
    ]


def test_pieces_are_cut_where_a_value_changes_after_a_move() -> None:
    steps = Steps.of({1: [(3, 1), (7, 2)]})
    # 50 to 59 without the 5 are 0 to 9.
    cut = Pieces(np.array([150]), np.array([160]), {"rest": np.array([-140])}).look_up(steps, "rest", "value")
    assert list(zip(cut.low.tolist(), cut.high.tolist(), cut["value"].tolist(), strict=True)) == [
        (150, 153, 1),
        (153, 160, 2),
    ]


def test_neighbours_that_agree_are_joined() -> None:
    parts = [Pieces(np.array([low]), np.array([low + 10]), {"value": np.array([value])}) for low, value in
             ((120, 2), (100, 1), (110, 1), (140, 2))]  # fmt: skip
    joined = together(*parts).joined()
    assert list(zip(joined.low.tolist(), joined.high.tolist(), joined["value"].tolist(), strict=True)) == [
        (100, 120, 1),
        (120, 130, 2),
        (140, 150, 2),
    ]


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("part", ["national_prefix_for_parsing", "international_prefix", "general", "rule"])
def test_a_pattern_that_cannot_be_read_is_left_to_phonenumbers(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should metadata use more of regular expressions one day, it is slow, not wrong."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    known = PhoneMetadata.metadata_for_region("UA", None)
    assert known is not None
    assert known.general_desc is not None
    for each in (known, known.general_desc):
        monkeypatch.setattr(each, "_mutable", True)
    if part == "general":
        monkeypatch.setattr(known.general_desc, "national_number_pattern", r"(?=[3-9])[3-9]\d{8}")
    elif part == "rule":
        monkeypatch.setattr(known, "national_prefix_for_parsing", "0(9)?")
        monkeypatch.setattr(known, "national_prefix_transform_rule", r"\g<1>")
    else:
        monkeypatch.setattr(known, part, "(?=0)" + getattr(known, part))
    # Two plans, for those of the world take seconds.
    monkeypatch.setattr(national, "COUNTRY_CODE_TO_REGION_CODE", {380: ("UA",), 48: ("PL",)})
    texts = [
        "0501234567",
        "380501234567",
        "00380501234567",
        "+3800501234567",
        "0900123456",
        "00 48 512 345 678",
    ]
    texts += ["48512345678", "501234567", "+380", "050123456789", "+48 (0) 512 345 678", "4", "+380 44 12"]
    assert differences(texts, "UA") == []
    assert differences([text for text in texts if text.startswith("+")], None) == []


def test_the_plan_has_a_verdict_for_every_number_of_every_length() -> None:
    for code in (1, 44, 380, 800):
        starts = plan.verdicts(code).starts
        assert starts[0] == 1
        assert (np.diff(starts) > 0).all()
        assert {10**length for length in range(19)} <= set(starts.tolist())


def test_a_table_of_every_region_is_there() -> None:
    for region in ("AC", "KZ", "ZW"):
        assert len(classify(pa.array(["1"]), region)) == 1
