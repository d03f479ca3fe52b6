"""A board in the emulator: started, spoken to from outside and over its console, and cut off from its power."""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid

# Emulated processors on a busy machine: generous, and only reached when something is wrong.
BOOT_SECONDS = 180
COMMAND_SECONDS = 60
ANSWER_SECONDS = 30

MACHINES = {
    "aarch64": ["-M", "virt,gic-version=2", "-cpu", "cortex-a53", "-m", "256"],
    "armv7": ["-M", "virt,highmem=off", "-cpu", "cortex-a15", "-m", "128"],
}
DATA_MIB = 96


class Failure(Exception):
    """What was seen is not what must be."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Console:
    """The root shell on the serial port."""

    def __init__(self, path, log):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.log = open(log, "ab")
        self.seen = b""

    def read_until(self, pattern, seconds):
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"console: no {pattern!r} within {seconds} s; last: {self.seen[-400:]!r}")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            if not data:
                raise Failure(f"console: closed; last: {self.seen[-400:]!r}")
            self.log.write(data)
            self.log.flush()
            self.seen += data
        before, self.seen = self.seen[:found.start()], self.seen[found.end():]
        return before, found

    def run(self, command, seconds=COMMAND_SECONDS):
        """The command's output and exit status."""
        mark = uuid.uuid4().hex
        # Split in two, so that an echo of the line is not taken for its end.
        line = f"{command}\necho {mark[:16]}''{mark[16:]} $?\n"
        self.socket.settimeout(seconds)
        self.socket.sendall(line.encode())
        before, found = self.read_until(rb"%s (\d+)\r?\n" % mark.encode(), seconds)
        return before.decode(errors="replace").replace("\r\n", "\n"), int(found[1])

    def drain(self, seconds):
        """Read until the machine is gone; what it said."""
        try:
            self.read_until(rb"^(?!)", seconds)
        except (Failure, OSError):
            pass
        return self.seen[-2000:]

    def close(self):
        self.socket.close()
        self.log.close()


