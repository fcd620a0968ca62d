"""The command `gckpl sim`: the demo street as a recording with clouds, transforms and truth, for any ROS 2 tool."""

from pathlib import Path
from typing import Annotated

import tyro

from gckpl_training.street.recording import simulated, write_street


def main(
    out: Annotated[Path, tyro.conf.arg(help="recording to write (.mcap)")] = Path("out/street.mcap"),
    sensor: Annotated[str, tyro.conf.arg(help="LiDAR model: spinner16, spinner32, os1_128, ...")] = "spinner32",
    seconds: Annotated[float, tyro.conf.arg(help="length, at most 120 s, at 10 scans a second")] = 15.0,
    seed: Annotated[int, tyro.conf.arg(help="the same seed makes the same recording")] = 0,
    detections: Annotated[bool, tyro.conf.arg(help="also write boxes with the errors of a detector")] = False,
    live: Annotated[bool, tyro.conf.arg(help="write no file, be a sensor on the ROS 2 network until Ctrl-C")] = False,
    rate: Annotated[float, tyro.conf.arg(help="--live: scans a second")] = 10.0,
    loops: Annotated[int, tyro.conf.arg(help="--live: end after the whole street so many times; 0: never")] = 0,
    local: Annotated[
        bool, tyro.conf.arg(help="--live: this machine only; always works, if all programs say it")
    ] = False,
) -> None:
    """Simulate a street with seven people and a moving LiDAR: a rosbag2 recording with truth, or a live sensor."""
    if live:
        from gckpl_training.street.live import play

        with simulated(sensor, seconds, seed, detections) as scans:
            play(scans, rate, loops, local)
    else:
        write_street(out, sensor, seconds, seed, detections)
