"""A hub that takes calls and says nothing is told of within ten seconds, wherever a stage would ask it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from damage.interrupted import CELL
from processes import ROOT

pytestmark = pytest.mark.slow

_SECONDS_TO_START = 30
"""Most that Python and its libraries take before a stage begins, on a machine that does other things too."""


def test_a_probe_on_a_backbone_of_a_silent_hub_ends_within_seconds(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        where = {
            "HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "HF_HOME": str(project / "hub"),
            "PYTHONPATH": str(ROOT), "LGM_DEVICE": "cpu", "LGM_WORKERS": "0",
        }  # fmt: skip
        words = ["--images", str(CELL.distilled), "--backbone", "timm:resnet18"]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "stages.probe", *words],
            env={key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"} | where,
            capture_output=True,
            text=True,
            check=False,
        )
    assert time.monotonic() - began < 10 + _SECONDS_TO_START
    assert done.returncode == 1
    assert (
        "error: There are no weights of resnet18, and the Hugging Face hub does not answer.\n" in done.stderr
    )
    assert "Traceback" not in done.stderr
