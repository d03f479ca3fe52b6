"""What a printer's board goes through, one function each. `tests/qemu/run` calls all of them, or those that are named."""
import hashlib
import json
import os
import random
import re
import threading
import time

from guest import Failure, WebSocket

CUTS = int(os.environ.get("PERIGEE_QEMU_CUTS", "20"))
DATA = "/data/printer_data"
ALL = []


def scenario(function):
    ALL.append(function)
    return function


def check(condition, what):
    if not condition:
        raise Failure(what)


def pid(guest):
    return guest.sh("pidof perigee").split()[0]


def gcode(seed, kibibytes):
    """A file that is told from every other one, and whose content follows from its name."""
    lines = random.Random(seed)
    text = [f"; {seed}\n", "G28\n", "G1 F18000\n"]
    size = 0
    while size < kibibytes << 10:
        # Nothing is extruded: the extruder is cold.
        text.append(f"G1 X{lines.random() * 200:.5f} Y{lines.random() * 200:.5f}\n")
        size += len(text[-1])
    return "".join(text).encode()


def klippy(guest, state, seconds=90):
    """Wait until Klippy is in that state."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        info = guest.get("/server/info")
        if info["klippy_state"] == state:
            return info
        time.sleep(0.2)
    raise Failure(f"Klippy is {info['klippy_state']}, not {state}")


def printed(socket):
    """Wait until the print that runs is complete, for a client that follows `print_stats`."""
    seen = []

    def complete(message):
        if message.get("method") == "notify_status_update":
            seen.append(message["params"][0].get("print_stats", {}).get("state"))
        return "complete" in seen[-1:]
    try:
        socket.until(complete, 120)
    except Failure:
        raise Failure(f"the print does not come to its end; states: {[state for state in seen if state]}") from None


@scenario
def boots_and_serves(make, report):
    """Power on with an empty data partition: an answer, the right user, a root that cannot be written."""
    guest = make("boots")
    guest.start()
    seconds, info = guest.wait_ready()
    report("power-on to first answer, s", f"{seconds:.1f}")
    check(info["api_version"], f"server.info: {info}")
    status = guest.sh(f"cat /proc/{pid(guest)}/status")
    check(re.search(r"^Uid:\t950\t950\t950\t950$", status, re.M), f"not unprivileged: {status}")
    groups = re.search(r"^Groups:\s*(.*)$", status, re.M)[1].split()
    check(set(groups) == {"20", "44", "950"}, f"groups: {groups}")
    guest.sh("touch /root/file", expect=1)
    check(guest.sh(f"cat {DATA}/config/moonraker.conf").startswith("# QEMU virt"), "not the board's configuration")
    # The S is the group that the data folder passes on.
    check(guest.sh(f"ls -ld {DATA}/database | cut -c1-10") in ("drwx------", "drwx--S---"), "the database can be read by others")
    klippy(guest, "ready")
    time.sleep(2)
    warnings = [text for text in guest.get("/server/info")["warnings"] if text.startswith("[machine]")]
    check(warnings == [], f"a board with nothing wrong: {warnings}")
    report("resident, KiB", re.search(r"VmRSS:\s*(\d+)", guest.sh(f"cat /proc/{pid(guest)}/status"))[1])
    # From exec to the first answer, against the system's own web server; wget's start is in both.
    guest.sh("printf '[server]\\nport: 7200\\n[authorization]\\ntrusted_clients: 127.0.0.1\\n' > /tmp/first.conf")
    for name, command, path in (("perigee", "perigee -n -d /tmp/first -c /tmp/first.conf", "server/info"),
                                ("busybox httpd", "httpd -f -p 7200 -h /usr", "share/perigee/base.conf")):
        times = sorted(seconds_to_answer(guest, command, path) for _ in range(5))
        report(f"exec to first answer, median of 5, {name}, ms", f"{times[2] * 1000:.0f}")
    guest.shut_down()


def seconds_to_answer(guest, command, path):
    """From the start of a server, with an empty data folder, to what a client has of it."""
    output = guest.sh(
        f"rm -rf /tmp/first; cut -d' ' -f1 /proc/uptime; {command} >/dev/null 2>&1 & "
        f"until wget -q -O /dev/null http://127.0.0.1:7200/{path} 2>/dev/null; do kill -0 $! || break; done; "
        f"cut -d' ' -f1 /proc/uptime; kill $!; wait")
    before, after = (float(number) for number in re.findall(r"^(\d+\.\d+)$", output, re.M))
    return after - before


@scenario
def prints(make, report):
    """A front-end's day: websocket, upload, print to the end with the simulated Klippy, and a reboot."""
    guest = make("prints").start()
    guest.wait_ready()
    klippy(guest, "ready")
    socket = WebSocket(guest.port)
    identified = socket.call("server.connection.identify", client_name="test", version="1", type="web", url="http://test")
    check(identified["result"]["connection_id"], f"identify: {identified}")
    answer = socket.call("printer.objects.subscribe", objects={"print_stats": None, "virtual_sdcard": None})
    check("print_stats" in answer["result"]["status"], f"subscribe: {answer}")
    content = gcode("print", 8)
    status, answer = guest.upload("a print.gcode", content, print="true")
    check(status == 201, f"upload: {status} {answer!r}")
    check(json.loads(answer)["print_started"], f"upload did not start the print: {answer!r}")
    socket.until(lambda message: message.get("method") == "notify_filelist_changed")
    printed(socket)
    socket.close()
    guest.call("POST", "/server/database/item", {"namespace": "test", "key": "kept", "value": {"a": [1, 2, 3]}})
    uuid = guest.sh(f"cat {DATA}/.moonraker.uuid")
    guest.shut_down("reboot")
    guest.start()
    guest.wait_ready()
    check(guest.request("GET", "/server/files/gcodes/a%20print.gcode")[1] == content, "the file is not what was uploaded")
    check(guest.get("/server/database/item?namespace=test&key=kept")["value"] == {"a": [1, 2, 3]}, "database")
    check(guest.sh(f"cat {DATA}/.moonraker.uuid") == uuid, "the instance has another identity after a reboot")
    if "history" in guest.get("/server/info")["components"]:
        jobs = guest.get("/server/history/list")["jobs"]
        check([job["status"] for job in jobs] == ["completed"], f"history: {jobs}")
    guest.shut_down()


