"""Lint the English of comments, docstrings, messages and Markdown: `python tools/plain_english.py [path …]`.

CONTRIBUTING.md has the rules, and this lint checks four of them. A function's docstring starts with a verb. A sentence
has at most 30 terms. Vague terms (`BANNED`) do not occur. A test's name has at most 60 characters. With these rules, a
contributor does not have to decode a comment, and a client does not have to decode an error.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

MAX_WORDS = 30
MAX_TEST_NAME = 60

BANNED = re.compile(
    r"\b(house|houses|doors?|hear|hears|heard|say|says|said|saying|tell|tells|told|telling|words?)\b", re.IGNORECASE
)
ALLOWED = re.compile(r"\bfront door\b", re.IGNORECASE)
"""The name of the layer in front of all routes (`http/front_door.py`) is allowed."""

FRAGMENT = re.compile(
    r"(?:A|After|All|Also|An|Another|Any|As|At|Because|Before|Beside|Between|Beyond|Both|By|Each|Either|Every|Everything|"
    r"False|For|From|How|If|In|Into|It|Its|Like|Many|More|Most|Much|Neither|Never|No|None|Nothing|Of|On|One|Only|Or|Our|"
    r"Over|Same|Several|Since|Some|Such|That|The|Their|Them|Then|There|These|They|Things|This|Those|Time|Until|Up|What|"
    r"Whatever|When|Where|Whether|Which|While|Who|Whoever|Whom|Whose|Why|With|Without)\b"
)
"""First terms of a docstring that are no verbs. `ruff` (D401) refuses verbs in a form other than "Return"."""

CODE = re.compile(r"``.+?``|`[^`]+`|https?://\S+")
SENTENCE_END = re.compile(r"(?<=[.!?])[)\"']?\s+(?=[A-Z\"'(*0-9]|CODE)|\n\s*\n|\n\s*(?=[-*] |\d+\. |\|)|:\s*\n")
SUFFIXES = (".py", ".md")
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | FUNCTION


class Finding(NamedTuple):
    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def findings(file: Path) -> Iterator[Finding]:
    """Yield each place in the file that breaks a rule."""
    text = file.read_text()
    for line, found in markdown(text) if file.suffix == ".md" else python(text, is_test=file.name.startswith("test_")):
        yield Finding(file, line, found)


def markdown(text: str) -> Iterator[tuple[int, str]]:
    """Check the prose of a page. Skip code blocks, tables, headings and comments."""
    blocks: list[tuple[int, list[str]]] = [(1, [])]
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        outside = fenced or line.lstrip().startswith(("```", "|", "#", "<!--")) or not line.strip()
        if outside or re.match(r"\s*([-*]|\d+\.) ", line):
            blocks.append((number, []))
        if not outside:
            blocks[-1][1].append(line)
    for number, lines in blocks:
        yield from prose(number, "\n".join(lines))


def python(text: str, *, is_test: bool) -> Iterator[tuple[int, str]]:
    """Check docstrings, comments and messages of a module, and the names of its tests."""
    tree = ast.parse(text)
    documentation: set[int] = set()
    for node in ast.walk(tree):
        if is_test and isinstance(node, FUNCTION) and _is_long_test(node.name):
            yield (
                node.lineno,
                f"a test's name has at most {MAX_TEST_NAME} characters, not {len(node.name)}: {node.name}",
            )
        for number, docstring in _documentation(node):
            documentation.add(number)
            if not is_test and isinstance(node, FUNCTION) and FRAGMENT.match(docstring):
                yield number, f"a docstring starts with a verb: {docstring.splitlines()[0][:60]!r}"
            yield from prose(number, docstring)
    for node in () if is_test else ast.walk(tree):
        if isinstance(node, ast.Constant) and node.lineno not in documentation and _is_message(node.value):
            yield from _banned(node.lineno, node.value)
    for number, comment in _comments(text):
        yield from prose(number, comment)


def _is_long_test(name: str) -> bool:
    return name.startswith("test_") and len(name) > MAX_TEST_NAME


def _is_message(value: object) -> TypeGuard[str]:
    """Return whether a string is probably a sentence, and not code, SQL or an example."""
    return isinstance(value, str) and len(value.split()) > 3 and "\n" not in value


def prose(line: int, text: str) -> Iterator[tuple[int, str]]:
    """Check the sentences of a text that begins at `line`."""
    plain = CODE.sub("CODE", text)
    yield from _banned(line, plain)
    for sentence in SENTENCE_END.split(plain):
        if sentence and (count := len(re.findall(r"\w[\w'-]*", sentence))) > MAX_WORDS:
            yield line, f"a sentence of {count} words, at most {MAX_WORDS}: {' '.join(sentence.split())[:70]!r}"


def _banned(line: int, text: str) -> Iterator[tuple[int, str]]:
    for number, each in enumerate(CODE.sub("CODE", text).splitlines()):
        for match in BANNED.finditer(ALLOWED.sub("", each)):
            yield line + number, f"name the thing instead of {match[0]!r}: {each.strip()[:70]!r}"


def _documentation(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstring of a definition, and the strings that describe its attributes."""
    for statement in node.body if isinstance(node, DOCUMENTED) else ():
        constant = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
            yield statement.lineno, _without_examples(constant.value)


def _without_examples(docstring: str) -> str:
    """Remove indented examples and tables, because they are code."""
    lines = docstring.splitlines()
    margin = min((len(each) - len(each.lstrip()) for each in lines[1:] if each.strip()), default=0)
    kept = [lines[0], *("" if each[margin:].startswith("    ") else each[margin:] for each in lines[1:])]
    return "\n".join(
        "" if each.startswith((">>>", "...")) or re.search(r"\S {2,}\S|=.*\(|──", each) else each for each in kept
    )


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield each block of consecutive comment lines."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or re.match(r"#\s*(noqa|type:|pragma|ruff:)", token.string):
            continue
        number, column = token.start
        alone = not token.line[:column].strip()
        if block and (number != last + 1 or not alone):
            yield start, "\n".join(block)
            block = []
        if not block:
            start = number
        block.append(token.string.lstrip("# ").split("  # noqa")[0])
        last = number if alone else 0
    if block:
        yield start, "\n".join(block)


def tracked(paths: Iterable[str]) -> list[Path]:
    """Return the files of the repository below these paths, without generated files."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *paths], capture_output=True, text=True, check=True
    )
    found = [Path(each) for each in listed.stdout.splitlines() if each.endswith(SUFFIXES)]
    return [each for each in found if each.exists() and "generated" not in each.parts]


def main(paths: list[str]) -> int:
    found = [each for file in tracked(paths) for each in findings(file)]
    for each in found:
        print(each)
    if found:
        print(f"{len(found)} places to rewrite: CONTRIBUTING.md has the rules.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
