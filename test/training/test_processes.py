"""Two processes, started by torchrun's own rules over gloo, learn what one learns of the same batches."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import processes

from gckpl_training.data.people import save_people
from gckpl_training.simulate.people import PasserConfig, PasserSource


def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    """The same losses but for rounding, step by step, over a checkpoint; gradients of own batches are averaged."""
    people = PasserSource(PasserConfig(sensors=("spinner16",), frames=4, seen_frames=3), 1).draw(6)
    save_people(tmp_path / "people.people", people)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port.getsockname()[1]), "WORLD_SIZE": "2"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        processes.__file__,
        str(tmp_path / "people.people"),
        str(tmp_path / "two"),
    ]
    started = subprocess.Popen(command, env=os.environ | address)
    one = processes.main(tmp_path / "people.people", tmp_path / "one")
    assert started.wait(timeout=400) == 0
    two = [json.loads((tmp_path / f"two/{rank}.json").read_text()) for rank in range(2)]
    assert two[0] == two[1] and two[0].pop("average") == [0.5, 0.5, 2.0, 2.0, 2.0] and one.pop("average") == [0.0] * 5
    for name, curve in one.items():
        assert len(curve) == processes.STEPS and np.ptp(curve) > 0.01
        np.testing.assert_allclose(two[0][name], curve, rtol=1e-4, err_msg=name)
