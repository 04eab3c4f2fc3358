"""A small real HTTP server that keeps to the ledger's contract, for the client's own tests.

It is strict: unknown fields, gaps in numbering, wrong attempts, an Authorization header on a signed URL and wrong sizes
or hashes are refused as the contract says. Faults can be put in the way: see `Server.faults`.
"""

import base64
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "test-key-0123456789"
TASK_FIELDS = {
    "task_name",
    "config",
    "dataset_file",
    "command",
    "datasets",
    "gpu_info",
    "node_info",
    "cuda_version",
    "git_commit",
    "hourly_price",
    "tags",
    "notes",
    "experiment_group",
    "output_dir",
    "lora_rank",
    "started_by",
    "trainer",
}
IMPORTED = {
    "source",
    "status",
    "created_at",
    "started_at",
    "finished_at",
    "final_loss",
    "total_duration_sec",
    "cost",
    "exit_code",
    "failure_reason",
    "error_message",
    "convergence_step",
    "weights_path",
    "progress",
    "defaulted_fields",
    "additional_args",
    "attempts",
}
SERVER_FIELDS = {"id", "status", "attempt", "user_id", "cost", "created_at"}


class ProblemError(Exception):
    def __init__(self, status, detail, code="problem", errors=None, headers=None):
        super().__init__(detail)
        self.status = status
        self.body = {"type": f"urn:lora-ledger:{code}", "title": code, "status": status, "detail": detail}
        if errors:
            self.body["errors"] = errors
        self.headers = headers or {}


def strict(body, allowed, required=()):
    wrong = [{"path": k, "message": "is not known"} for k in body if k not in allowed]
    wrong += [{"path": k, "message": "is missing"} for k in required if k not in body]
    if wrong:
        raise ProblemError(422, "The body is not valid", "not-valid", wrong)


def marks_in(text):
    """Marks that are the whole value of a key on a line of its own."""
    found = re.finditer(rb"""^[ \t]*([\w-]+)[ \t]*[=:][ \t]*["']?(\[redacted\])["']?[ \t]*$""", text, re.M)
    return [{"at": match.start(2), "name": match[1].decode()} for match in found]


def command_marks(command):
    """The same of a command's words: `--name [redacted]` and `--name=[redacted]`."""
    found = []
    for at, word in enumerate(command):
        name = command[at - 1] if at and word == "[redacted]" else word[: -len("=[redacted]")]
        if word.endswith("[redacted]") and re.fullmatch(r"-{0,2}\w[\w-]*", name):
            found.append({"at": at, "name": name.lstrip("-")})
    return found


