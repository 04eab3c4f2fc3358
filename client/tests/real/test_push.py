"""`lora-ledger push` with the Hugging Face Hub's own client, against a hub of our own: the real one is out of a test's reach.

The hub below speaks what huggingface_hub 0.36 asks of one for a commit: make a repository, say how each file is sent, take
large files by the LFS protocol and the rest within the commit. Run where huggingface_hub is installed:
`python3 -m unittest -v client.tests.real.test_push` from the repository's folder.
"""

import base64
import hashlib
import importlib.util
import json
import tempfile
import threading
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.helpers import ClientCase
from tests.real.ledger import Ledger, lacking

TOKEN = "hf_" + "t" * 34
REASON = lacking() or ("" if importlib.util.find_spec("huggingface_hub") else "huggingface_hub not installed")


class Hub(BaseHTTPRequestHandler):
    """One hub; what it holds stands at the server."""

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def allowed(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.answer({"error": "Invalid credentials"}, 401)
        return False

    def do_PUT(self):
        data = self.body()
        oid = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.large[oid] = data
        self.answer({})

    def do_POST(self):
        server, path, data = self.server, self.path, self.body()
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path.startswith("/verify"):
            return self.answer({})
        if not self.allowed():
            return None
        if path == "/api/repos/create":
            server.created = json.loads(data)
            return self.answer({"url": f"{server.url}/anna/anime-style"})
        if path.endswith("/preupload/main"):
            files = json.loads(data)["files"]
            mode = lambda f: "lfs" if f["path"].endswith(".safetensors") else "regular"  # noqa: E731
            return self.answer(
                {"files": [{"path": f["path"], "uploadMode": mode(f), "shouldIgnore": False} for f in files]}
            )
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(data)["objects"]
            upload = lambda o: {
                "upload": {"href": f"{server.url}/lfs/{o['oid']}"},
                "verify": {"href": f"{server.url}/verify"},
            }  # noqa: E731
            return self.answer({"transfer": "basic", "objects": [{**o, "actions": upload(o)} for o in objects]})
        if path.endswith("/commit/main"):
            server.commit = [json.loads(line) for line in data.splitlines()]
            return self.answer(
                {
                    "success": True,
                    "commitUrl": f"{server.url}/anna/anime-style/commit/{'1' * 40}",
                    "commitOid": "1" * 40,
                }
            )
        return self.answer({"error": f"nothing at {path}"}, 404)


@unittest.skipIf(REASON, REASON)
class PushTest(ClientCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(home.cleanup)
        cls.ledger = Ledger(Path(home.name))
        cls.addClassCleanup(cls.ledger.close)

    def setUp(self):
        super().setUp()
        self.hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        self.hub.url = f"http://127.0.0.1:{self.hub.server_port}"
        self.hub.large, self.hub.commit, self.hub.created = {}, [], None
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)

    def environment(self, **extra):
        return {
            **super().environment(),
            "LEDGER_URL": self.ledger.url,
            "LEDGER_KEY": self.ledger.key,
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **extra,
        }

    def send(self, path, body, key=None):
        request = urllib.request.Request(
            self.ledger.url + path,
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key or self.ledger.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def test_publishes_file_card_and_images(self):
        code, _, err = self.run_client("run", "--", *self.trainer(steps=20))
        self.assertEqual(code, 0, err)
        task = self.ledger.newest()
        final = next(w for w in self.ledger.files(task).values() if w["kind"] == "final")
        self.send("/api/models", {"name": "anime-style", "license": "mit", "description": "Soft *lines*."})
        self.send("/api/models/anime-style/versions", {"weight_id": final["id"]})
        code, _, err = self.run_client("push", "anime-style:1", "--repo", "anna/anime-style")
        self.assertEqual(code, 1)
        self.assertIn("only approved versions are published", err)

        self.send("/api/models/anime-style/versions/1/submit", {})
        other = self.send("/api/users", {"name": "bert", "role": "admin"})
        bert = self.send("/api/keys", {"name": "k", "user_id": other["id"]})["key"]
        self.send("/api/models/anime-style/versions/1/approve", {}, bert)
        code, out, err = self.run_client("push", "anime-style:1", "--repo", "anna/anime-style", "--private")
        self.assertEqual(code, 0, err)
        self.assertIn(b"anime-style 1 is published", out)
        self.assertTrue(self.hub.created["private"])
        header, *entries = self.hub.commit
        self.assertIn(final["sha256"][:12], header["value"]["summary"])
        sent = {e["value"]["path"]: e["value"] for e in entries}
        self.assertEqual(sent["anime-style-v1.safetensors"]["oid"], final["sha256"])
        self.assertEqual(hashlib.sha256(self.hub.large[final["sha256"]]).hexdigest(), final["sha256"])
        card = base64.b64decode(sent["README.md"]["content"]).decode()
        self.assertTrue(card.startswith("---\nlicense: mit\n"), card)
        self.assertIn("Soft \\*lines\\*.", card)
        self.assertNotIn(self.ledger.key, err + out.decode() + card)

    def test_says_in_a_line_what_the_hub_refuses(self):
        code, _, err = self.run_client("push", "unheard-of", "--repo", "anna/x")
        self.assertEqual((code, "no model unheard-of" in err), (1, True))
        for repo in ("anna", "anna/x/y", "anna/ü"):
            self.assertEqual(self.run_client("push", "anime-style:1", "--repo", repo)[0], 1)
        code, _, err = self.run_client("push", "anime-style:1", "--repo", "anna/x", env={"HF_TOKEN": "hf_wrong"})
        self.assertEqual(code, 1)
        self.assertIn("the hub did not take it", err)
        self.assertNotIn("Traceback", err)


if __name__ == "__main__":
    unittest.main()
