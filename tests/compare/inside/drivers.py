"""Drivers in processes of their own: commands as a shell starts them, and runs that are killed on the way."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMIT = 400  # seconds that one may take


def shell(arguments: list[str], cwd: str = ".", env: dict[str, str] = {}) -> dict[str, Any]:
    """`python ARGUMENTS`, with a Ray of its own unless `env` names one."""
    # A command finds the modules of its tree by itself, wherever it is started from.
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=plain | env, capture_output=True, text=True, timeout=LIMIT
    )
    return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def kill(config: dict[str, Any], files: int, pause: float) -> dict[str, Any]:
    """Starts a run, and kills it `pause` seconds after this number of files stands in its output. How far it was
    then is a matter of luck, and is left out."""
    output = Path(config["output"]["path"])
    command = [sys.executable, "-m", "inside.driver", json.dumps(config)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + LIMIT
    while driver.poll() is None and time.monotonic() < until and _files(output) < files:
        time.sleep(0.01)
    time.sleep(pause)
    driver.kill()
    code = driver.wait()
    return {} if code in (-9, 0) else {"the driver ended by itself": code}


def _files(output: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(output))
