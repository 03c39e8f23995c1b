"""What README and docs hold for a program: code blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """Yield the code blocks of these kinds ("" for one without a name), without their indent."""
    for indent, kind, text in BLOCK.findall(page.read_text()):
        if kind in kinds:
            yield re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``neuroadda`` command in a block of a page, without comments, pipes and what it is started by."""
    for block in blocks(page, "", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?(?:srun \S+ |ssh .*? )?(neuroadda [^|]*)", line)
            if found and not found.group(1).startswith("neuroadda: "):
                yield shlex.split(found.group(1), comments=True)[1:]


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``neuroadda`` command within the running text of a page."""
    text = BLOCK.sub("", page.read_text())
    for found in re.findall(r"`neuroadda ([^`]+)`", text):
        yield shlex.split(" ".join(found.split()))
