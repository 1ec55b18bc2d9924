"""A TAP service on loopback for tests: answers a table as VOTable, in time or as jobs, and fails as real ones do."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import Table

JOB = """<?xml version="1.0" encoding="UTF-8"?>
<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1">
<uws:jobId>{number}</uws:jobId><uws:phase>{phase}</uws:phase>{error}
<uws:parameters/><uws:results>{result}</uws:results></uws:job>"""
RESULT = '<uws:result id="result" xlink:href="{url}/async/{number}/results/result"/>'
ERROR = '<uws:errorSummary type="fatal" hasDetail="false"><uws:message>{text}</uws:message></uws:errorSummary>'
REFUSED = """<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{text}</INFO></RESOURCE></VOTABLE>"""


def votable(table: Table, overflow: bool = False) -> bytes:
    """A TAP answer; an overflow is said after the table, as the standard wants it."""
    document = from_table(table)
    resource = document.resources[0]
    resource.type = "results"
    resource.infos.append(Info(name="QUERY_STATUS", value="OK"))
    stream = io.BytesIO()
    document.to_xml(stream)
    text = stream.getvalue()
    if overflow:
        text = text.replace(b"</TABLE>", b'</TABLE>\n<INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    return text


class StandIn:
    """The service: ``answer(adql)`` gives a table; ``faults`` are what goes wrong first, one a request.

    A fault is an HTTP status, "truncated", "hangs" (a job that never ends) or "refused" (a query error in a VOTable).
    """

    def __init__(self, answer: Callable[[str], Table], limit: int | None = None) -> None:
        self.answer, self.limit = answer, limit
        self.faults: list[int | str] = []
        self.asked: list[str] = []
        self.deleted: list[int] = []
        self.jobs: dict[int, dict[str, object]] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *_: object) -> None:
                pass

            def _send(self, status: int, body: bytes, kind: str = "application/x-votable+xml", **headers: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def _form(self) -> dict[str, str]:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                return {name: values[0] for name, values in parse_qs(text).items()}

            def _result(self, adql: str, limit: int | None, fault: int | str | None) -> tuple[int, bytes]:
                if isinstance(fault, int):
                    return fault, b"the service is out of order"
                if fault == "refused":
                    return 200, REFUSED.format(text="unknown column g.rowe").encode()
                table = service.answer(adql)
                cut = limit is not None and len(table) > limit
                body = votable(table[:limit] if cut else table, cut)
                return 200, body[: len(body) // 2] if fault == "truncated" else body

            def do_POST(self) -> None:
                path, form = urlparse(self.path).path.split("/"), self._form()
                limits = [int(form["MAXREC"])] if "MAXREC" in form else []
                limits += [service.limit] if service.limit is not None else []
                limit = min(limits) if limits else None
                if path[1] != "tap":
                    self._send(404, b"nothing here", "text/plain")
                elif path[-1] == "sync":
                    service.asked.append(form["QUERY"])
                    self._send(*self._result(form["QUERY"], limit, service.next_fault()))
                elif path[-1] == "async":
                    service.asked.append(form["QUERY"])
                    number = len(service.jobs) + 1
                    fault = service.next_fault()
                    service.jobs[number] = {"adql": form["QUERY"], "limit": limit, "phase": "PENDING", "fault": fault}
                    self._send(303, b"", Location=f"{service.url}/async/{number}")
                elif path[-1] == "phase":
                    job = service.jobs[int(path[-2])]
                    job["phase"] = "ERROR" if job["fault"] == "refused" else "EXECUTING"
                    self._send(303, b"", Location=f"{service.url}/async/{path[-2]}")

            def do_GET(self) -> None:
                path = urlparse(self.path).path.strip("/").split("/")
                if "async" not in path:
                    self._send(404, b"nothing here", "text/plain")
                    return
                number = int(path[path.index("async") + 1])
                job = service.jobs[number]
                if path[-1] == "result":
                    self._send(*self._result(str(job["adql"]), job["limit"], job["fault"]))
                    return
                error = ERROR.format(text="unknown column g.rowe") if job["phase"] == "ERROR" else ""
                done = job["phase"] == "COMPLETED"
                result = RESULT.format(url=service.url, number=number) if done else ""
                text = JOB.format(number=number, phase=job["phase"], error=error, result=result)
                self._send(200, text.encode(), "text/xml")
                if job["phase"] == "EXECUTING" and job["fault"] != "hangs":
                    job["phase"] = "COMPLETED"  # seen at work once

            def do_DELETE(self) -> None:
                service.deleted.append(int(self.path.rstrip("/").split("/")[-1]))
                self._send(303, b"", Location=f"{service.url}/async")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/tap"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def next_fault(self) -> int | str | None:
        """What goes wrong with the next request."""
        return self.faults.pop(0) if self.faults else None

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
