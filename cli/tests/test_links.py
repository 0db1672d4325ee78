"""Check the links in the repository's Markdown: each leads to a file, and each anchor to a heading."""

import re
from collections.abc import Iterator
from pathlib import Path

from crossdock_cli.clone import checkout

LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages(root: Path) -> Iterator[Path]:
    for page in root.rglob("*.md"):
        if not any(part.startswith(".") or part == "node_modules" for part in page.relative_to(root).parts):
            yield page


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken(root: Path) -> Iterator[str]:
    for page in pages(root):
        for match in LINK.finditer(FENCED.sub("", page.read_text())):
            link = match[1] or match[2]
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path) if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                yield f"{page.relative_to(root)}: {link}"


def test_each_relative_link_leads_to_a_file_and_heading() -> None:
    assert list(broken(checkout())) == []


def test_a_missing_file_and_a_missing_heading_are_found(tmp_path: Path) -> None:
    tmp_path.joinpath("there.md").write_text("# A heading\n")
    tmp_path.joinpath("page.md").write_text("[a](there.md#a-heading) [b](gone.md) [c](there.md#gone)\n\n[d]: none.py\n")
    assert list(broken(tmp_path)) == ["page.md: gone.md", "page.md: there.md#gone", "page.md: none.py"]
