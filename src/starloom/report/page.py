"""The result page: one HTML file that opens without a network, beside the figures, tables and numbers it shows."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starloom.errors import ConfigError
from starloom.files import write_text
from starloom.report import explorer, numbers
from starloom.report.bibliography import link
from starloom.results.record import Results

if TYPE_CHECKING:
    from astropy.table import QTable

FIRST_ROWS = 5
SHORT = 20  # rows of a table that is shown whole
MOST_COLUMNS = 14


def build(results: Results, folder: Path) -> Path:
    """Draw the figures of a result and write its page.

    Parameters
    ----------
    results : what a study found.
    folder : the result folder; ``figures/`` and ``index.html`` are written, tables are linked where they exist.

    Returns
    -------
    Path
        ``folder/index.html``.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    from starloom.report.animations import animate
    from starloom.report.figures import draw

    folder = Path(folder)
    names = [figure.name for figure in results.figures] + [entry.name for entry in results.animations]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two figures are called {twice[0]!r}; a figure's name is its file name")
    for figure in results.figures:
        draw(figure, folder / "figures")
    for animation in results.animations:
        animate(animation, folder / "figures")
    record = results.record
    embedded = explorer.embed(results.explorer) if results.explorer is not None else explorer.EmbeddedExplorer("", "")
    sections = {
        "numbers": ("Numbers", _numbers(record["numbers"])),
        "figures": ("Figures", _figures(results, folder)),
        "explorer": ("Explorer", embedded.body),
        "tables": ("Tables", _tables(results, folder)),
        "inputs": ("Inputs", _inputs(record["inputs"])),
        "run": ("This run", _run(record)),
        "citations": ("Please cite", _citations(record["citations"])),
    }
    sections = {name: section for name, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in sections.items())
    style = files("starloom.report").joinpath("style.css").read_text()
    content = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(record["title"])}</title><link rel="icon" href="data:,"><style>{style}</style></head>'
        f"<body><main>{_head(record)}<nav>{links}</nav>{_warnings(record['warnings'])}"
        + "".join(f'<section id="{name}"><h2>{title}</h2>{body}</section>' for name, (title, body) in sections.items())
        + f"{_foot(record)}</main>{embedded.scripts}</body></html>\n"
    )
    write_text(folder / "index.html", content)
    return folder / "index.html"


def _head(record: dict[str, Any]) -> str:
    title = escape(record["title"])
    if title.startswith("[simulated input]"):
        title = title.replace("[simulated input]", '<span class="simulated">[simulated input]</span>', 1)
    judged = [entry["verdict"] for entry in record["numbers"] if entry["verdict"] != "info"]
    bars = f" · {judged.count('pass')} of {len(judged)} bars reached" if judged else ""
    return (
        f'<header><div class="kicker">Starloom · {escape(record["study"])}</div><h1>{title}</h1>'
        f'<p>{escape(record["summary"])}</p><div class="meta">preset {escape(record["preset"])} · seed '
        f"{record['seed']}{bars} · {escape(_date(record['started']))}</div></header>"
    )


def _date(stamp: str) -> str:
    return stamp[:16].replace("T", " ") + " UTC"


