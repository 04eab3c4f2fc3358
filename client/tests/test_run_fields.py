"""What the client says of a run's columns is what the catalogue of the service says."""

import re
import unittest
from pathlib import Path

import lora_ledger
from lora_ledger.commands import show
from lora_ledger.core.run_fields import RUN_FIELDS
from lora_ledger.imports import fields
from tests import helpers, ledger_server

SOURCES = Path(lora_ledger.__file__).parent


def names_by(*writers):
    return {name for name, line in RUN_FIELDS.items() if line["by"] in writers}


class RunFieldsTest(helpers.TemporaryCase):
    def test_the_ledger_of_these_tests_takes_what_the_service_takes(self):
        beside = {"config", "dataset_file", "datasets", "started_by"}
        self.assertEqual(ledger_server.TASK_FIELDS - beside - names_by("trainer", "client"), set())
        self.assertEqual(ledger_server.IMPORTED, names_by("import") | {"source", "attempts", "additional_args"})
        self.assertEqual(ledger_server.SERVER_FIELDS - names_by("server", "import"), set())

    def test_tables_are_read_by_the_columns_ranges(self):
        self.assertEqual(fields.FIELDS["lora_rank"], ("whole", (1, 65_536)))
        self.assertEqual(fields.FIELDS["task_name"], ("text", 300))
        self.assertEqual(fields.FIELDS["lora_alpha"], ("number", None))
        self.assertEqual(fields.FIELDS["total_duration_sec"], ("duration", (0, None)))
        self.assertEqual(fields.ENDED - names_by("import"), set())

    def test_commands_name_columns_that_there_are(self):
        self.assertEqual(set(show.FIELDS) - set(RUN_FIELDS), set())
        named = set()
        for path in SOURCES.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            named.update(re.findall(r"""\bdraft\.take\([^,()]+, "(\w+)\"""", text))
            named.update(re.findall(r"""\bself\.put\("(\w+)\"""", text))
        self.assertIn("batch_size", named)
        self.assertEqual(named - set(RUN_FIELDS), set())


if __name__ == "__main__":
    unittest.main()
