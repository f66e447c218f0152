"""Keeps links to lines right: ``python docs/anchors.py`` updates each in ARCHITECTURE.md.

A link such as ``[`Episode.advance`](codeact/episode/machine.py#L92)`` leads to the line where that
name is defined. With ``--check`` nothing is written, and links that are wrong are listed.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
LINK = re.compile(r"\[`([\w.]+)`\]\(([\w/]+\.py)#L(\d+)\)")


def main(words: list[str]) -> int:
    """Set or check all anchors; 1 if one is wrong or its name is not there."""
    page = PAGE.read_text(encoding="utf-8")
    wrong: list[str] = []

    def anchored(match: re.Match[str]) -> str:
        name, file, line = match.groups()
        found = line_of(name, ROOT / file)
        if found != int(line):
            wrong.append(f"{file}#L{line}: {name} is in line {found or 'none'}")
        return f"[`{name}`]({file}#L{found})"

    new = LINK.sub(anchored, page)
    if "--check" not in words:
        wrong = [text for text in wrong if text.endswith("none")]
        if not wrong:
            PAGE.write_text(new, encoding="utf-8")
    sys.stderr.writelines(f"{text}; python docs/anchors.py sets it\n" for text in wrong)
    return int(bool(wrong))


def line_of(name: str, file: Path) -> int | None:
    """Return the line that defines a name, which may be in a class; None if there is none."""
    if not file.exists():
        return None
    for found, line in _definitions(ast.parse(file.read_text(encoding="utf-8")), ""):
        if found == name or found.endswith(f".{name}"):
            return line
    return None


def _definitions(parent: ast.AST, prefix: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found += [
                (prefix + node.name, node.lineno),
                *_definitions(node, f"{prefix}{node.name}."),
            ]
        elif isinstance(node, ast.Assign):
            names = [one.id for one in node.targets if isinstance(one, ast.Name)]
            found += [(prefix + name, node.lineno) for name in names]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