@scenario
def is_started_again(make, report):
    """A crash: the service comes back by itself and says so; an orderly stop stays one."""
    guest = make("crash").start()
    guest.wait_ready()
    first = pid(guest)
    guest.sh(f"kill -9 {first}")
    guest.wait_ready(60)
    check(pid(guest) != first, "the same process answers")
    check("starting again" in guest.sh("cat /run/messages"), "the system log says nothing of it")
    before = time.monotonic()
    guest.service("stop")
    check(time.monotonic() - before < 20, "stopping takes long")
    guest.sh("pidof perigee", expect=1)
    guest.service("status", expect=3)
    guest.service("start")
    guest.wait_ready(60)
    guest.shut_down()


@scenario
def clock_from_1970(make, report):
    """No clock that outlives a cut of power: the board starts in 1970, and jumps when the network says what time it is."""
    guest = make("clock").start(clock="2026-11-21T12:00:00")
    guest.wait_ready()
    before = guest.call("POST", "/access/user", {"username": "anna", "password": "a long password"})
    guest.shut_down()

    guest.start(clock="1970-01-01T00:00:00")
    guest.wait_ready()
    check(int(guest.sh("date +%s")) < 86400, "the guest knows the time")
    klippy(guest, "ready")
    socket = WebSocket(guest.port)
    socket.call("printer.objects.subscribe", objects={"print_stats": None})
    during = guest.call("POST", "/access/login", {"username": "anna", "password": "a long password"})
    one_shot = guest.get("/access/oneshot_token")
    guest.call("POST", "/server/database/item", {"namespace": "test", "key": "early", "value": 1})
    status, answer = guest.upload("early.gcode", gcode("early", 16), print="true")
    check(status == 201 and json.loads(answer)["print_started"], f"print: {status} {answer!r}")
    has_history = "history" in guest.get("/server/info")["components"]
    if has_history:
        # Klippy tells of its beginning at its next tick: that must be before the jump.
        eventually(lambda: guest.get("/server/history/list")["jobs"], 30, "the print in the history")
    # Half an hour after what was the last time known.
    guest.sh("date -s '2026-11-21 12:30:00'")
    printed(socket)
    socket.close()

    for name, token in (("before the cut", before["token"]), ("in 1970", during["token"])):
        info = guest.request("GET", "/access/user", headers={"Authorization": f"Bearer {token}"})
        check(info[0] == 200 and b"anna" in info[1], f"a token from {name}: {info}")
    again = guest.call("POST", "/access/refresh_jwt", {"refresh_token": during["refresh_token"]})
    check(again["token"], f"refresh: {again}")
    status, _ = guest.request("GET", f"/server/info?token={one_shot}")
    check(status == 200, f"the one-shot token died in the jump: {status}")
    if has_history:
        job, = guest.get("/server/history/list")["jobs"]
        check(job["status"] == "completed" and job["total_duration"] < 600, f"history: {job}")
        # 2026-11-21, a few seconds after twelve o'clock, to half past
        check(1795262400 <= job["start_time"] < 1795262400 + 600, f"history: {job}")
        check(0 <= job["end_time"] - job["start_time"] < 3600, f"history: {job}")
    check(guest.upload("late.gcode", gcode("late", 4))[0] == 201, "upload after the jump")
    modified = [item["modified"] for item in guest.get("/server/files/list") if item["path"] == "late.gcode"]
    check(modified and modified[0] > 1.7e9, f"modified: {modified}")
    check(guest.get("/server/database/item?namespace=test&key=early")["value"] == 1, "database")
    # And back: a wrong clock is put right.
    guest.sh("date -s '1999-01-01 12:00:00'")
    guest.get("/server/info")
    guest.shut_down()


