"""Draws the rooms of a package and their imports: ``python docs/import_graph.py [FOLDER]``.

FOLDER holds the package ``codeact``; this checkout is the default. The graph is grimp's, and the
drawing is mermaid's language, which hosts of git repositories show as a picture. An arrow that a
longer way implies is left out. With ``--write`` it replaces the last drawing of
docs/import_graph.md; ``--check`` says whether its rooms and arrows are up to date.
"""

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "import_graph.md"
_DRAWING = re.compile(r"```mermaid\n.*?```\n\n[^\n]*\n", re.DOTALL)


def main(words: list[str]) -> int:
    """Print, write or check the drawing."""
    folder = next((word for word in words if not word.startswith("--")), str(ROOT))
    drawn = draw(Path(folder))
    if not {"--write", "--check"} & set(words):
        sys.stdout.write(drawn)
        return 0
    page = PAGE.read_text(encoding="utf-8")
    last = [*_DRAWING.finditer(page)][-1]
    new = page[: last.start()] + drawn + page[last.end() :]
    if "--check" not in words:
        PAGE.write_text(new, encoding="utf-8")
    elif _without_figures(new) != _without_figures(page):
        sys.stderr.write(
            "docs/import_graph.md is out of date: python docs/import_graph.py --write\n"
        )
        return 1
    return 0


def _without_figures(page: str) -> str:
    return re.sub(r"\d+", "", page)


def draw(folder: Path) -> str:
    """Return the mermaid block of a package, and one line of figures."""
    sys.path.insert(0, str(folder))
    import grimp

    rooms = {path.parent.name for path in (folder / "codeact").glob("*/__init__.py")} - {"sample"}
    graph = grimp.build_graph("codeact", cache_dir=None)
    modules = Counter(room(module, rooms) for module in graph.modules)
    beneath: dict[str, set[str]] = {name: set() for name in modules}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            beneath[room(module, rooms)].add(room(other, rooms))
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {name}["{name}<br/>{count}"]' for name, count in sorted(modules.items())]
    for name, others in sorted(beneath.items()):
        others.discard(name)
        others -= {"base"}
        lines += [f"    {name} --> {other}" for other in sorted(others - _implied(others, beneath))]
    largest, most = modules.most_common(1)[0]
    return "\n".join(lines) + (
        f"\n```\n\n{modules.total()} modules; the largest room, `{largest}`, has {most} of them "
        f"({100 * most / modules.total():.0f} %).\n"
    )


def _implied(others: set[str], beneath: dict[str, set[str]]) -> set[str]:
    """Return the rooms that are also reached from another one of `others`."""
    reached: set[str] = set()
    ahead = [far for other in others for far in beneath[other] if far != other]
    while ahead:
        if (name := ahead.pop()) not in reached:
            reached.add(name)
            ahead += [far for far in beneath[name] if far != name]
    return reached


def room(module: str, rooms: set[str]) -> str:
    """Return the room of a module; ``base`` for those of codeact's own folder."""
    top = module.split(".")[1] if "." in module else ""
    if top in ("cli", "__main__"):
        return "commands"
    return top if top in rooms else "base"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
