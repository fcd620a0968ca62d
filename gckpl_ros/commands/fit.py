"""The command `gckpl fit`: bodies of the people in a recording, as files for SMPL's tools and for Blender."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.export import BodyTrack, of_frames, write_amass, write_bvh, write_gltf
from gckpl_ros.config import load_config
from gckpl_ros.errors import InputError
from gckpl_ros.geometry import transformed
from gckpl_ros.io.recording.replay import replay
from gckpl_ros.types import Frame, Sample

# Who was seen in fewer clouds is not worth a file.
LEAST_CLOUDS = 10


class FittedTracks:
    """A sink that keeps everybody's bodies, in the fixed frame."""

    def __init__(self) -> None:
        self._looks: dict[int, list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]] = {}

    def wanted(self) -> Collection[str]:
        """Nothing but people."""
        return ()

    def write(self, sample: Sample, frame: Frame) -> None:
        """One cloud's bodies."""
        bodies = frame.bodies
        if bodies is None:
            return
        T = sample.pose if frame.T_odom_cloud is None else frame.T_odom_cloud
        rotations = bodies.rotations.copy()
        rotations[:, 0] = (T[:3, :3] @ rotations[:, 0]).astype(np.float32)
        places = transformed(T, bodies.places.astype(np.float64))
        for row, identity in enumerate(bodies.ids.tolist()):
            look = (frame.stamp_ns / 1e9, bodies.betas[row], rotations[row], places[row])
            self._looks.setdefault(identity, []).append(look)

    def tracks(self, least: int = LEAST_CLOUDS) -> dict[int, BodyTrack]:
        """By id, of those who were seen in so many clouds."""
        columns = {identity: zip(*looks, strict=True) for identity, looks in self._looks.items() if len(looks) >= least}
        return {identity: of_frames(*map(list, each)) for identity, each in columns.items()}


def main(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN", help="rosbag2 directory, .mcap or .db3")],
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER", help="where the files go")],
    config: Annotated[Path | None, tyro.conf.arg(help="YAML file, see `gckpl config`")] = None,
    overrides: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="SECTION.KEY=VALUE", help="single parameters")
    ] = (),
) -> None:
    """Fit bodies to the people of a recording; write each as AMASS .npz, .bvh and .glb, and skeletons as MCAP."""
    out.mkdir(parents=True, exist_ok=True)
    settings = load_config(config, ["body.enabled=true", "body.budget_ms=10000", *overrides])
    fitted = FittedTracks()
    replay(source, out / "skeletons.mcap", settings, sinks=[fitted])
    tracks, body = fitted.tracks(), AnnyBody()
    if not tracks:
        raise InputError(f"nobody in {source} was seen in {LEAST_CLOUDS} clouds: there is no track to export")
    for identity, track in tracks.items():
        write_amass(out / f"body_{identity}.npz", track)
        write_bvh(out / f"body_{identity}.bvh", track, body)
        write_gltf(out / f"body_{identity}.glb", track, body)
    Console().print(f"{len(tracks)} people in {out}: body_<id>.npz (AMASS), .bvh, .glb")
