"""Asks the cloud's metadata service, as root, whether the cloud will take this machine away.

A thread asks at intervals and writes what it finds to NOTICE, whose appearance triggers an inspection. The
cloud is the first whose service answers as that cloud's does; without any, the thread asks ever more
rarely. The metadata guard lets root through.
"""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Callable, Mapping, NamedTuple, Optional, Sequence

from worker_runtime.lifecycle import notices
from worker_runtime.lifecycle.notices import Notice
from worker_runtime.system import files, paths
from worker_runtime.system.console import log

NOTICE = paths.RUN + "/notice.json"
BASE = "http://169.254.169.254"
SECONDS = 2  # for one answer
INTERVAL = 5  # Amazon's advice; Google and Azure give 30 s of notice
FIRST_PAUSE, LAST_PAUSE = 30, 3600  # between two searches for a cloud
_MOST = 1 << 20  # bytes of an answer
_AMAZON_TOKEN_SECONDS = 21600
# Not through a proxy, which would be asked for its own machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Ask = Callable[[], Optional[Notice]]


class Absent(Exception):
    """The service does not answer, or not as this cloud's."""


class Seen(NamedTuple):
    """A notice, and when it was found, in seconds since 1970."""

    notice: Notice
    at: float


class Cloud(NamedTuple):
    """A cloud, and how to ask whether it takes the machine. `ask` raises Absent."""

    name: str
    ask: Ask


def get(path: str, headers: Mapping[str, str], method: str = "GET", absent: str = "") -> str:
    """The answer, or `absent` for 404. Raises Absent."""
    request = urllib.request.Request(BASE + path, headers=dict(headers), method=method)
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            return str(answer.read(_MOST).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        if error.code == 404 and absent:
            return absent
        raise Absent(str(error)) from None
    except (OSError, ValueError) as error:  # ValueError: not HTTP
        raise Absent(str(error)) from None


def ask_amazon() -> Optional[Notice]:
    """By IMDSv2, with a token for each round: a token of an earlier machine would be refused."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_AMAZON_TOKEN_SECONDS)}
    token = {"X-aws-ec2-metadata-token": get("/latest/api/token", lifetime, "PUT")}
    action = get("/latest/meta-data/spot/instance-action", token, absent="{}")
    rebalance = get("/latest/meta-data/events/recommendations/rebalance", token, absent="{}")
    return notices.amazon_action(action) or notices.amazon_rebalance(rebalance)


def ask_google() -> Optional[Notice]:
    """By the metadata server's two values."""
    flavor, base = {"Metadata-Flavor": "Google"}, "/computeMetadata/v1/instance/"
    preempted = get(base + "preempted", flavor)
    maintenance = get(base + "maintenance-event", flavor, absent="NONE")
    now = time.time()
    return notices.google_preempted(preempted, now) or notices.google_maintenance(maintenance, now)


def ask_azure() -> Optional[Notice]:
    """By Scheduled Events, which are those of all machines of a scale set."""
    asks = {"Metadata": "true"}
    events = get("/metadata/scheduledevents?api-version=2020-07-01", asks)
    if not notices.is_azure(events):
        raise Absent("not Azure's answer")
    name = get("/metadata/instance/compute/name?api-version=2021-02-01&format=text", asks)
    return notices.azure_events(events, name.strip())


CLOUDS = (Cloud("Amazon", ask_amazon), Cloud("Google", ask_google), Cloud("Azure", ask_azure))


def find(clouds: Sequence[Cloud]) -> Optional[Cloud]:
    """The first cloud that answers."""
    for cloud in clouds:
        try:
            cloud.ask()
        except Absent:
            continue
        return cloud
    return None


def start() -> None:
    """Ask from now on, in a thread, if this process is root's; others could not be sure of the answer."""
    if os.geteuid() == 0:
        threading.Thread(target=watch, daemon=True).start()


def watch() -> None:
    """Ask until this process ends."""
    pause = FIRST_PAUSE
    cloud = find(CLOUDS)
    while cloud is None:
        time.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE)
        cloud = find(CLOUDS)
    last: Optional[Notice] = None
    while True:
        last = update(cloud, last)
        time.sleep(INTERVAL)


def update(cloud: Cloud, last: Optional[Notice]) -> Optional[Notice]:
    """Ask once, and write a notice that is new and no weaker than the last one; return the current one."""
    try:
        found = cloud.ask()
    except Absent:
        return last
    if found is None or found.why == (last.why if last else "") or (last and last.is_certain):
        return last
    log("notice: %s" % found.why)
    files.put(NOTICE, json.dumps(dict(found._asdict(), seen=time.time())).encode("ascii"), 0o644)
    return found


def current() -> Optional[Seen]:
    """The last notice; None if there is none."""
    found = files.read_json(NOTICE)
    return Seen(Notice(found["why"], found["ends"], found["is_certain"]), found["seen"]) if found else None