@scenario
def clock_past_2038(make, report):
    """Seconds that do not fit into 32 bits: they come while the board runs."""
    # A 32-bit kernel takes no later time from the clock chip.
    guest = make("future").start(clock="2038-01-19T03:13:50")
    guest.wait_ready()
    modified, end = 0, time.monotonic() + 60
    while modified <= 2**31:
        check(time.monotonic() < end, f"modified: {modified}")
        check(guest.upload("future.gcode", gcode("future", 4))[0] == 201, "upload")
        modified, = [item["modified"] for item in guest.get("/server/files/list")]
        time.sleep(0.5)
    guest.call("POST", "/server/database/item", {"namespace": "test", "key": "future", "value": 1})
    check(guest.get("/server/database/item?namespace=test&key=future")["value"] == 1, "database")
    guest.shut_down()


def starts_or_says_why(guest, what, words):
    """The service answers, with a warning of what is wrong; or it ends, the log says why, and it is not tried in a loop."""
    guest.sh(": > /run/messages")
    guest.sh(f": > /tmp/log; rm -f {DATA}/logs/moonraker.log", expect=None)
    guest.service("start")
    try:
        _, info = guest.wait_ready(25)
    except Failure:
        messages = guest.sh("cat /run/messages")
        starts = messages.count("starting again")
        check(1 <= starts <= 6, f"{what}: no answer, and started again {starts} times: {messages}")
        said = guest.sh(f"timeout 5 /usr/bin/perigee -d {DATA} 2>&1 || true", expect=None)
        check(any(word in said for word in words), f"{what}: no answer, and no word of why: {said!r}")
        return None
    text = json.dumps(info).lower() + guest.sh(f"cat {DATA}/logs/moonraker.log", expect=None).lower()
    check(any(word.lower() in text for word in words), f"{what}: it starts but does not say what is wrong: {info}")
    return info


