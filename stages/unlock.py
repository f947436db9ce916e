"""Remove DVC's own lock file where a kill cut it in half: `make unlock`.

DVC writes .dvc/tmp/rwlock in place. SIGKILL in that moment leaves a part of the file, and every later `dvc
repro` ends with "RWLock-file … JSON structure is corrupted". A whole file is left alone: DVC itself drops the
entries of processes that are gone.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("unlock", __doc__, params=False)

import json
import time
from pathlib import Path

_FILE = Path(".dvc/tmp/rwlock")
_LOOKS = 5
_SECONDS_BETWEEN = 0.2
"""A DVC that runs now may be writing it; it is done in less than that."""


def main() -> None:
    """Look several times, and remove the file if it is never whole."""
    for _ in range(_LOOKS):
        try:
            json.loads(_FILE.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(_SECONDS_BETWEEN)
        else:
            return
    _FILE.unlink(missing_ok=True)
    print(f"{_FILE} had been cut in half by a kill, and is removed.")
