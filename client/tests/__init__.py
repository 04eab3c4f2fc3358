"""The client's tests. Their first import makes the client's own sources the ones that all of them use."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
