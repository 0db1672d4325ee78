"""Test that the lint finds each kind of fault and accepts plain text."""

from pathlib import Path

import pytest
from plain_english import MAX_WORDS, findings

GOOD = '''
"""Keep orders. The relay sends them."""


def lock(ids: list[int]) -> None:
    """Lock the rows in the order of their ids, because two batches that lock in other orders wait for each other.

    lock([3, 1])    what is indented or in columns is an example: hear, say, tell
    """
    # One statement: a second one would read an older snapshot. `tell()` is code, and the front door is a name.
    raise ValueError("the reference names another order")
'''

BAD = {
    "opening": ('def depth() -> int:\n    """What still waits."""\n', "starts with a verb"),
    "long docstring": (f'"""{"many " * MAX_WORDS}words."""\n', f"a sentence of {MAX_WORDS + 1}"),
    "long comment": ("# " + "many\\n# ".join(["x "] * 20) + "\n" + "# " + "more " * 25 + "\nx = 1\n", "a sentence of"),
    "banned docstring": ('"""The consumer is told."""\n', "instead of 'told'"),
    "banned comment": ("x = 1  # nobody says so\n", "instead of 'says'"),
    "banned message": ('raise ValueError("this is said by the other")\n', "instead of 'said'"),
}


def found(tmp_path: Path, name: str, text: str) -> list[str]:
    file = tmp_path / name
    file.write_text(text)
    return [each.text for each in findings(file)]


def test_plain_text_passes(tmp_path: Path) -> None:
    assert found(tmp_path, "good.py", GOOD) == []
    assert (
        found(tmp_path, "good.md", "# Told by a heading\n\n```\nsay it\n```\n\nOrders are kept. They are sent.\n") == []
    )


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_found(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    texts = found(tmp_path, "bad.py", text)
    assert any(expected in each for each in texts), texts


def test_prose_of_a_page_is_checked(tmp_path: Path) -> None:
    text = "# Page\n\nThe relay\ntells Kafka.\n\n- " + "many " * (MAX_WORDS + 1) + "\n"
    assert [each.partition(" ")[0] for each in found(tmp_path, "bad.md", text)] == ["name", "a"]


def test_a_long_name_of_a_test_is_found(tmp_path: Path) -> None:
    text = f"def test_{'x' * 60}() -> None:\n    pass\n"
    assert "at most 60" in found(tmp_path, "test_bad.py", text)[0]
    assert found(tmp_path, "helper.py", text) == []
