"""A batch endpoint on top of the fault server: files, batches, and what can go wrong with them."""

import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any

from backends.fault_server import FaultHandler, FaultServer, Script, answered


@dataclass
class BatchScript(Script):
    """What the server does with batches. Each list is used up from the front, an entry for each batch."""

    polls: int = 1
    """How often it says that a batch is in progress."""
    ends: list[str] = field(default_factory=lambda: [])
    """How batches end: `completed` (where the list is empty), `expired` after half of the calls, `failed`,
    `cancelled`."""
    item_faults: dict[str, list[str]] = field(default_factory=lambda: {})
    """By a part of the prompt: what happens to a call: a status, `batch_expired`, `missing` or `malformed`."""
    busy: int = 0
    """Requests about batches that get a 503 before any is answered."""
    lost: int = 0
    """Batches that are created although their creator gets a 503."""
    words: dict[str, Any] = field(default_factory=lambda: {})
    """What is answered in place of a usual answer, by `created`, `listed`, `uploaded` or `polled`."""
    lines: list[str] = field(default_factory=lambda: [])
    """Lines before those of the first output file."""


class BatchServer(FaultServer):
    """Use as a context manager. `batches` has all that were created, `paid` every call that was answered."""

    def __init__(self, script: BatchScript) -> None:
        super().__init__(script, _BatchHandler)
        self.batch_script = script
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: list[str] = []
        self.polled = threading.Event()
        """Set once somebody has asked about a batch."""


class _BatchHandler(FaultHandler):
    server: BatchServer  # type: ignore[assignment]

    def do_POST(self) -> None:
        if self.path.endswith("/files"):
            self._upload(self.rfile.read(int(self.headers["Content-Length"])))
        elif self.path.endswith("/batches"):
            self._create(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        else:
            super().do_POST()

    def do_GET(self) -> None:
        _, _, rest = self.path.partition("/v1/")
        kind, _, name = rest.partition("/")
        if kind.startswith("batches") and self._is_busy():
            return
        if kind == "files":
            self._send(self.server.files[name.removesuffix("/content")], 200)
        elif kind == "batches":
            self._tell("polled", self._polled(self.server.batches[name]))
        elif kind.startswith("batches?"):
            self._tell("listed", {"data": list(self.server.batches.values())})
        else:
            super().do_GET()

    def _tell(self, kind: str, answer: Any) -> None:
        self._json(self.server.batch_script.words.get(kind, answer))

    def _is_busy(self) -> bool:
        self.server.batch_script.busy -= 1
        if self.server.batch_script.busy < 0:
            return False
        self._json({"error": {"message": "overloaded"}}, 503)
        return True

    def _upload(self, form: bytes) -> None:
        if not self._may():
            return
        assert b"multipart/form-data" in self.headers["Content-Type"].encode()
        assert b'name="purpose"\r\n\r\nbatch' in re.sub(rb"Content-[^:]*: text/plain[^\r]*\r\n", b"", form)
        name = f"file-{len(self.server.files)}"
        self.server.files[name] = b"".join(
            line + b"\n" for line in form.split(b"\n") if line.startswith(b'{"custom_id"')
        )
        self._tell("uploaded", {"id": name})

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"batch_{len(self.server.batches)}"
        lines = self.server.files[wanted["input_file_id"]].splitlines()
        self.server.batches[name] = {
            "id": name,
            "status": "in_progress",
            "endpoint": wanted["endpoint"],
            "input_file_id": wanted["input_file_id"],
            "metadata": wanted["metadata"],
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "polls": 0,
        }
        if self.server.batch_script.lost > 0:
            self.server.batch_script.lost -= 1
            self._json({"error": {"message": "lost"}}, 503)
        else:
            self._tell("created", self.server.batches[name])

    def _polled(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["polls"] += 1
        self.server.polled.set()
        if batch["status"] == "in_progress" and batch["polls"] > self.server.batch_script.polls:
            self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        ends = self.server.batch_script.ends
        batch["status"] = ends.pop(0) if ends else "completed"
        if batch["status"] == "failed":
            batch["errors"] = {"data": [{"code": "invalid_file", "message": f"bad {self.headers['Authorization']}"}]}
            return
        calls = [json.loads(line) for line in self.server.files[batch["input_file_id"]].splitlines()]
        assert len({call["custom_id"] for call in calls}) == len(calls)
        answered_calls = len(calls) // 2 if batch["status"] in ("expired", "cancelled") else len(calls)
        results = [self._result(call) for call in calls[:answered_calls]]
        results += [_expired(call) for call in calls[answered_calls:] if batch["status"] == "expired"]
        good = [line.replace("ID", calls[0]["custom_id"]) for line in self.server.batch_script.lines]
        good += [line for line, fine in results if fine]
        self.server.batch_script.lines = []
        bad = [line for line, fine in results if not fine]
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines := [line for line in lines if line]:
                batch[key] = f"file-{len(self.server.files)}"
                self.server.files[batch[key]] = "\n".join(lines).encode()

    def _result(self, call: dict[str, Any]) -> tuple[str, bool]:
        """A line of the output file, or (False) of the file of errors."""
        fault = self._item_fault(json.dumps(call["body"]))
        if fault == "missing":
            return "", False
        if fault == "batch_expired":
            return _expired(call)
        if fault.isdigit():
            body = {"error": {"message": f"{fault} for a call"}}
            return _line(call, {"status_code": int(fault), "body": body}), False
        status, content = answered(self.server.script, call["body"], chat="chat" in call["url"])
        assert status == 200, content
        self.server.paid.append(call["custom_id"])
        return _line(call, {"status_code": 200, "body": {} if fault == "malformed" else content}), True

    def _item_fault(self, text: str) -> str:
        for part, faults in self.server.batch_script.item_faults.items():
            if part in text and faults:
                return faults.pop(0)
        return ""


def _line(call: dict[str, Any], response: dict[str, Any] | None, error: dict[str, Any] | None = None) -> str:
    return json.dumps({"custom_id": call["custom_id"], "response": response, "error": error})


def _expired(call: dict[str, Any]) -> tuple[str, bool]:
    return _line(call, None, {"code": "batch_expired", "message": "This request could not be executed in time."}), False