@scenario
def bad_input(make, report):
    """Everything that can be wrong with a data partition: the service starts or says why, and deletes nothing."""
    guest = make("bad").start()
    guest.wait_ready()
    content = gcode("kept", 16)
    check(guest.upload("kept.gcode", content)[0] == 201, "upload")
    guest.call("POST", "/server/database/item", {"namespace": "test", "key": "kept", "value": 7})

    def kept(where):
        status, body = guest.request("GET", "/server/files/gcodes/kept.gcode")
        check(status == 200 and body == content, f"{where}: the file is gone ({status})")

    # Full: what there is can be read, what is sent is refused, and nothing half remains.
    guest.sh("dd if=/dev/zero of=/data/filler bs=1M 2>/dev/null", expect=None, seconds=120)
    status, answer = guest.upload("large.gcode", gcode("large", 512))
    check(400 <= status <= 599, f"full partition: upload answers {status} {answer!r}")
    guest.service("restart")
    guest.wait_ready(60)
    kept("full partition")
    check(guest.sh(f"ls {DATA}/gcodes") == "kept.gcode", f"full partition: left behind: {guest.sh(f'ls -la {DATA}/gcodes')}")
    guest.sh("rm /data/filler")
    check(guest.upload("large.gcode", gcode("large", 512))[0] == 201, "after making room")

    guest.service("stop")
    guest.sh("sync; mount -o remount,ro /data")
    if starts_or_says_why(guest, "read-only partition", ["read-only", "os error 30"]):
        kept("read-only partition")
    guest.service("stop")
    guest.sh("mount -o remount,rw /data")

    # No configuration at all: the shipped one is put back by the service; the bare program writes a default.
    guest.sh(f"rm {DATA}/config/moonraker.conf")
    guest.service("start")
    guest.wait_ready(60)
    kept("missing configuration")
    guest.service("stop")

    guest.sh(f"cp {DATA}/config/moonraker.conf /tmp/; head -c 300 /dev/urandom > {DATA}/config/moonraker.conf")
    starts_or_says_why(guest, "corrupt configuration", ["moonraker.conf", "config"])
    guest.service("stop")
    guest.sh(f"cat /tmp/moonraker.conf > {DATA}/config/moonraker.conf")

    # A database of noise: put aside, not deleted, and the server starts with an empty or a restored one.
    guest.sh(f"dd if=/dev/urandom of={DATA}/database/data.mdb bs=4096 count=4 conv=notrunc 2>/dev/null; sync")
    noise = guest.sh(f"dd if={DATA}/database/data.mdb bs=4096 count=4 2>/dev/null | sha256sum | cut -c1-64")
    if starts_or_says_why(guest, "corrupt database", ["database", "data.mdb"]):
        kept("corrupt database")
        sums = guest.sh(f"find {DATA} -type f -size +12k | while read -r f; do head -c 16384 \"$f\" | sha256sum; done")
        check(noise in sums, "corrupt database: it was deleted")
    guest.service("stop")

    guest.sh(f"chmod 000 {DATA}/database; chown root:root {DATA}/database")
    starts_or_says_why(guest, "wrong permissions", ["permission", "os error 13"])
    guest.service("stop")
    guest.sh(f"chmod 700 {DATA}/database; chown perigee:perigee {DATA}/database")

    guest.sh("ip link set eth0 down")
    guest.service("start")
    time.sleep(3)
    guest.sh("ip link set eth0 up; ip route add default via 10.0.2.2", expect=None)
    guest.wait_ready(60)
    kept("no network at the start")
    guest.shut_down()


@scenario
def power_cuts(make, report):
    """The plug is pulled in the middle of uploads and database writes: what was acknowledged is there, nothing is half."""
    guest = make("cuts")
    chance = random.Random(2026)
    files, values, attempted = {}, {}, {}
    # What was acknowledged, in number: names and keys are few and used again.
    uploads, writes = [], []
    for turn in range(CUTS + 1):
        guest.start()
        guest.wait_ready()
        verify(guest, files, values, attempted, everything=turn == CUTS)
        if turn == CUTS:
            break
        stop = threading.Event()
        workers = [threading.Thread(target=work, args=(guest, turn, number, stop, files, attempted, uploads))
                   for number in range(2)]
        workers.append(threading.Thread(target=write_values, args=(guest, turn, stop, values, writes)))
        before = len(uploads), len(writes)
        for worker in workers:
            worker.start()
        # Something must have been acknowledged, or the cut proves nothing; then at any moment.
        eventually(lambda: len(uploads) > before[0] and len(writes) > before[1], 60, "an upload and a write")
        time.sleep(chance.uniform(0, 2))
        guest.pull_the_plug()
        stop.set()
        for worker in workers:
            worker.join()
    report("power cuts", CUTS)
    report("acknowledged uploads, all there", len(uploads))
    report("acknowledged database writes, all there", len(writes))
    guest.shut_down()


def work(guest, turn, number, stop, files, attempted, uploads):
    count = 0
    # Few names, so that most uploads replace a file: then the old one or the new one must be there.
    while not stop.is_set():
        name = f"w{number}-{count % 5}.gcode"
        content = gcode(f"{turn}-{number}-{count}", random.Random(f"{turn}{number}{count}").choice([1, 20, 150]))
        digest = hashlib.sha256(content).hexdigest()
        attempted.setdefault(name, set()).add(digest)
        try:
            status, _ = guest.upload(name, content, seconds=20)
        except (OSError, Exception):  # noqa: B014 - the plug is pulled: any fault of the connection
            return
        if status == 201:
            files[name] = digest
            attempted[name] = {digest}
            uploads.append(name)
        count += 1


