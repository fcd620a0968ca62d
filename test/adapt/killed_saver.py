"""Saves in a loop, is killed at random moments, and looks at what is left; test_storage.py runs it as a program.

One process forks all the others: starting Python and torch anew each time would take a minute.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from gckpl_ros.adapt.storage import Progress, Storage
from gckpl_ros.estimate.checkpoint import load_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.learner import Learner, LearnerConfig

TIMES = 50


def save_until_killed(storage, weights, learner, network, state, told):
    for step in range(10**9):
        storage.save_weights(weights, network, Progress(step=step))
        storage.save_learner(learner, Progress(step=step), state)
        os.write(told, b".")


def main(folder):
    torch.set_num_threads(1)
    weights, learner = folder / "adapted.safetensors", folder / "learner.pt"
    network = TokenNetwork(TokenConfig(width=32, point_width=16, layers=2)).eval()
    storage, rng, whole = Storage(network, ""), random.Random(0), Learner(network, LearnerConfig())
    begun = whole.state_dict()
    for _ in range(TIMES):
        hear, tell = os.pipe()
        if (child := os.fork()) == 0:
            save_until_killed(storage, weights, learner, network, begun, tell)
        os.close(tell)
        os.read(hear, 1)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(hear)
        load_network(weights)
        storage.load_weights(weights, torch.device("cpu"))
        progress, state = storage.load_learner(learner, torch.device("cpu"))
        whole.load_state_dict(state)
        assert progress.step >= 0
    sys.stdout.write(f"{TIMES} times\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
