"""Files from pinned addresses, against a server on loopback."""

from __future__ import annotations

import logging

import pooch
import pytest

from starloom.datasets.access import locate, verify
from starloom.datasets.dataset import Download, RemoteFile
from starloom.errors import DatasetError
from starloom.progress import shown

TABLE = b"ra,dec\n1.0,2.0\n" + b"3.0,4.0\n" * 5000


def remote(url: str, content: bytes, build) -> Download:
    return Download((RemoteFile(url, build.digest(content), len(content)),))


def test_a_good_file_is_kept_and_not_asked_for_again(server, entry, kept_files, build, capsys):
    entry(remote(server.put("/table.csv", TABLE), TABLE, build))
    with shown():
        found = locate("made")
    assert found.path.read_bytes() == TABLE
    assert found.sha256 == build.digest(TABLE)
    assert found.origin == f"{server.url}/table.csv"
    assert found.license == "none"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"made/table: downloading 40.0 kB from the network: {server.url}/table.csv"
    assert locate("made", "table") == found
    assert server.requests == ["/table.csv"]
    assert kept_files() == ["made/table.csv", "made/table.csv.receipt.json"]
    assert [row.verdict for row in verify("made")] == ["ok"]


def test_nothing_is_said_inside_a_library_call(server, entry, build, capfd):
    entry(remote(server.put("/table.csv", TABLE), TABLE, build))
    locate("made")
    assert capfd.readouterr() == ("", "")


def test_the_logger_of_pooch_is_left_as_it_was(server, entry, build):
    level = pooch.get_logger().level
    assert level != logging.WARNING
    entry(remote(server.put("/table.csv", TABLE), TABLE, build))
    locate("made")
    assert pooch.get_logger().level == level


def test_a_wrong_file_is_refused_and_nothing_kept(server, entry, kept_files, build):
    entry(remote(server.put("/table.csv", TABLE + b"5.0,6.0\n"), TABLE, build))
    with pytest.raises(DatasetError, match=f"another SHA-256 than the expected {build.digest(TABLE)}; nothing"):
        locate("made")
    assert kept_files() == []


def test_a_server_that_dies_leaves_nothing(server, entry, kept_files, build):
    entry(remote(server.put("/table.csv", TABLE), TABLE, build))
    server.cut["/table.csv"] = 1000
    with pytest.raises(DatasetError, match=r"/table.csv (could not be downloaded|has another SHA-256)"):
        locate("made")
    assert kept_files() == []
    del server.cut["/table.csv"]
    assert locate("made").path.read_bytes() == TABLE


def test_a_missing_file_says_where_to_put_it(server, entry, kept_files, build, monkeypatch, tmp_path):
    entry(remote(f"{server.url}/absent.csv", TABLE, build))
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path / "mine"))
    with pytest.raises(DatasetError) as caught:
        locate("made")
    message = str(caught.value)
    assert "404" in message
    assert "Put it into FOLDER/made/table.csv and set STARLOOM_DATA=FOLDER" in message
    assert f"it is {tmp_path / 'mine'}" in message
    assert "--data mock" in message
    assert "\n" not in message
    assert kept_files() == []


def test_no_server_at_all(entry, build, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    entry(remote("http://127.0.0.1:9/table.csv", TABLE, build))  # the discard port: nobody listens
    with pytest.raises(DatasetError, match=r"could not be downloaded: .*refused"):
        locate("made")


def test_the_second_source_stands_in_for_the_first(server, entry, build):
    url = server.put("/table.csv", TABLE)
    entry(remote(f"{server.url}/absent.csv", TABLE, build), remote(url, TABLE, build))
    assert locate("made").origin == url


def test_files_are_converted_once_in_their_order(server, entry, build):
    parts = [b"ra,dec\n", b"1.0,2.0\n"]
    calls = []

    def join(files, output):
        calls.append([file.name for file in files])
        output.write_bytes(b"".join(file.read_bytes() for file in files))

    urls = [server.put(f"/{name}", part) for name, part in zip(("z.csv", "a.csv"), parts, strict=True)]
    files = tuple(RemoteFile(u, build.digest(p), len(p)) for u, p in zip(urls, parts, strict=True))
    entry(Download(files, convert=join))
    assert locate("made").path.read_bytes() == b"".join(parts)
    locate("made")
    assert calls == [["z.csv", "a.csv"]]


def test_a_failed_conversion_leaves_nothing(server, entry, kept_files, build):
    def broken(files, output):
        output.write_bytes(b"half")
        raise DatasetError("the layout is another one")

    content = RemoteFile(server.put("/table.csv", TABLE), build.digest(TABLE), len(TABLE))
    entry(Download((content,), convert=broken))
    with pytest.raises(DatasetError, match="the layout is another one"):
        locate("made")
    assert kept_files() == []


def test_downloads_can_be_off(server, entry, build):
    entry(remote(server.put("/table.csv", TABLE), TABLE, build))
    with pytest.raises(DatasetError, match="downloads are off"):
        locate("made", download=False)
    assert server.requests == []