def write_values(guest, turn, stop, values, writes):
    count = 0
    while not stop.is_set():
        key, value = f"k{count % 20}", f"{turn}-{count}-" + "x" * 500
        pending = values.get(key)
        values[key] = (pending, value)
        try:
            guest.call("POST", "/server/database/item", {"namespace": "cuts", "key": key, "value": value}, seconds=20)
        except Exception:  # noqa: BLE001 - as above
            return
        values[key] = value
        writes.append(key)
        count += 1


def verify(guest, files, values, attempted, everything):
    listed = {item["path"]: item for item in guest.get("/server/files/list")}
    for name, digest in files.items():
        check(name in listed, f"{name} was acknowledged and is gone")
    for name in listed:
        body = guest.request("GET", f"/server/files/gcodes/{name}")[1]
        found = hashlib.sha256(body).hexdigest()
        wanted = attempted.get(name, set()) | ({files[name]} if name in files else set())
        check(found in wanted, f"{name} has {len(body)} bytes of something that was never sent as a whole")
        if name in files or found in wanted:
            files[name] = found
            attempted[name] = {found}
    left = guest.sh(f"find {DATA}/gcodes -type f | wc -l")
    check(int(left) == len(listed), f"left behind: {guest.sh(f'find {DATA}/gcodes -type f')}")
    for key, value in list(values.items()):
        allowed = list(value) if isinstance(value, tuple) else [value]
        status, answer = guest.request("GET", f"/server/database/item?namespace=cuts&key={key}")
        got = json.loads(answer)["result"]["value"] if status == 200 else None
        while any(isinstance(item, tuple) for item in allowed):
            allowed = [part for item in allowed for part in (item if isinstance(item, tuple) else (item,))]
        check(got in allowed, f"{key} is {got!r}, not one of {[str(item)[:20] for item in allowed]}")
        if got is None:
            del values[key]
        else:
            values[key] = got
    if everything:
        errors = guest.sh("dmesg | grep -i 'ext4.*error' || true")
        check(not errors, f"the file system: {errors}")


@scenario
def devices(make, report):
    """What is plugged in while the server runs, and plugged out: simulated by the kernel, asked for from outside."""
    guest = make("devices").start()
    guest.wait_ready()
    can_bus(guest, report)
    camera(guest, report)
    usb_board(guest, report)
    gpio(guest, report)
    guest.shut_down()


def wait_for(guest, condition):
    """Wait until a command of the guest's shell succeeds."""
    guest.sh(f"for i in $(seq 100); do ! {{ {condition}; }} || break; sleep 0.1; done; {condition}")


def eventually(condition, seconds, what):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"within {seconds} s there was not {what}")
        time.sleep(0.1)


def wait_for_warning(guest, text):
    warned = lambda: any(text in warning for warning in guest.get("/server/info")["warnings"])  # noqa: E731
    eventually(warned, 30, f"a warning of {text!r}")


def can_nodes(guest, interface):
    """What waits on a bus for a number, and how many seconds the question took."""
    begun = time.monotonic()
    nodes = guest.get(f"/machine/peripherals/canbus?interface={interface}", seconds=60)["can_uuids"]
    return nodes, time.monotonic() - begun


def can_bus(guest, report):
    """Boards on a CAN bus that have no number are found; a bus with nobody, and one that is not there, are told apart."""
    if guest.request("GET", "/machine/peripherals/canbus?interface=vcan0", seconds=60)[0] == 503:
        report("CAN", "not in this build")
        return
    bus = guest.get("/machine/system_info")["system_info"]["canbus"]
    # A simulated bus has no bit timing, from which Moonraker takes the name of the driver.
    check(bus == {"vcan0": {"tx_queue_len": 1000, "bitrate": -1, "driver": "unknown"}}, f"system_info: {bus}")
    nodes, seconds = can_nodes(guest, "vcan0")
    check(nodes == [] and 2 <= seconds < 20, f"nobody on the bus: {nodes} in {seconds:.1f} s")
    boards = {"11aabbccddee": "Klipper", "0123456789ab": "Katapult"}
    for uuid, application in boards.items():
        # Apart from the console, whose shell would end with it.
        guest.sh(f"start-stop-daemon --start --background --make-pidfile --pidfile /tmp/{uuid}.pid --exec /usr/bin/simulator -- "
                 f"demo can-node --interface vcan0 --uuid {uuid} --application {application.lower()}")
    # Both listen to messages for all.
    wait_for(guest, "[ $(grep 3f0 /proc/net/can/rcvlist_fil | wc -l) = 2 ]")
    nodes, seconds = can_nodes(guest, "vcan0")
    check({node["uuid"]: node["application"] for node in nodes} == boards and len(nodes) == 2, f"two boards: {nodes}")
    report("CAN bus with two boards, answer after, s", f"{seconds:.1f}")
    # Unplugged: what was seen before is not remembered.
    guest.sh("start-stop-daemon --stop --pidfile /tmp/11aabbccddee.pid")
    nodes, _ = can_nodes(guest, "vcan0")
    check([node["application"] for node in nodes] == ["Katapult"], f"one board: {nodes}")
    guest.sh("ip link set vcan0 down")
    for interface, how in (("can7", "there is none"), ("vcan0", "down"), ("lo", "not a CAN bus")):
        status, answer = guest.request("GET", f"/machine/peripherals/canbus?interface={interface}")
        message = json.loads(answer)["error"]["message"]
        check(status == 500 and interface in message, f"{interface} ({how}): {status} {message}")