class Guest:
    """One machine with its data disk, which outlives each run."""

    def __init__(self, arch, emulator, image, work, name):
        self.arch, self.emulator, self.image = arch, emulator, pathlib.Path(image)
        self.work = pathlib.Path(work) / name
        self.work.mkdir(parents=True)
        self.disk = self.work / "data.ext4"
        with open(self.disk, "wb") as disk:
            disk.truncate(DATA_MIB << 20)
        mke2fs = shutil.which("mke2fs", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        subprocess.run([mke2fs, "-q", "-t", "ext4", "-L", "perigee-data", self.disk], check=True)
        self.process = self.console = None
        self.boots = 0

    def start(self, clock="2026-11-21T12:00:00"):
        """Power on. Returns once there is a shell."""
        self.port, self.httpd = free_port(), free_port()
        self.boots += 1
        path = self.work / "console"
        path.unlink(missing_ok=True)
        command = [
            self.emulator, *MACHINES[self.arch], "-nodefaults", "-nographic", "-no-reboot", "-rtc", f"base={clock}",
            "-kernel", self.image / "kernel", "-initrd", self.image / "initramfs",
            "-append", "console=ttyAMA0 quiet panic=-1",
            "-drive", f"file={self.image}/root.squashfs,if=none,id=root,format=raw,readonly=on",
            "-device", "virtio-blk-device,drive=root",
            "-drive", f"file={self.disk},if=none,id=data,format=raw",
            "-device", "virtio-blk-device,drive=data",
            "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:7125,"
                       f"hostfwd=tcp:127.0.0.1:{self.httpd}-:8080",
            "-device", "virtio-net-device,netdev=net",
            "-serial", f"unix:{path},server=on,wait=on",
        ]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.work / "emulator.log", "ab"))
        while True:
            try:
                self.console = Console(path, self.work / "console.log")
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() - self.started > COMMAND_SECONDS:
                    raise Failure(f"emulator: {(self.work / 'emulator.log').read_text()}") from None
                time.sleep(0.02)
        self.console.read_until(rb"/ # (\x1b\[6n)?$", BOOT_SECONDS)
        self.console.run("stty -echo; PS1=")
        return self

    def sh(self, command, expect=0, seconds=COMMAND_SECONDS):
        """Run a command as root; its output. `expect=None` takes any status."""
        output, status = self.console.run(command, seconds)
        if expect is not None and status != expect:
            raise Failure(f"in the guest: {command}: status {status}: {output}")
        return output.strip()

    def pull_the_plug(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.console.close()

    def shut_down(self, command="poweroff"):
        """An orderly end: the emulator ends by itself."""
        self.console.socket.sendall(f"{command}\n".encode())
        self.gone(command)

    def gone(self, what="what was asked for"):
        """Wait for the end of the machine, for which something else is the reason; what it still said."""
        said = self.console.drain(COMMAND_SECONDS)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.pull_the_plug()
            raise Failure(f"{what} did not end the machine: {said!r}") from None
        self.console.close()
        return said.decode(errors="replace")

    def end(self):
        if self.process and self.process.poll() is None:
            self.pull_the_plug()

    # --- the service

    def service(self, verb, expect=0):
        return self.sh(f"/etc/init.d/S60perigee {verb}", expect)

    def wait_ready(self, seconds=BOOT_SECONDS):
        """Wait for the first answer; the seconds since power-on, and what server.info said."""
        end = time.monotonic() + seconds
        while True:
            try:
                return time.monotonic() - self.started, self.get("/server/info", seconds=5)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > end:
                    raise Failure(f"no answer within {seconds} s ({error})") from None
                time.sleep(0.05)

    def request(self, method, path, body=None, headers=(), seconds=ANSWER_SECONDS):
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def call(self, method, path, value=None, seconds=ANSWER_SECONDS):
        """The result of an endpoint that must succeed."""
        body = None if value is None else json.dumps(value)
        status, answer = self.request(method, path, body, {"Content-Type": "application/json"}, seconds)
        if status not in (200, 201):
            raise Failure(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer)["result"]

    def get(self, path, seconds=ANSWER_SECONDS):
        return self.call("GET", path, seconds=seconds)

    def upload(self, name, content, seconds=ANSWER_SECONDS, **fields):
        """Status and body of an upload to the gcodes folder."""
        mark = uuid.uuid4().hex
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                 for key, value in {"root": "gcodes", **fields}.items()]
        parts += [f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                  f"Content-Type: application/octet-stream\r\n\r\n".encode(), content, f"\r\n--{mark}--\r\n".encode()]
        return self.request("POST", "/server/files/upload", b"".join(parts),
                            {"Content-Type": f"multipart/form-data; boundary={mark}"}, seconds)


class WebSocket:
    """Just enough of RFC 6455 and JSON-RPC to be a front-end."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET /websocket HTTP/1.1\r\nHost: printer\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failure(f"websocket: {head!r}")
        self.last_id = 0

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise Failure("websocket: closed")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self.fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, payload, opcode=1):
        mask = os.urandom(4)
        length = len(payload)
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def receive(self):
        """The next message, decoded."""
        while True:
            first, second = self.take(2)
            length = second & 127
            if length == 126:
                length, = struct.unpack(">H", self.take(2))
            elif length == 127:
                length, = struct.unpack(">Q", self.take(8))
            payload = self.take(length)
            if first & 15 == 9:
                self.send(payload, 10)
            elif first & 15 == 1:
                return json.loads(payload)

    def call(self, method, **params):
        self.last_id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": self.last_id}).encode())
        return self.until(lambda message: message.get("id") == self.last_id)

    def until(self, wanted, seconds=ANSWER_SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.receive()
            if wanted(message):
                return message
        raise Failure(f"websocket: nothing of what was waited for within {seconds} s")

    def close(self):
        self.socket.close()
