#!/usr/bin/env python3
"""Run the scenarios: run.py ARCH EMULATOR IMAGE_DIR [NAME...]; called by tests/qemu/run."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import scenarios
from guest import Failure, Guest


def main():
    arch, emulator, image, *names = sys.argv[1:]
    unknown = set(names) - {function.__name__ for function in scenarios.ALL}
    if unknown:
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}")
    work = tempfile.mkdtemp(prefix="perigee-qemu.")
    figures, failed, passed = [], 0, 0
    for function in scenarios.ALL:
        if names and function.__name__ not in names:
            continue
        guests = []

        def make(name):
            guests.append(Guest(arch, emulator, image, work, name))
            return guests[-1]
        began = time.monotonic()
        try:
            function(make, lambda what, value: figures.append((what, value)))
            verdict = "ok  "
            passed += 1
        except Exception as error:  # noqa: BLE001 - each scenario is judged by itself
            verdict = "FAIL"
            failed += 1
            print("".join(traceback.format_exception(error)) if not isinstance(error, Failure) else f"     {error}")
            for guest in guests:
                log = guest.work / "console.log"
                if log.exists():
                    print(f"     --- console of {guest.work.name}, end\n{log.read_text(errors='replace')[-3000:]}")
        finally:
            for guest in guests:
                guest.end()
        print(f"{verdict} {function.__name__} ({time.monotonic() - began:.0f} s)", flush=True)
    for what, value in figures:
        print(f"     {what}: {value}")
    if os.environ.get("PERIGEE_QEMU_FIGURES"):
        pathlib.Path(os.environ["PERIGEE_QEMU_FIGURES"]).write_text(json.dumps(dict(figures)))
    if os.environ.get("PERIGEE_QEMU_KEEP"):
        print(f"kept: {work}")
    else:
        shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