def camera(guest, report):
    """A camera that is plugged in while the server runs, in the kernel's own simulation: what it is, what it can do."""
    check(guest.get("/machine/peripherals/video") == {"v4l2_devices": [], "libcamera_devices": []}, "a camera from nowhere")
    # A capture device, and one for output that is no camera.
    guest.sh("plug in camera n_devs=1 node_types=0x101")
    # Without a rule of udev, or membership of a group, it is of no use, and the next start says so.
    guest.service("restart")
    guest.wait_ready(60)
    wait_for_warning(guest, "cameras cannot be listed: user perigee may not open /dev/video0")
    guest.sh("chown root:video /dev/video* && chmod 660 /dev/video*")
    guest.service("restart")
    guest.wait_ready(60)
    check(guest.sh("ls /dev/video*").split() == ["/dev/video0", "/dev/video1"], "nodes")
    camera, = guest.get("/machine/peripherals/video")["v4l2_devices"]
    modes = camera.pop("modes")
    version = camera.pop("version")
    check(guest.sh("uname -r").startswith(version.rsplit(".", 1)[0]), f"version {version}")
    capabilities = camera.pop("capabilities")
    check({"VIDEO_CAPTURE", "STREAMING"} <= set(capabilities) and "VIDEO_OUTPUT" not in capabilities, f"{capabilities}")
    check(camera == {"device_name": "video0", "device_path": "/dev/video0", "camera_name": "vivid", "driver_name": "vivid",
                     "alt_name": "vivid-000-vid-cap", "hardware_bus": "platform:vivid-000", "path_by_hardware": None,
                     "path_by_id": None, "usb_location": None}, f"{camera}")
    sizes = {mode["format"]: mode["resolutions"] for mode in modes}
    check({"YUYV", "RGB3"} <= set(sizes), f"formats: {list(sizes)}")
    check(sizes["YUYV"][:3] == ["320x180", "640x360", "640x480"], f"YUYV: {sizes['YUYV']}")
    check(all(mode["description"] and mode["flags"] == [] for mode in modes), f"modes: {modes}")
    report("camera: formats", len(modes))
    guest.sh("plug out camera")
    check(guest.get("/machine/peripherals/video")["v4l2_devices"] == [], "a camera that is gone")


