"""A ledger that takes no more from a user: training goes on, nothing is lost silently, and what can be sent is."""

import json
import unittest

from tests.helpers import ClientCase
from tests.ledger_server import Problem


def over(status, bound):
    return Problem(status, f"5 of at most 5 {bound} are in use for this user", "over-limit")


class BoundsTest(ClientCase):
    def test_points_beyond_are_set_aside_and_the_end_and_the_files_arrive(self):
        server = self.serve()

        def full(method, path, body):
            if path.endswith("/heartbeat") and json.loads(body).get("logs"):
                return over(413, "bytes")
            return None

        server.faults.append(full)
        code, _, err = self.run_client("run", "--", *self.trainer())
        self.assertEqual(code, 0, err)
        task = next(iter(server.tasks.values()))
        self.assertEqual(task["status"], "success", err)
        self.assertTrue([w for w in server.weights.values() if w["state"] == "complete"], err)
        self.assertIn("set aside", err)
        self.assertIn("5 of at most 5 bytes", err)
        kept = [
            json.loads(line) for path in self.spool.rglob("refused.jsonl") for line in path.read_text().splitlines()
        ]
        self.assertTrue(any(item["kind"] == "heartbeat" for item in kept), kept)
        self.assertFalse(any(item["kind"] == "finish" for item in kept), kept)

    def test_a_run_that_there_is_no_room_for_waits_in_the_spool(self):
        server = self.serve()

        def full(method, path, body):
            return over(403, "runs") if (method, path) == ("POST", "/api/tasks") else None

        server.faults.append(full)
        code, _, err = self.run_client("run", "--", *self.trainer())
        self.assertEqual(code, 0, err)
        self.assertEqual(server.tasks, {})
        self.assertIn("takes no more for now", err)
        self.assertNotIn("does not accept the key", err)
        server.faults.clear()
        code, _, err = self.run_client("sync")
        self.assertEqual(code, 0, err)
        self.assertEqual([task["status"] for task in server.tasks.values()], ["success"])

    def test_a_cancellation_comes_through_beside_a_refusal(self):
        server = self.serve()

        def full(method, path, body):
            if path.endswith("/heartbeat") and json.loads(body).get("logs"):
                problem = over(413, "bytes")
                problem.body.update(cancel_requested=True, heartbeat_interval_sec=0.3)
                return problem
            return None

        server.faults.append(full)
        self.run_client("run", "--", *self.trainer(steps=2000, sleep=0.05))
        self.assertEqual([task["status"] for task in server.tasks.values()], ["cancelled"])


if __name__ == "__main__":
    unittest.main()