def _warnings(warnings: list[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings" role="alert"><h2>Before you use this</h2><ul>{items}</ul></div>'


def _numbers(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return ""
    heads = ("", "This run", "Interval", "Unit", "Published", "Same data?", "Bar", "Verdict")
    rows = []
    for entry in entries:
        value = entry["value"]
        places = numbers.decimals(value, entry["low"], entry["high"]) if value is not None else None
        places = places if entry["low"] is not None and entry["high"] is not None else None
        published, same = "", ""
        if entry["published"] is not None:
            source = entry["published"]
            reach = numbers.interval(source)
            published = numbers.text(source["value"]) + (f" ({reach})" if reach else "")
            published += f'<span class="small">{_linked(source["source"])}</span>'
            same = "yes" if source["comparable"] else "no, analogous only"
        meaning = f'<span class="small">{escape(entry["meaning"])}</span>' if entry["meaning"] else ""
        cells = (
            f"<span>{escape(entry['name'].replace('_', ' '))}{meaning}</span>",
            numbers.text(value, places), numbers.interval(entry, places), escape(entry["unit"]),
            f"<span>{published}</span>" if published else "", same, numbers.bar(entry["bar"]),
            f'<span class="badge {entry["verdict"]}">{entry["verdict"]}</span>',
        )  # fmt: skip
        rows.append(_row(cells, heads))
    return (
        f"{_table(heads, rows, 'cards')}<p class='small'>A verdict holds a number against its bar; "
        "<em>info</em> has no bar. A published number counts as the same data only where this run read the same "
        "stars.</p>"
    )


def _row(cells: tuple[str, ...], heads: tuple[str, ...]) -> str:
    pairs = zip(cells, heads, strict=True)
    return "<tr>" + "".join(
        f'<td data-label="{head}"{" class=value" if head == "This run" else ""}>{cell}</td>' for cell, head in pairs
    ) + "</tr>"  # fmt: skip


def _table(heads: tuple[str, ...], rows: list[str], kind: str = "") -> str:
    line = "".join(f"<th scope=col>{head}</th>" for head in heads)
    table = f'<table class="{kind}"><thead><tr>{line}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _figures(results: Results, folder: Path) -> str:
    shown = []
    for number, figure in enumerate(results.figures, 1):
        image = base64.b64encode((folder / "figures" / f"{figure.name}.png").read_bytes()).decode()
        links = " · ".join(f'<a href="figures/{figure.name}.{kind}">{kind.upper()}</a>' for kind in ("png", "pdf"))
        shown.append(
            f'<figure><img src="data:image/png;base64,{image}" alt="{escape(figure.caption)}"><figcaption><b>Figure '
            f'{number}.</b> {escape(figure.caption)} <span class="small">{links}</span></figcaption></figure>'
        )
    for number, animation in enumerate(results.animations, len(results.figures) + 1):
        image = base64.b64encode((folder / "figures" / f"{animation.name}.gif").read_bytes()).decode()
        shown.append(
            f'<figure><img src="data:image/gif;base64,{image}" alt="{escape(animation.caption)}"><figcaption><b>Figure '
            f'{number}.</b> {escape(animation.caption)} <span class="small"><a href="figures/{animation.name}.gif">GIF'
            "</a></span></figcaption></figure>"
        )
    return "".join(shown)


def _tables(results: Results, folder: Path) -> str:
    shown = []
    for name, table in results.tables.items():
        found = sorted((folder / "tables").glob(f"{name}.*"))
        links = " · ".join(f'<a href="tables/{escape(path.name)}">{escape(path.name)}</a>' for path in found)
        note = escape(results.table_notes.get(name, ""))
        shown.append(
            f"<h3>{escape(name.replace('_', ' '))}</h3><p>{note} <span class='small'>{len(table):,} rows, "
            f"{len(table.colnames)} columns. {links}</span></p>{_first_rows(table)}"
        )
    return "".join(shown)


def _first_rows(table: QTable) -> str:
    columns = table.colnames[:MOST_COLUMNS]
    heads = []
    for name in columns:
        unit = getattr(table[name], "unit", None)
        heads.append(escape(name) + (f"<br>{escape(str(unit))}" if unit is not None and str(unit) else ""))
    rows = []
    whole = len(table) <= SHORT
    for index in range(len(table) if whole else FIRST_ROWS):
        rows.append("<tr>" + "".join(f"<td>{escape(_cell(table[name][index]))}</td>" for name in columns) + "</tr>")
    left = len(table.colnames) - len(columns)
    more = f"<p class='small'>and {left} more columns</p>" if left > 0 else ""
    summary = "All rows" if whole else "First rows"
    opened = " open" if whole else ""
    text = f"{_table(tuple(heads), rows)}{more}"
    return f"<details{opened}><summary>{summary}</summary>{text}</details>" if rows else ""


def _cell(value: Any) -> str:
    if getattr(value, "shape", ()) == () and bool(getattr(value, "mask", False)):
        return "—"
    value = getattr(value, "value", value)
    if getattr(value, "shape", ()):
        return f"[{value.size} values]"
    if isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f":
        return numbers.text(float(value))
    return str(value)


def _inputs(entries: list[dict[str, Any]]) -> str:
    heads = ("Input", "Kind", "Rows", "Origin", "License", "Cite")
    rows = [
        _row(
            (
                escape(entry["name"]), escape(entry["kind"]), f"{entry['rows']:,}",
                f'<span>{escape(entry["origin"])}<br><span class="hash">SHA-256 {entry["sha256"]}</span></span>',
                escape(entry["license"]), _linked(entry["citation"]),
            ),
            heads,
        )
        for entry in entries
    ]  # fmt: skip
    return _table(heads, rows, "cards") if rows else ""


def _run(record: dict[str, Any]) -> str:
    settings = "".join(
        f"<tr><td>{escape(str(key))}</td><td><code>{escape(str(value))}</code></td></tr>"
        for key, value in record["config"].items()
    )
    environment = " · ".join(f"{escape(name)} {escape(version)}" for name, version in record["environment"].items())
    again = f"<p>The same result again:</p><pre>{escape(record['command'])}</pre>" if record["command"] else ""
    table = f"<details><summary>All settings</summary><table>{settings}</table></details>" if settings else ""
    return (
        f"{again}<p class='small'>Starloom {escape(record['version'])} · {record['seconds']:.1f} s wall time, "
        f"{record['peak_memory_mb']:,.0f} MB at most (for information: neither is judged) · {environment}. "
        'All numbers: <a href="results.json">results.json</a>.</p>' + table
    )


def _linked(citation: str) -> str:
    """Escape a citation; link the bibcode or arXiv id that it begins with."""
    reference, _, words = citation.partition(" ")
    target = link(reference)
    if target is None:
        return escape(citation)
    return f'<a href="{escape(target)}">{escape(reference)}</a> {escape(words)}'.rstrip()


def _citations(entries: list[str]) -> str:
    items = "".join(f"<li>{_linked(entry)}</li>" for entry in entries)
    return f'<ol class="citations">{items}</ol>' if items else ""


def _foot(record: dict[str, Any]) -> str:
    return f"<footer>Made by Starloom {escape(record['version'])} on {escape(_date(record['started']))}.</footer>"
