"""Get files from pinned addresses, checked against their SHA-256."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from starloom.datasets.dataset import Download, RemoteFile
from starloom.errors import DatasetError
from starloom.files import make_folder

TIMEOUT = 30  # seconds without a byte


def fetch(source: Download, work: Path) -> list[Path]:
    """Download all files of a source into ``work``, in their order.

    Raises
    ------
    DatasetError
        When a server does not answer, breaks off or does not have the file, or the SHA-256 is wrong.
    """
    folder = make_folder(work / "files")
    return [_one(file, folder) for file in source.files]


def _one(file: RemoteFile, folder: Path) -> Path:
    import pooch
    import requests

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # what is going on is said once, by the caller
    try:
        return Path(
            pooch.retrieve(
                file.url,
                known_hash=f"sha256:{file.sha256}",
                fname=PurePosixPath(urlsplit(file.url).path).name,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
            )
        )
    except requests.RequestException as error:
        raise DatasetError(f"{file.url} could not be downloaded: {_plain(error)}") from error
    except ValueError as error:
        raise DatasetError(
            f"{file.url} has another SHA-256 than the expected {file.sha256}; nothing of it was kept"
        ) from error
    finally:
        logger.setLevel(level)


def _plain(error: Exception) -> str:
    """The innermost reason of a chain of network errors, in one line."""
    reason: BaseException = error
    while (inner := reason.__context__ or reason.__cause__) is not None:
        reason = inner
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) < 200 else f"{text[:197]}..."
