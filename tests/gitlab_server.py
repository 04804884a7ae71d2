"""A real HTTP server that answers as GitLab's REST API v4 does, as far as its documentation and its known answers say.

What it demands and what it does besides storing: the token, pages of at most 20, 400 for a pending status that is
posted again, quick actions in notes, and any fault that a test asks for.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 20
STATES = ("pending", "running", "success", "failed", "canceled", "skipped")
BOT, SOMEBODY = {"id": 7, "username": "reconciler"}, {"id": 8, "username": "mallory"}
Json = dict[str, Any]


@dataclass
class FakeGitLab:
    """What the project holds, what was asked, and the faults of the next requests."""

    project: str = "infra/site"
    token: str = "glpat-secret"
    commits: set[str] = field(default_factory=set)
    merge_requests: dict[str, list[Json]] = field(default_factory=dict)
    statuses: list[Json] = field(default_factory=list)
    notes: dict[int, list[Json]] = field(default_factory=dict)
    issues: list[Json] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    hang: float = 0.0
    url: str = ""
    identifiers: int = 100

    def identifier(self) -> int:
        self.identifiers += 1
        return self.identifiers

    @property
    def writes(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET ")]

    def add_note(self, number: int, author: Json, body: str) -> Json:
        note = {"id": self.identifier(), "author": author, "body": body, "system": False}
        self.notes.setdefault(number, []).append(note)
        return note

    def quick_actions(self, text: str) -> None:
        """A line outside of code that starts with a slash is done, not shown."""
        fence = ""
        for line in text.splitlines():
            found = re.match(r"`{3,}", line)
            if fence:
                fence = "" if line.startswith(fence) and not line.strip("`") else fence
            elif found:
                fence = found.group()
            elif re.match(r"/[a-z_]+", line):
                self.executed.append(line)


class Refused(Exception):
    def __init__(self, status: int, message: Any) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


@contextmanager
def fake_gitlab() -> Iterator[FakeGitLab]:
    """Serve until the block ends."""
    told = FakeGitLab()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(told: FakeGitLab) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            told.requests.append(f"{self.command} {unquote(parts.path)}")
            if told.hang:
                time.sleep(told.hang)
            if told.faults:
                self._send(*told.faults.pop(0))
                return
            try:
                if self.headers.get("PRIVATE-TOKEN") != told.token:
                    raise Refused(401, "401 Unauthorized")
                sent = json.loads(body) if body else {}
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                status, found = route(told, self.command, parts.path, query | sent)
            except Refused as refused:
                self._send(refused.status, {}, json.dumps({"message": refused.message}).encode())
                return
            self._send_page(status, found, query) if isinstance(found, list) else self._send_json(status, found)

        def _send_page(self, status: int, found: list[Json], query: dict[str, str]) -> None:
            page, size = int(query.get("page", 1)), min(int(query.get("per_page", 20)), PAGE)
            headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(found))}
            if len(found) > page * size:
                path = urlsplit(self.path).path
                rest = "&".join(f"{key}={value}" for key, value in query.items() if key not in ("page", "per_page"))
                headers["X-Next-Page"] = str(page + 1)
                headers["Link"] = f'<{told.url}{path}?{rest}&page={page + 1}&per_page={size}>; rel="next"'
            content = json.dumps(found[(page - 1) * size : page * size]).encode()
            self._send(status, headers, content)

        def _send_json(self, status: int, found: Json) -> None:
            self._send(status, {}, json.dumps(found).encode())

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            usual = {"Content-Type": "application/json", "Content-Length": str(len(content))}
            for key, value in (usual | headers).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler


def route(told: FakeGitLab, method: str, path: str, sent: Json) -> tuple[int, Any]:
    words = [unquote(word) for word in path.split("/")][3:]
    if (method, words) == ("GET", ["user"]):
        return 200, BOT
    if words[:2] != ["projects", told.project]:
        raise Refused(404, "404 Project Not Found")
    match method, *words[2:]:
        case "POST", "statuses", commit:
            return 201, post_status(told, commit, sent)
        case "GET", "repository", "commits", commit, "statuses":
            require_commit(told, commit)
            return 200, [s for s in told.statuses if s["sha"] == commit and sent.get("name") in (None, s["name"])]
        case "GET", "repository", "commits", commit, "merge_requests":
            require_commit(told, commit)
            return 200, told.merge_requests.get(commit, [])
        case "GET", "merge_requests", number, "notes":
            return 200, told.notes.get(int(number), [])
        case "POST", "merge_requests", number, "notes":
            told.quick_actions(required(sent, "body"))
            return 201, told.add_note(int(number), BOT, sent["body"])
        case "PUT", "merge_requests", number, "notes", id:
            return 200, update(told, told.notes.get(int(number), []), int(id), {"body": required(sent, "body")})
        case "GET", "issues":
            labels = set(filter(None, str(sent.get("labels", "")).split(",")))
            return 200, [i for i in told.issues if i["state"] == sent.get("state") and labels <= set(i["labels"])]
        case "POST", "issues":
            told.quick_actions(str(sent.get("description", "")))
            return 201, add_issue(told, BOT, required(sent, "title"), sent.get("description", ""), sent.get("labels"))
        case "PUT", "issues", number:
            return 200, update_issue(told, int(number), sent)
    raise Refused(404, "404 Not Found")


def post_status(told: FakeGitLab, commit: str, sent: Json) -> Json:
    require_commit(told, commit)
    if sent.get("state") not in STATES:
        raise Refused(400, "state does not have a valid value")
    if len(str(sent.get("description", ""))) > 255:
        raise Refused(400, {"description": ["is too long (maximum is 255 characters)"]})
    name = sent.get("name", "default")
    running = [
        s for s in told.statuses if (s["sha"], s["name"]) == (commit, name) and s["status"] in ("pending", "running")
    ]
    if running and running[-1]["status"] == sent["state"]:
        event = {"pending": "enqueue", "running": "run"}[sent["state"]]
        head = f"Cannot transition status via :{event} from :{sent['state']}"
        raise Refused(400, f'{head} (Reason(s): Status cannot transition via "{event}")')
    if running:
        running[-1] |= {"status": sent["state"], "description": sent.get("description")}
        return running[-1]
    status = {
        "id": told.identifier(), "sha": commit, "name": name, "status": sent["state"],
        "description": sent.get("description"), "author": BOT,
    }  # fmt: skip
    told.statuses.append(status)
    return status


def add_issue(told: FakeGitLab, author: Json, title: str, description: str, labels: Any) -> Json:
    names = labels if isinstance(labels, list) else [name for name in str(labels or "").split(",") if name]
    number = len(told.issues) + 1
    issue = {
        "id": told.identifier(), "iid": number, "project_id": 1, "author": author, "title": title,
        "description": description, "labels": names, "state": "opened",
    }  # fmt: skip
    told.issues.append(issue)
    return issue


def update_issue(told: FakeGitLab, number: int, sent: Json) -> Json:
    issue = next((issue for issue in told.issues if issue["iid"] == number), None)
    if issue is None:
        raise Refused(404, "404 Not found")
    if sent.get("state_event") == "close":
        issue["state"] = "closed"
    if "description" in sent:
        told.quick_actions(sent["description"])
    issue.update({key: sent[key] for key in ("title", "description") if key in sent})
    return issue


def update(told: FakeGitLab, found: list[Json], id: int, change: Json) -> Json:
    note = next((note for note in found if note["id"] == id), None)
    if note is None:
        raise Refused(404, "404 Not found")
    if note["author"] != BOT:
        raise Refused(403, "403 Forbidden")
    told.quick_actions(change["body"])
    note.update(change)
    return note


def required(sent: Json, key: str) -> str:
    if not sent.get(key):
        raise Refused(400, {"error": f"{key} is missing"})
    return str(sent[key])


def require_commit(told: FakeGitLab, commit: str) -> None:
    if commit not in told.commits:
        raise Refused(404, "404 Commit Not Found")
