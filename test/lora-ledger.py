"""The client as an installation has it: modules in files, whose bytecode Python keeps. The tests' stack starts it."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "client" / "src")

from lora_ledger.cli import main

if __name__ == "__main__":
    sys.exit(main())
