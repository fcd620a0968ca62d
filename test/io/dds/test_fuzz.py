"""Messages by a generator that knows nothing of the parser, at `gckpl live`: every good cloud between is answered.

GCKPL_FUZZ=10000 sends more than the usual few hundred.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic, time_ns

import numpy as np
from anything import anything, garbled
from ros_messages import TYPES, cloud, detections

from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, Participant
from gckpl_ros.io.live.interface import INPUTS, OUTPUTS, resolve
from gckpl_ros.io.messages.skeletons import stamp_ns, to_header
from gckpl_ros.io.messages.typestore import typestore

MESSAGES = int(os.environ.get("GCKPL_FUZZ", "300"))
BETWEEN = 10
PATIENCE_S = 60.0


def now(message, stamp):
    """The message as of this time."""
    message.header = to_header(stamp, "lidar", TYPES)
    return message


def memory_mb(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 1e6


def test_whatever_comes_every_good_cloud_is_answered(tmp_path, weights, wait_until):
    rng, answered, reports = np.random.default_rng(1), {}, []
    command = [sys.executable, "-m", "gckpl_ros", "live", "--set", f"estimate.weights={weights}"]
    command += ["input.wait_s=0.5", "estimate.device=cpu", "output.diagnostics_period_s=0.2"]
    with (tmp_path / "err").open("w") as err, Participant() as network:
        process = subprocess.Popen(command, stderr=err, stdout=err)
        try:
            sends = {
                kind: network.publisher(resolve(INPUTS[kind].topic), INPUTS[kind].type, profile)
                for kind, profile in zip(INPUTS, (RELIABLE, RELIABLE, RELIABLE, LATCHED), strict=True)
            }
            network.subscribe(
                "/gckpl/skeletons",
                OUTPUTS["skeletons"].type,
                lambda message: answered.setdefault(stamp_ns(message.header.stamp), len(message.skeletons)),
            )
            network.subscribe(OUTPUTS["diagnostics"].topic, OUTPUTS["diagnostics"].type, reports.append)
            wait_until(lambda: all(publisher.subscribers for publisher in sends.values()), PATIENCE_S)
            used_mb, lost, start_s = [], 0, monotonic()
            for i in range(MESSAGES):
                kind = rng.choice(list(sends))
                message = anything(rng, INPUTS[kind].type)
                sends[kind].write(garbled(rng, bytes(typestore().serialize_cdr(message, INPUTS[kind].type))))
                if i % BETWEEN == 0:
                    lost += not good_cloud(sends, answered, wait_until, first=i == 0)
                    used_mb.append(memory_mb(process))
            seconds = monotonic() - start_s
            assert process.poll() is None and lost == 0
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
    told = (tmp_path / "err").read_text()
    lines = Counter(told.splitlines())
    assert "Traceback" not in told and "please report" not in told
    assert max(lines.values()) <= 2 + seconds, "no line comes twice a second"
    settled = used_mb[len(used_mb) // 5 :]
    figures = f"{used_mb[0]:.0f}, {settled[0]:.0f} to {settled[-1]:.0f} MB"
    print(f"{MESSAGES} messages in {seconds:.0f} s, {len(used_mb)} good clouds; {figures}")
    assert settled[-1] < 1.05 * settled[0] + 5
    keys = {pair.key for message in reports for pair in message.status[0].values}
    assert keys and max(map(len, keys)) < 100 and len(keys) < 100


def good_cloud(sends, answered, wait_until, first):
    """Whether a cloud with a person in it has a result; the first is sent until both sides know each other."""
    until_s = monotonic() + (PATIENCE_S if first else 10.0)
    while monotonic() < until_s:
        stamp = time_ns()
        sends["detections"].publish(now(detections(0, "person"), stamp))
        sends["points"].publish(now(cloud(0), stamp))
        try:
            wait_until(lambda stamp=stamp: stamp in answered, 1.0 if first else 10.0)
        except AssertionError:
            continue
        return True
    return False