class Server:
    """`tasks`, `weights`, `objects` hold what arrived; `requests` every (method, path) in order.

    `faults` is a list of functions (method, path, body) → None, "drop" (no answer at all), "lose" (handle it, then
    drop the answer) or a ProblemError; each call asks all of them.
    """

    def __init__(self, port=0, interval=0.3, single_limit=1 << 20, part_size=1 << 18):
        self.interval = interval
        # A ledger of before version 0.2, which refuses how long an attempt took.
        self.before_durations = False
        self.single_limit = single_limit
        self.part_size = part_size
        self.tasks = {}
        self.weights = {}
        self.objects = {}
        self.keys = {}
        self.requests = []
        self.faults = []
        self.box_key = False
        # Whether tasks are of the key's own user.
        self.own = True
        self.from_box = False
        # What the next claims are answered, whatever it is.
        self.claims = []
        self.guard = threading.RLock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do(self):
                server.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)

    def handle(self, request):
        path = request.path
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else b""
        fault = None
        with self.guard:
            self.requests.append((request.command, path))
            for rule in list(self.faults):
                fault = fault or rule(request.command, path, body)
        if fault == "drop":
            request.close_connection = True
            request.connection.close()
            return
        headers = {}
        try:
            if isinstance(fault, ProblemError):
                raise fault
            with self.guard:
                status, answer, headers = self.route(request, urlsplit(path), body)
        except ProblemError as problem:
            status, answer, headers = problem.status, problem.body, problem.headers
        if fault == "lose":
            request.close_connection = True
            request.connection.close()
            return
        data = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)
        except OSError:
            pass

    def route(self, request, url, body):
        method, path = request.command, url.path
        if path == "/healthz":
            return 200, b'{"database":true,"bucket":true}', {}
        if path.startswith("/signed/"):
            return self.put_object(request, url, body) if method == "PUT" else self.get_object(request, url)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise ProblemError(401, "The key is not valid", "bad-key")
        value = json.loads(body) if body else {}
        if (method, path) == ("POST", "/api/tasks"):
            return 200, self.register(request, value, body), {}
        if (method, path) == ("POST", "/api/queue/claim"):
            return 200, self.claims.pop(0) if self.claims else {"task": None, "retry_after_sec": 0.2}, {}
        if (method, path) == ("GET", "/api/tasks"):
            return 200, self.list_tasks(parse_qs(url.query)), {}
        if (method, path) == ("GET", "/api/weights"):
            return 200, self.list_weights(parse_qs(url.query)), {}
        if (method, path) == ("GET", "/api/me"):
            if self.box_key:
                raise ProblemError(403, "A box key may not do that", "not-allowed")
            return 200, {"id": 1, "name": "anna", "role": "member"}, {}
        match = re.fullmatch(r"/api/tasks/(\d+)/attempts/(\d+)/logs", path)
        if match and method == "POST" and int(match[1]) in self.tasks:
            return 200, self.past_logs(self.tasks[int(match[1])], int(match[2]), value), {}
        match = re.fullmatch(r"/api/tasks/(\d+)(?:/(\w+))?", path)
        if match:
            task = self.tasks.get(int(match[1]))
            if task is None:
                raise ProblemError(404, f"There is no task {match[1]}", "not-found")
            name = match[2] or "show"
            handler = getattr(self, f"{method.lower()}_{name}", None)
            if not handler:
                raise ProblemError(404, "There is no such route", "not-found")
            return 200, handler(task, value, request), {}
        match = re.fullmatch(r"/api/weights/(\d+)(?:/(\w+))?", path)
        if match and int(match[1]) in self.weights:
            weight = self.weights[int(match[1])]
            if match[2] == "complete":
                return 200, self.complete(weight, value), {}
            if match[2] == "upload":
                if weight["state"] != "uploading":
                    raise ProblemError(409, "The upload has ended", "conflict")
                query = parse_qs(url.query)
                return 200, self.upload_of(weight, int(query["from"][0]), int(query["limit"][0])), {}
            if match[2] == "download":
                if parse_qs(url.query).get("redirect") != ["false"]:
                    return 302, None, {"Location": f"{self.url}/signed/{weight['id']}?sig=get"}
                if weight["state"] != "complete":
                    raise ProblemError(409, "The file is not complete", "not-complete")
                link = {"url": f"{self.url}/signed/{weight['id']}?sig=get", "expires_at": "2099-01-01T00:00:00.000Z"}
                return 200, {**link, "sha256": weight["sha256"], "size": weight["size"]}, {}
            return 200, {k: v for k, v in weight.items() if k != "parts"}, {}
        raise ProblemError(404, "There is no such route", "not-found")

    def register(self, request, value, body):
        taken = [{"path": k, "message": "is kept by the server"} for k in value if k in SERVER_FIELDS]
        if taken:
            raise ProblemError(422, "The registration is not valid", "not-valid", taken)
        config = value.get("config")
        if config is not None:
            strict(config, {"text", "base64", "path", "format"})
        imported = value.get("import")
        if imported is not None:
            strict(imported, IMPORTED, ("source",))
        key = request.headers.get("Idempotency-Key")
        digest = hashlib.sha256(body).hexdigest()
        warnings = []
        if imported and not key:
            # A source is imported once, whatever else is said of it.
            key, digest = f"import:{imported['source']}", "import"
            if key in self.keys:
                warnings = [{"code": "already-imported", "path": "import.source", "message": "known"}]
        if key in self.keys:
            task_id, earlier = self.keys[key]
            if earlier != digest:
                raise ProblemError(
                    422, "This Idempotency-Key was used for another registration", "idempotency-key-reused"
                )
        else:
            task_id = len(self.tasks) + 1
            self.keys[key] = (task_id, digest)
            self.tasks[task_id] = {
                "id": task_id,
                "status": (imported or {"status": "pending"}).get("status", "success"),
                "attempt": max((a["attempt"] for a in (imported or {}).get("attempts") or []), default=0),
                "fields": value,
                "attempts": {},
                "datasets": [],
                "cancel": False,
                "finish": None,
            }
        return {
            "task_id": task_id,
            "task": {"id": task_id, "task_name": value.get("task_name") or "untitled"},
            "warnings": warnings,
        }

    def past_logs(self, task, attempt, value):
        """Points of an imported run: `seq` only counts up, and a number that was there changes nothing."""
        strict(value, {"seq", "logs"}, ("seq", "logs"))
        if not task["fields"].get("import") or attempt > max(task["attempt"], 1):
            raise ProblemError(409, "The task was not imported with such an attempt", "not-imported")
        if not 1 <= len(value["logs"]) <= 5000:
            raise ProblemError(422, "logs", "not-valid")
        for entry in value["logs"]:
            strict(entry, {"step", "epoch", "time", "metrics"}, ("step", "metrics"))
        task["attempt"] = max(task["attempt"], 1)
        beats = task["attempts"].setdefault(attempt, {"beats": {}, "from_step": None, "tail": None})["beats"]
        if value["seq"] > max(beats, default=0):
            beats[value["seq"]] = value
        return {"attempt": attempt, "last_seq": max(beats)}

    def get_show(self, task, _value, _request):
        return self.task_of(task)

    def task_of(self, task):
        """The task as the ledger shows it, with its latest attempts."""
        attempts = [
            {
                "attempt": number,
                "status": attempt.get("ended") or (task["status"] if number == task["attempt"] else "failed"),
                "last_seq": max(attempt["beats"], default=0),
                "points": sum(len(b.get("logs") or []) for b in attempt["beats"].values()),
            }
            for number, attempt in sorted(task["attempts"].items(), reverse=True)
        ]
        fields = {k: v for k, v in task["fields"].items() if k not in ("config", "datasets", "import")}
        return {
            "task_name": "untitled",
            "created_at": "2026-05-01T10:00:00.000Z",
            "failure_reason": task.get("failure_reason"),
            "cancel_requested": task["cancel"],
            **fields,
            "id": task["id"],
            "status": task["status"],
            "attempt": task["attempt"],
            "attempts": attempts[:5],
        }

    def list_page(self, items, query):
        """A page of a list; the cursor is the number of items before it."""
        limit, start = int(query.get("limit", ["50"])[0]), int(query.get("cursor", ["0"])[0])
        if not 1 <= limit <= 200:
            raise ProblemError(422, "limit", "not-valid")
        more = len(items) > start + limit
        return {"items": items[start : start + limit], "next_cursor": str(start + limit) if more else None}

    def list_tasks(self, query):
        strict(query, {"filter", "order_by", "limit", "cursor", "status", "user", "deleted"})
        wanted = query.get("filter", [None])[0]
        if self.box_key:
            raise ProblemError(403, "A box key may not list", "not-allowed")
        imported = re.fullmatch(r"import_source = '([^']*)'", wanted or "")
        if imported:
            found = [t for t in self.tasks.values() if (t["fields"].get("import") or {}).get("source") == imported[1]]
            return self.list_page([self.task_of(t) for t in found], query)
        if wanted and not wanted.startswith("lora_rank = "):
            raise ProblemError(422, "The filter is not valid", "not-valid", [{"path": "filter", "message": "at 1"}])
        items = [self.task_of(self.tasks[n]) for n in sorted(self.tasks, reverse=True)]
        if wanted:
            items = [t for t in items if str(t.get("lora_rank")) == wanted.split("= ")[1]]
        if "status" in query:
            items = [t for t in items if t["status"] == query["status"][0]]
        return self.list_page(items, query)

    def list_weights(self, query):
        strict(query, {"task_id", "attempt", "kind", "state", "limit", "cursor"})
        items = [
            {k: v for k, v in self.weights[n].items() if k != "parts"}
            for n in sorted(self.weights, reverse=True)
            if self.weights[n]["task_id"] == int(query["task_id"][0])
        ]
        for name in ("kind", "state"):
            if name in query:
                items = [w for w in items if w[name] == query[name][0]]
        if "state" not in query:
            items = [w for w in items if w["state"] != "aborted"]
        return self.list_page(items, query)

    def post_cancel(self, task, _value, _request):
        if task["status"] not in ("pending", "running", "cancelled"):
            raise ProblemError(409, f"Task {task['id']} has ended as {task['status']} already", "already-finished")
        if task["status"] == "pending":
            task["status"] = "cancelled"
        task["cancel"] = task["status"] == "running"
        return self.task_of(task)

    def get_reproduce(self, task, _value, _request):
        fields = task["fields"]
        config = fields.get("config")
        text = (config.get("text") or "").encode() if config else b""
        return {
            "task_id": task["id"],
            "own": self.own,
            "from_box": self.from_box,
            "config": config
            and {
                "format": "toml",
                "path": config.get("path"),
                "sha256": hashlib.sha256(text).hexdigest(),
                "base64": base64.b64encode(text).decode(),
                "secrets": marks_in(text),
            },
            "dataset_file": None,
            "command": fields.get("command"),
            "command_secrets": command_marks(fields.get("command") or []),
            "git_commit": fields.get("git_commit"),
            "software": fields.get("node_info"),
            "gpu_info": fields.get("gpu_info"),
            "cuda_version": fields.get("cuda_version"),
            "base_model": fields.get("base_model_path"),
            "datasets": task["datasets"],
            "redacted": [],
        }

    def get_datasets(self, task, _value, _request):
        return {"datasets": [{"id": n, **fact} for n, fact in enumerate(task["datasets"], 1)]}

    def get_logs(self, task, _value, request):
        """The curve by attempt and heartbeat; `since` is "attempt.seq" as an opaque word."""
        query = parse_qs(urlsplit(request.path).query)
        strict(query, {"metric", "max_points", "since", "format"})
        metric = query.get("metric", ["loss"])[0]
        since = query.get("since", [None])[0]
        after = tuple(map(int, since.split("."))) if since else (0, 0)
        points, first = {}, {}
        for number, attempt in sorted(task["attempts"].items()):
            for seq, beat in sorted(attempt["beats"].items()):
                for entry in beat.get("logs") or []:
                    if metric not in entry["metrics"]:
                        continue
                    first[number] = min(first.get(number, entry["step"]), entry["step"])
                    if (number, seq) > after:
                        row = [entry["step"], entry.get("epoch"), entry["time"], entry["metrics"][metric]]
                        points[entry["step"]] = (number, row)
        cut = min((step for number, step in first.items() if number > after[0]), default=None)
        names = {
            m
            for a in task["attempts"].values()
            for b in a["beats"].values()
            for e in b.get("logs") or []
            for m in e["metrics"]
        }
        last = max(task["attempts"], default=0)
        answer = {
            "metric": metric,
            "total": len(points),
            "points": [points[step][1] for step in sorted(points)],
            "metrics": sorted(names),
            "next_since": f"{last}.{max(task['attempts'][last]['beats'], default=0) if last else 0}",
        }
        if since:
            answer["replaces_from"] = cut if after[0] else None
        return answer

    def open_attempt(self, task, from_step=None):
        task["attempt"] += 1
        # What comes for an imported run, which has ended long ago, does not reopen it.
        if not task["fields"].get("import"):
            task["status"] = "running"
        task["finish"] = None
        task["attempts"][task["attempt"]] = {"beats": {}, "from_step": from_step, "tail": None}

    def check_attempt(self, task, value):
        attempt = value.get("attempt", task["attempt"])
        if attempt == 1 and task["attempt"] == 0:
            self.open_attempt(task)
        if attempt < task["attempt"]:
            raise ProblemError(409, f"Attempt {attempt} was superseded by attempt {task['attempt']}", "superseded")
        if attempt != task["attempt"]:
            raise ProblemError(409, "There is no such attempt", "conflict")
        return task["attempts"][attempt]

    def post_attempts(self, task, value, request):
        strict(value, {"from_step", "gpu_info", "node_info", "cuda_version", "hourly_price"})
        key = request.headers.get("Idempotency-Key")
        if key not in self.keys:
            self.open_attempt(task, value.get("from_step"))
            self.keys[key] = task["attempt"]
        guard = task["fields"].get("guard")
        return {"attempt": self.keys[key], "heartbeat_interval_sec": self.interval, "guard": guard}

    def post_heartbeat(self, task, value, _request):
        strict(value, {"attempt", "seq", "progress", "logs", "tail"}, ("attempt", "seq"))
        strict(
            value.get("progress") or {},
            {"epoch", "total_epochs", "step", "total_steps", "percent", "eta_sec", "unstepped", "disk"},
        )
        strict((value.get("progress") or {}).get("disk") or {}, {"free_bytes", "needed_bytes"})
        logs = value.get("logs") or []
        if len(logs) > 1000:
            raise ProblemError(413, "More than 1,000 log entries", "too-large")
        for entry in logs:
            strict(entry, {"step", "epoch", "time", "metrics"}, ("step", "time", "metrics"))
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]):
                raise ProblemError(422, "time is no ISO 8601 UTC string", "not-valid")
            for metric, number in entry["metrics"].items():
                if not isinstance(number, (int, float)) and number not in ("NaN", "Infinity", "-Infinity"):
                    raise ProblemError(422, f"{metric} is no number", "not-valid")
        if len((value.get("tail") or "").encode()) > 8192:
            raise ProblemError(422, "the tail is longer than 8 kB", "not-valid")
        attempt = self.check_attempt(task, value)
        attempt["beats"].setdefault(value["seq"], value)
        if value.get("tail"):
            attempt["tail"] = value["tail"]
        if task["status"] == "pending":
            task["status"] = "running"
        return {
            "status": task["status"],
            "attempt": task["attempt"],
            "cancel_requested": task["cancel"],
            "heartbeat_interval_sec": self.interval,
        }

    def post_finish(self, task, value, _request):
        known = {"attempt", "status", "last_seq", "error_message", "exit_code", "failure_reason", "final_loss"}
        if not self.before_durations:
            known |= {"duration_sec", "ended_sec_ago"}
        strict(value, known, ("attempt", "status"))
        if value["status"] not in ("success", "failed", "cancelled"):
            raise ProblemError(422, "status", "not-valid")
        if value.get("failure_reason") not in (None, "error", "oom", "lost", "preempted"):
            raise ProblemError(422, "failure_reason", "not-valid")
        attempt = self.check_attempt(task, value)
        if task["finish"] and task["finish"]["status"] != value["status"]:
            raise ProblemError(409, f"The task is {task['status']}", "conflict")
        task["finish"] = task["finish"] or value
        task["status"] = value["status"]
        missing = [
            {"from": n, "to": n} for n in range(1, (value.get("last_seq") or 0) + 1) if n not in attempt["beats"]
        ]
        return {"task": {"id": task["id"]}, "missing": missing}

    def put_datasets(self, task, value, _request):
        strict(value, {"datasets"}, ("datasets",))
        for fact in value["datasets"]:
            strict(
                fact,
                {"name", "source_path", "image_count", "repeats", "tag_distribution", "content_hash"},
                ("name",),
            )
        task["datasets"] = value["datasets"]
        return {"datasets": value["datasets"]}

    def post_weights(self, task, value, _request):
        strict(
            value,
            {"attempt", "filename", "size", "sha256", "kind", "epoch", "step", "prompt", "seed", "group"},
            ("filename", "size", "sha256", "kind"),
        )
        if (
            value["kind"] not in ("final", "checkpoint", "state", "sample", "config")
            or any(part in ("", ".", "..") for part in value["filename"].split("/"))
            or len(value["filename"]) > 255
            or re.search("[\x00-\x1f\x7f-\x9f\\\\\ufffd]", value["filename"])
        ):
            raise ProblemError(422, "kind or filename", "not-valid")
        self.check_attempt(task, value)
        weight_id = len(self.weights) + 1
        weight = {
            **value,
            "id": weight_id,
            "task_id": task["id"],
            "state": "uploading",
            "parts": {},
            "verified": None,
        }
        self.weights[weight_id] = weight
        held = [w for w in self.weights.values() if w["state"] == "complete" and w["sha256"] == value["sha256"]]
        if held:
            weight.update(state="complete", verified="sha256")
            self.objects[weight_id] = self.objects[held[0]["id"]]
            return {"weight_id": weight_id, "upload": None, "verified": "sha256"}
        return {"weight_id": weight_id, "upload": self.upload_of(weight, 1, 32)}

    def upload_of(self, weight, start, limit):
        base = f"{self.url}/signed/{weight['id']}"
        if weight["size"] <= self.single_limit:
            return {
                "method": "PUT",
                "url": f"{base}?sig=x",
                "expires_at": "2099-01-01T00:00:00.000Z",
                "headers": {"If-None-Match": "*", "x-test-signed": "yes"},
            }
        count = -(-weight["size"] // self.part_size)
        numbers = [n for n in range(start, count + 1) if n not in weight["parts"]][:limit]
        return {
            "part_size": self.part_size,
            "expires_at": "2099-01-01T00:00:00.000Z",
            "parts": [
                {
                    "number": n,
                    "url": f"{base}?part={n}&sig={time.time()}",
                    "headers": {"x-test-signed": "yes"},
                }
                for n in numbers
            ],
        }

    def get_object(self, request, url):
        if request.headers.get("Authorization"):
            raise ProblemError(400, "Only one auth mechanism allowed", "bad-request")
        data = self.objects[int(url.path.split("/")[2])]
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        if not match:
            return 200, data, {}
        start = int(match[1])
        if start >= len(data):
            raise ProblemError(416, "InvalidRange", "range")
        return 206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}

    def put_object(self, request, url, body):
        if request.headers.get("Authorization"):
            raise ProblemError(400, "Only one auth mechanism allowed", "bad-request")
        if request.headers.get("x-test-signed") != "yes":
            raise ProblemError(403, "SignatureDoesNotMatch", "signature")
        weight = self.weights[int(url.path.split("/")[2])]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        query = parse_qs(url.query)
        if "part" in query:
            weight["parts"][int(query["part"][0])] = body
        else:
            if weight["id"] in self.objects:
                raise ProblemError(412, "PreconditionFailed", "precondition")
            self.objects[weight["id"]] = body
        return 200, None, {"ETag": etag}

    def complete(self, weight, value):
        strict(value, {"parts"})
        if weight["state"] == "complete":
            return {"weight_id": weight["id"], "verified": weight["verified"]}
        if weight["parts"]:
            given = {p["number"]: p for p in value.get("parts") or []}
            for number, data in weight["parts"].items():
                if number in given and given[number]["md5"] != hashlib.md5(data).hexdigest():
                    raise ProblemError(422, "a part's md5", "mismatch")
            data = b"".join(weight["parts"][n] for n in sorted(weight["parts"]))
        else:
            data = self.objects.get(weight["id"], b"")
        if len(data) != weight["size"] or hashlib.sha256(data).hexdigest() != weight["sha256"]:
            self.objects.pop(weight["id"], None)
            weight["state"] = "aborted"
            raise ProblemError(422, "The file is not the one that was announced", "mismatch")
        self.objects[weight["id"]] = data
        weight.update(state="complete", verified="sha256")
        return {"weight_id": weight["id"], "verified": "sha256"}

    # What tests ask.

    def points(self, task_id, metric, attempt=None):
        """{step: value} with the highest seq winning."""
        task = self.tasks[task_id]
        beats = task["attempts"][attempt or task["attempt"]]["beats"]
        found = {}
        for seq in sorted(beats):
            for entry in beats[seq].get("logs") or []:
                if metric in entry["metrics"]:
                    found[entry["step"]] = entry["metrics"][metric]
        return found

    def progress(self, task_id, attempt=None):
        """The progress that an attempt told last: heartbeats without one leave it as it was."""
        task = self.tasks[task_id]
        beats = task["attempts"][attempt or task["attempt"]]["beats"]
        return next((beats[seq]["progress"] for seq in sorted(beats, reverse=True) if "progress" in beats[seq]), {})

    def held(self, task_id):
        """{filename: bytes} of complete files."""
        return {
            w["filename"]: self.objects[w["id"]]
            for w in self.weights.values()
            if w["task_id"] == task_id and w["state"] == "complete"
        }
