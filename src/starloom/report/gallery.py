"""The gallery of a tour: one page with a card a study, beside the folders of their results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from starloom.files import write_text
from starloom.report import numbers
from starloom.report.bibliography import link
from starloom.studies import registry
from starloom.studies.study import Study

State = Literal["done", "failed", "running", "waiting"]


@dataclass(frozen=True)
class Stop:
    """One study of a tour: how far it is, how long it took, and its error if it failed."""

    study: str
    state: State = "waiting"
    seconds: float | None = None
    message: str = ""


def build(stops: Sequence[Stop], folder: Path, *, command: str) -> Path:
    """Write the page of a tour.

    Parameters
    ----------
    stops : the studies in their order.
    folder : holds a result folder for each study that is done, by its name.
    command : the command that gives this tour again.

    Returns
    -------
    Path
        ``folder/index.html``.

    Raises
    ------
    OutputError
        When the page cannot be written.
    """
    records = {stop.study: _record(folder / stop.study) for stop in stops if stop.state == "done"}
    found = [record for record in records.values() if record is not None]
    judged = [entry["verdict"] for record in found for entry in record["numbers"] if entry["verdict"] != "info"]
    real = sum(not _simulated(record) for record in found)
    seconds = sum(stop.seconds or 0.0 for stop in stops)
    left = [stop for stop in stops if stop.state in ("waiting", "running")]
    facts = [
        f"{len(found)} of {len(stops)} studies",
        f"{real} on real tables",
        f"{judged.count('pass')} of {len(judged)} bars reached",
        f"{seconds / 60:.1f} minutes",
        *([f"{len(left)} to come"] if left else []),
    ]
    cards = "".join(_card(stop, records.get(stop.study)) for stop in stops)
    style = files("starloom.report").joinpath("style.css").read_text()
    content = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Starloom: the tour</title><link rel="icon" href="data:,"><style>{style}</style></head>'
        '<body><main class="wide"><header><div class="kicker">Starloom · tour</div><h1>From survey tables to the '
        "history of the Milky Way and of galaxies</h1><p>Every study in its shortest form, on the best input it could "
        "have here. A card shows one number beside the published one; the page behind it holds all numbers, figures, "
        f'tables and sources.</p><div class="meta">{escape(" · ".join(facts))}</div></header>'
        f'<div class="gallery">{cards}</div><p>The same tour again:</p><pre>{escape(command)}</pre>'
        "</main></body></html>\n"
    )
    write_text(folder / "index.html", content)
    return folder / "index.html"


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _simulated(record: dict[str, Any]) -> bool:
    return any(entry["kind"] == "simulated" for entry in record["inputs"])


def _card(stop: Stop, record: dict[str, Any] | None) -> str:
    study = registry.get(stop.study)
    if record is None:
        words = {"failed": "failed", "running": "running", "waiting": "to come", "done": "its result cannot be read"}
        shown = f'<p class="problem">{escape(stop.message)}</p>' if stop.message else ""
        body = f"<p>{escape(study.summary)}</p>{shown}"
        badge = f'<span class="badge {"fail" if stop.state == "failed" else "info"}">{words[stop.state]}</span>'
        return _frame(study, "", badge, body, stop)
    figure = _figure(study, record)
    image = ""
    if figure is not None:
        source = f"{quote(stop.study)}/figures/{quote(figure['name'])}.png"
        image = f'<img loading="lazy" src="{source}" alt="{escape(figure["caption"])}">'
    kind = "simulated" if _simulated(record) else "real tables"
    badge = f'<span class="badge {"info" if kind == "simulated" else "pass"}">{kind}</span>'
    return _frame(study, image, badge, _numbers(study, record), stop)


def _frame(study: Study, image: str, badge: str, body: str, stop: Stop) -> str:
    title = escape(study.title)
    if image:
        target = f"{quote(study.name)}/index.html"
        image, title = f'<a href="{target}">{image}</a>', f'<a href="{target}">{title}</a>'
    seconds = f" · {stop.seconds:.0f} s" if stop.seconds is not None else ""
    paper = link(f"arXiv:{study.arxiv}")
    source = f'<a href="{escape(paper)}">arXiv:{escape(study.arxiv)}</a>' if paper else f"arXiv:{escape(study.arxiv)}"
    return (
        f'<article class="card">{image}<div class="kicker">{escape(study.name)}</div><h2>{title}</h2>{body}'
        f'<div class="meta">{badge} {source}{seconds}</div></article>'
    )


def _figure(study: Study, record: dict[str, Any]) -> dict[str, Any] | None:
    figures: list[dict[str, Any]] = record["figures"]
    named = [figure for figure in figures if figure["name"] == study.key_figure]
    return next(iter([*named, *figures]), None)


def _numbers(study: Study, record: dict[str, Any]) -> str:
    """The study's key number, else its first with a published value, else its first."""
    entries: list[dict[str, Any]] = record["numbers"]
    named = [entry for entry in entries if entry["name"] == study.key_number]
    beside = [entry for entry in entries if entry["published"] is not None]
    chosen = next(iter([*named, *beside, *entries]), None)
    if chosen is None:
        return f"<p>{escape(study.summary)}</p>"
    reach = chosen["low"] is not None and chosen["high"] is not None
    places = numbers.decimals(chosen["value"], chosen["low"], chosen["high"]) if reach else None
    value = numbers.text(chosen["value"], places) + (f" ({numbers.interval(chosen, places)})" if reach else "")
    lines = [f"<dt>{escape(chosen['name'].replace('_', ' '))}</dt><dd>{escape(value)} {escape(chosen['unit'])}</dd>"]
    if (published := chosen["published"]) is not None:
        same = "same data" if published["comparable"] else "other data"
        span = numbers.interval(published)
        text = numbers.text(published["value"]) + (f" ({span})" if span else "")
        lines.append(f"<dt>published, {same}</dt><dd>{escape(text)} {escape(chosen['unit'])}</dd>")
    verdicts = [entry["verdict"] for entry in entries if entry["verdict"] != "info"]
    if verdicts:
        lines.append(f"<dt>bars reached</dt><dd>{verdicts.count('pass')} of {len(verdicts)}</dd>")
    return f"<dl>{''.join(lines)}</dl>"
