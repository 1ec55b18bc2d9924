"""A server on loopback, a cache of its own, made wheels and source archives, and a registry that forgets."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from starloom.datasets import registry
from starloom.datasets.dataset import DataFile, Dataset, Source


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Server:
    """Serves bytes by path; a path can be slow or break off after some bytes. Counts the requests."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    hang: dict[str, float] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def put(self, path: str, content: bytes) -> str:
        self.content[path] = content
        return f"{self.url}{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            content = served.content.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = served.cut.get(self.path, len(content) // 2)
            self.wfile.write(content[:half])
            self.wfile.flush()
            time.sleep(served.hang.get(self.path, 0))
            if self.path not in served.cut:
                self.wfile.write(content[half:])

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that was killed

    running = Quiet(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("STARLOOM_CACHE", str(folder))
    monkeypatch.delenv("STARLOOM_DATA", raising=False)
    return folder


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Callable[..., Dataset]:
    """Registers a dataset ``made`` with one file, for the length of a test."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    def make(*sources: Source, file_name: str = "table.csv", sha256: str = "", **more: Any) -> Dataset:
        file = DataFile("table", file_name, "a made table", sources, sha256, **more)
        dataset = Dataset("made", "A made dataset", (1,), (file,), "none", "2000Made...1....1M Maker 2000, Made")
        registry.register(dataset)
        return dataset

    return make


@pytest.fixture
def package_index(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, bytes], None]:
    """Makes pip see nothing but a simple index on the loopback server; call it to add an archive."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")

    def add(project: str, archive_name: str, content: bytes) -> None:
        url = server.put(f"/files/{archive_name}", content)
        server.put(f"/simple/{project}/", f'<html><body><a href="{url}">{archive_name}</a></body></html>'.encode())

    return add


def wheel(project: str, version: str, files: dict[str, bytes]) -> bytes:
    """A wheel with these files, as bytes."""
    information = f"{project}-{version}.dist-info"
    everything = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*everything, f"{information}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**everything, f"{information}/RECORD": record.encode()}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    folder = Path(directory) / "{project}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: {project}\\nVersion: {version}\\n")
    return folder.name

def build_wheel(*args):
    raise SystemExit("nothing is to be built")
"""


def source_archive(project: str, version: str, files: dict[str, bytes]) -> bytes:
    """A source archive with these files and a build backend of its own, as bytes."""
    everything = {
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(project=project, version=version).encode(),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        **files,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in everything.items():
            entry = tarfile.TarInfo(f"{project}-{version}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def build() -> Any:
    """The makers of archives and checksums, for tests."""

    class Build:
        digest = staticmethod(digest)
        wheel = staticmethod(wheel)
        source_archive = staticmethod(source_archive)

    return Build


def left_over(folder: Path) -> list[str]:
    """Everything in a cache but the locks."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


@pytest.fixture
def kept_files(cache_folder: Path) -> Callable[[], list[str]]:
    return lambda: left_over(cache_folder)
