"""The files of a comparison: report.md, report.json, report.html, and plots as PNG and SVG."""

import html
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from codeact.exceptions import ConfigError
from codeact.recordings.run_folder import write_whole
from codeact.results.comparison.document import Section, sections
from codeact.results.comparison.model import ComparisonReport
from codeact.results.comparison.plots import draw_plots
from codeact.results.comparison.rows import Rows

TITLE = "Comparison of runs"
_STYLE = """
:root { color-scheme: light dark; --line: #8885; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .75rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td { overflow-wrap: anywhere; }
div { overflow-x: auto; }
img { max-width: 100%; background: #fff; }
"""


def write_report(report: ComparisonReport, out: str) -> None:
    """Write all files into the folder `out`, in place of those of an earlier comparison.

    Raises `ConfigError` where it is no folder, and `RunFolderError` where it cannot be written.
    """
    folder = report_folder(out)
    write_document(folder, TITLE, report, list(sections(report)), draw_plots(report, folder))


def report_folder(out: str) -> Path:
    """Return the folder of a report, made where it is missing; raises `ConfigError`."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={out}: cannot be made ({error.strerror})") from error
    return folder


def write_document(
    folder: Path,
    title: str,
    report: msgspec.Struct,
    parts: list[Section],
    plots: Mapping[str, bytes],
) -> None:
    """Write a report as JSON, as Markdown and as one page; raises `RunFolderError`."""
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
    write_whole(folder / "report.json", text + "\n")
    write_whole(folder / "report.md", "\n".join(_markdown(title, parts, plots)) + "\n")
    write_whole(folder / "report.html", "\n".join(_page(title, parts, plots)) + "\n")


def _markdown(title: str, parts: list[Section], plots: Mapping[str, bytes]) -> Iterator[str]:
    yield f"# {_plain(title)}\n"
    for part in parts:
        if part.rows[1:] or part.lines or part.plot in plots:
            yield f"{'#' * part.level} {_plain(part.title)}\n"
        for line in part.lines:
            yield f"- {_plain(line)}"
        if part.lines:
            yield ""
        yield from _markdown_table(part.rows)
        if part.plot in plots:
            yield f"![{part.about}]({part.plot}.svg)\n"


def _markdown_table(rows: Rows) -> Iterator[str]:
    if len(rows) < 2:
        return
    head, *body = rows
    yield _markdown_row(head)
    yield f"| {' | '.join(['---', *['---:'] * (len(head) - 1)])} |"
    yield from map(_markdown_row, body)
    yield ""


def _markdown_row(row: list[str]) -> str:
    return f"| {' | '.join(_plain(one) for one in row)} |"


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"})


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return " ".join(text.split()).translate(_MARKS)


def _page(title: str, parts: list[Section], plots: Mapping[str, bytes]) -> Iterator[str]:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<title>{html.escape(title)}</title>"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>"
    for part in parts:
        if part.rows[1:] or part.lines or part.plot in plots:
            yield f"<h{part.level}>{html.escape(part.title)}</h{part.level}>"
        if part.lines:
            yield "<ul>"
            yield from (f"<li>{html.escape(line)}</li>" for line in part.lines)
            yield "</ul>"
        yield from _page_table(part.rows)
        if part.plot in plots:
            data = b64encode(plots[part.plot]).decode()
            source = f"data:image/svg+xml;base64,{data}"
            yield f'<img alt="{html.escape(part.about)}" src="{source}">'
    yield "</main>\n</body>\n</html>"


def _page_table(rows: Rows) -> Iterator[str]:
    if len(rows) < 2:
        return
    head, *body = rows
    yield '<div tabindex="0"><table>'
    cells = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in head)
    yield f"<thead><tr>{cells}</tr></thead>\n<tbody>"
    for row in body:
        yield f"<tr>{''.join(f'<td>{html.escape(one)}</td>' for one in row)}</tr>"
    yield "</tbody></table></div>"
