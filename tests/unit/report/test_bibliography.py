from __future__ import annotations

from starloom.report.bibliography import bibtex


def test_what_is_no_id_is_still_cited():
    entry = bibtex(["The Gaia archive, https://gea.esac.esa.int"])
    assert entry.startswith("@misc{The-Gaia-archive")
    assert "url" not in entry


def test_a_bibcode_with_an_ampersand():
    assert "2016A%26A...595A...1G" in bibtex(["2016A&A...595A...1G Gaia Collaboration 2016"])


def test_no_citation_is_no_entry():
    assert bibtex([]) == ""
