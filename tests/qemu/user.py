#!/usr/bin/env python3
"""Use a server that runs in QEMU's user mode: user.py EMULATOR BINARY; called by tests/qemu/user."""
import gzip
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from guest import Failure, Guest, WebSocket, free_port
from scenarios import check, gcode, klippy, printed

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "fixtures/moonraker/v0.8-lmdb-32bit/data.mdb.gz"
# Seconds since 1970 that 32 bits do not hold: the year 2100.
LATE = 4102444800


class Process(Guest):
    """The demo, server and simulated printer, as a process of this machine."""

    def __init__(self, emulator, binary, data):
        self.command, self.data = [emulator, binary], data
        self.process = None
        # The demo's configuration, which stays, has it.
        self.port = free_port()

    def start(self):
        self.started = time.monotonic()
        command = [*self.command, "demo", "--port", str(self.port), "--data", self.data, "--speed", "5"]
        with open(self.data.parent / "output", "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.wait_ready()
        klippy(self, "ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(30) == 0, f"it ends with {self.process.returncode}")

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def run(self, *arguments):
        """What a command of the binary prints."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout} {done.stderr}")
        return done.stdout


def files(server):
    content = gcode("user", 300)
    status, answer = server.upload("user.gcode", content)
    check(status == 201, f"upload: {status} {answer[:300]!r}")
    check(server.request("GET", "/server/files/gcodes/user.gcode") == (200, content), "the download is not the upload")
    late = server.data / "gcodes" / "late.gcode"
    late.write_bytes(content)
    os.utime(late, (LATE, LATE))
    listed = {file["path"]: file for file in server.get("/server/files/list?root=gcodes")}
    check(listed["user.gcode"]["size"] == len(content), f"listed: {listed}")
    check(listed["late.gcode"]["modified"] == LATE, f"a file of 2100: {listed['late.gcode']}")
    metadata = server.get("/server/files/metadata?filename=user.gcode")
    check(metadata["size"] == len(content), f"metadata: {metadata}")


def database(server):
    # More than fits into one page of LMDB, and a number that 32 bits do not hold.
    value = {"text": "x" * 20000, "number": 1 << 53, "list": [1.5, None, True]}
    server.call("POST", "/server/database/item", {"namespace": "user", "key": "a.b", "value": value})
    got = server.get("/server/database/item?namespace=user&key=a.b")["value"]
    check(got == value, f"database: {str(got)[:200]}")
    return value


def prints(server):
    socket = WebSocket(server.port)
    check("result" in socket.call("server.connection.identify", client_name="user", version="1", type="other",
                                  url="http://localhost"), "identify")
    check("result" in socket.call("printer.objects.subscribe", objects={"print_stats": None}), "subscribe")
    status, answer = server.upload("print.gcode", gcode("print", 1), print="true")
    check(status == 201 and b'"print_started":true' in answer, f"upload to print: {status} {answer[:300]!r}")
    printed(socket)
    socket.close()
    # It is recorded at the next update of the print's state.
    end = time.monotonic() + 30
    jobs = []
    while [job["status"] for job in jobs] != ["completed"]:
        check(time.monotonic() < end, f"history: {jobs}")
        time.sleep(0.2)
        jobs = server.get("/server/history/list")["jobs"]


def accounts(server):
    answer = server.call("POST", "/access/user", {"username": "user", "password": "correct horse"})
    server.call("POST", "/access/login", {"username": "user", "password": "correct horse"})
    status, _ = server.request("GET", "/access/user", headers={"Authorization": f"Bearer {answer['token']}"})
    check(status == 200, f"a token of its own: {status}")


def loses_memory(emulator):
    """When a 32-bit program makes a mapping smaller, as happens when the 7 MiB for the hash of a password are given back,
    QEMU (seen with 7.2) takes away what lies behind the mapping instead of its end. Not in every release."""
    return "64" not in emulator and not os.environ.get("PERIGEE_QEMU_ACCOUNTS")


def main():
    emulator, binary = sys.argv[1:]
    work = pathlib.Path(tempfile.mkdtemp(prefix="perigee-user."))
    server = Process(emulator, binary, work / "data")
    try:
        server.start()
        for what in (files, prints, accounts):
            if what is accounts and loses_memory(emulator):
                print("skip accounts: PERIGEE_QEMU_ACCOUNTS is not set")
                continue
            what(server)
            print(f"ok   {what.__name__}", flush=True)
        value = database(server)
        server.stop()
        server.start()
        check(server.get("/server/database/item?namespace=user&key=a.b")["value"] == value, "the database forgot")
        check(len(server.get("/server/files/list?root=gcodes")) >= 2, "files are gone")
        server.stop()
        print("ok   database")
        moved = work / "moonraker"
        moved.mkdir()
        (moved / "data.mdb").write_bytes(gzip.decompress(FIXTURE.read_bytes()))
        print(server.run("import", str(moved), "-d", str(work / "other")).strip())
        print("ok   import of a database of LMDB")
    except Exception as error:
        print((work / "output").read_text(errors="replace")[-3000:])
        if isinstance(error, Failure):
            sys.exit(f"FAIL {error}")
        raise
    finally:
        server.end()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
