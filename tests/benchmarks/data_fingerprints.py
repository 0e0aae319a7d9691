"""What it costs to tell whether 20,000 files of data are as they were: `python -m tests.benchmarks.data_fingerprints`.

Files of 100 KB, as photos of ImageNet are. Prints the seconds of a fingerprint for each, read as they are, read and remembered, and known
by size and times; each in a process of its own, the files in the system's cache (on a cold disk reading costs more, the status as little).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

COUNT, BYTES = 20_000, 100_000

_RUN = """
import contextlib, sys, time
from pathlib import Path
from robustbench_cv.data.folder import folder
from robustbench_cv.file_hashes import remembered_hashes

root, store = sys.argv[1:]
data = folder(root)
started, cpu = time.perf_counter(), time.process_time()
with remembered_hashes(Path(store)) if store else contextlib.nullcontext():
    prints = [data.fingerprint(i) for i in range(len(data))]
print(f"{time.perf_counter() - started:.2f} s, {time.process_time() - cpu:.2f} s of CPU |", hash(tuple(prints)) % 10**6)
"""


def main() -> None:
    rng = numpy.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        for k in range(COUNT):
            path = Path(temporary) / "data" / f"class{k % 10}" / f"{k}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.bytes(BYTES))
        time.sleep(3)  # files that were just written are not trusted
        store = Path(temporary) / "hashes.json"
        for name, where in (("read", ""), ("read and remembered", store), ("known", store)):
            arguments = [sys.executable, "-c", _RUN, str(Path(temporary) / "data"), str(where)]
            done = subprocess.run(arguments, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"})
            print(f"{name}: {done.stdout.strip()}", flush=True)
        print(f"store: {store.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