def usb_board(guest, report):
    """A printer's board on USB, plugged in and out while the server runs: both ends of the cable are simulated."""
    before = guest.get("/machine/peripherals/usb")["usb_devices"]
    check(before == [], f"USB without a controller: {before}")
    ports = [port["device_name"] for port in guest.get("/machine/peripherals/serial")["serial_devices"]]
    # The kernel has nodes for four more, which the board does not have.
    check(ports == ["ttyAMA0"] and guest.sh("ls /dev/ttyS3"), f"serial ports of the board: {ports}")
    for serial in ("1A0028001551363038363836", "another"):
        guest.sh(f"plug in usb use_acm=1 idVendor=0x1d50 idProduct=0x614e iManufacturer=Klipper iProduct=stm32f446xx "
                 f"iSerialNumber={serial}")
        wait_for(guest, "[ -c /dev/ttyACM0 ]")
        # As udev does on a real board.
        link = f"/dev/serial/by-id/usb-Klipper_stm32f446xx_{serial}-if00"
        guest.sh(f"mkdir -p /dev/serial/by-id && ln -s ../../ttyACM0 {link}")
        devices = guest.get("/machine/peripherals/usb")["usb_devices"]
        board, = [device for device in devices if device["vendor_id"] == "1d50"]
        location = f"{board['bus_num']}:{board['device_num']}"
        check(board["product_id"] == "614e" and board["serial"] == serial and board["usb_location"] == location
              and (board["manufacturer"], board["product"]) == ("Klipper", "stm32f446xx")
              and board["class"] == "Communications", f"{board}")
        hubs = [device for device in devices if device["vendor_id"] == "1d6b"]
        check(hubs and all(hub["class"] == "Hub" and hub["manufacturer"].startswith("Linux") for hub in hubs), f"{hubs}")
        port, = [port for port in guest.get("/machine/peripherals/serial")["serial_devices"] if port["device_type"] == "usb"]
        check(port == {"device_type": "usb", "device_path": "/dev/ttyACM0", "device_name": "ttyACM0", "driver_name": "cdc_acm",
                       "path_by_hardware": None, "path_by_id": link, "usb_location": location}, f"{port}")
        guest.sh(f"plug out usb; rm {link}")
        wait_for(guest, "[ ! -e /dev/ttyACM0 ]")
        devices = guest.get("/machine/peripherals/usb")["usb_devices"]
        check([device["vendor_id"] for device in devices] == ["1d6b"] * len(hubs), f"unplugged: {devices}")
        ports = [port["device_name"] for port in guest.get("/machine/peripherals/serial")["serial_devices"]]
        check(ports == ["ttyAMA0"], f"unplugged: {ports}")


def gpio(guest, report):
    """A relay on a GPIO line of the emulated board. Lines that can be read back from outside (gpio-sim, gpio-mockup) no
    kernel of Debian's has, for either architecture."""
    check(guest.sh("ls /dev/gpiochip0") == "/dev/gpiochip0", "no gpiochip0")
    components = guest.get("/server/info")["components"]
    if "power" not in components and guest.request("GET", "/machine/device_power/devices")[0] == 404:
        guest.sh(f"printf '[power relay]\\ntype: gpio\\npin: gpiochip0/gpio5\\n' >> {DATA}/config/moonraker.conf")
        guest.sh("chown root:perigee /dev/gpiochip0; chmod 660 /dev/gpiochip0")
        guest.service("restart")
        info = guest.wait_ready(60)[1]
        if "power" not in info["components"]:
            report("GPIO", "no power component in this build")
            return
    for action in ("on", "off"):
        result = guest.call("POST", f"/machine/device_power/device?device=relay&action={action}")
        check(result == {"relay": action}, f"relay: {result}")
    report("GPIO relay", "switches")


@scenario
def reboots_through_the_kernel(make, report):
    """An appliance whose init has no way to be told: the server, which has the right to, ends in order and calls reboot(2)."""
    guest = make("kernel").start()
    guest.wait_ready()
    # As it is installed it has neither the right nor a way, and says so.
    status, answer = guest.request("POST", "/machine/reboot")
    check(status in (403, 500), f"an unprivileged reboot: {status} {answer!r}")
    guest.service("stop")
    # /bin without the programs that tell init
    guest.sh("cp -a /bin /tmp/bin && rm /tmp/bin/reboot /tmp/bin/poweroff /tmp/bin/halt && mount --bind /tmp/bin /bin")
    guest.sh(f"start-stop-daemon --start --background --exec /usr/bin/perigee -- -d {DATA}")
    guest.wait_ready(60)
    klippy(guest, "ready")
    content = gcode("last", 200)
    check(guest.upload("last.gcode", content)[0] == 201, "upload")
    guest.call("POST", "/server/database/item", {"namespace": "test", "key": "last", "value": 1})
    check(guest.call("POST", "/machine/reboot") == "ok", "reboot")
    said = guest.gone()
    check("going down" not in said, f"init was told: {said}")
    guest.start()
    guest.wait_ready()
    check(guest.request("GET", "/server/files/gcodes/last.gcode")[1] == content, "the last file is not what was uploaded")
    check(guest.get("/server/database/item?namespace=test&key=last")["value"] == 1, "database")
    log = guest.sh(f"cat {DATA}/logs/moonraker.log*")
    check("the init system does not reboot" in log and "Stopped" in log, "the log does not say how it ended")
    guest.shut_down()
