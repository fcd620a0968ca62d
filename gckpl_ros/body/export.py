"""Bodies over time as files: AMASS .npz, BVH and glTF (.glb), for SMPL's tools and for Blender.

A track is exported with one shape. Its frames are z-up metres; BVH is y-up centimetres and glTF y-up metres, as they
are used.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from scipy.spatial.transform import Rotation

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.kinematics import JOINTS, NUM_JOINTS, PARENTS
from gckpl_ros.errors import InputError
from gckpl_ros.files import atomic_write, write_file

# SMPL's pelvis above the model's origin (mean body): AMASS tells where the origin is, not the pelvis.
AMASS_PELVIS_M: Final = (-0.0022, -0.2408, 0.0286)
_AMASS_JOINTS: Final = 52  # SMPL-H: the body's 22 and the hands'
_Y_UP: Final = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@dataclass(frozen=True)
class BodyTrack:
    """One person over time in a fixed z-up frame; rotations are local, the first turns the whole body."""

    times_s: Float64[np.ndarray, " t"]
    betas: Float32[np.ndarray, " s"]
    rotations: Float32[np.ndarray, "t 22 3 3"]
    places: Float64[np.ndarray, "t 3"]

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def fps(self) -> float:
        """Frames per second, in the median; 10 of a single one."""
        return 1 / float(np.median(np.diff(self.times_s))) if len(self) > 1 else 10.0


def write_amass(path: Path, track: BodyTrack) -> None:
    """AMASS's layout: poses (t, 156; rotation vectors, hands at rest), trans (m), betas, gender, mocap_framerate.

    ``betas`` are SMPL's, of the mean body: shapes of one body model mean nothing to another; ours are ``anny_betas``.
    """
    poses = np.zeros((len(track), 3 * _AMASS_JOINTS), np.float32)
    vectors = Rotation.from_matrix(track.rotations.reshape(-1, 3, 3)).as_rotvec()
    poses[:, : 3 * NUM_JOINTS] = vectors.reshape(len(track), -1)
    with atomic_write(path) as beside, beside.open("wb") as file:
        np.savez_compressed(
            file,
            poses=poses,
            trans=(track.places - np.array(AMASS_PELVIS_M)).astype(np.float32),
            betas=np.zeros(16, np.float32),
            anny_betas=track.betas,
            gender=np.array("neutral"),
            mocap_framerate=np.array(track.fps),
            times_s=track.times_s,
        )


def write_bvh(path: Path, track: BodyTrack, body: AnnyBody) -> None:
    """Biovision hierarchy: a T-pose of offsets (cm), root position and ZXY angles (deg) of every joint; y is up."""
    offsets = 100 * tpose_offsets(body, track.betas)
    lines = ["HIERARCHY", *_joint_lines(0, offsets, "")]
    rotations = track.rotations.astype(np.float64).copy()
    rotations[:, 0] = _Y_UP @ rotations[:, 0]
    places = 100 * track.places @ _Y_UP.T
    order = list(_depth_first(0))
    angles = Rotation.from_matrix(rotations[:, order].reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    rows = np.concatenate([places, angles.reshape(len(track), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(track)}", f"Frame Time: {1 / track.fps:.7f}"]
    lines += [" ".join(f"{value:.5f}" for value in row) for row in rows]
    write_file(path, "\n".join(lines) + "\n")


def tpose_offsets(body: AnnyBody, betas: Float32[np.ndarray, " s"]) -> Float64[np.ndarray, "22 3"]:
    """From parent to joint in the T-pose, body axes (y up, z forward), m; the first is zero."""
    upright = torch.eye(3).expand(1, NUM_JOINTS, 3, 3)
    joints = body.rig(torch.from_numpy(betas)[None], upright, torch.zeros(1, 3)).positions[0].double().numpy()
    offsets: np.ndarray = joints - joints[[max(parent, 0) for parent in PARENTS]]
    return offsets


def _children(joint: int) -> list[int]:
    return [child for child, parent in enumerate(PARENTS) if parent == joint]


def _depth_first(joint: int) -> list[int]:
    return [joint, *(below for child in _children(joint) for below in _depth_first(child))]


def _joint_lines(joint: int, offsets: Float64[np.ndarray, "22 3"], indent: str) -> list[str]:
    kind, more = ("JOINT", "") if joint else ("ROOT", "Xposition Yposition Zposition ")
    inner = indent + "  "
    lines = [f"{indent}{kind} {JOINTS[joint]}", f"{indent}{{", f"{inner}OFFSET {_numbers(offsets[joint])}"]
    lines.append(f"{inner}CHANNELS {3 if joint else 6} {more}Zrotation Xrotation Yrotation")
    for child in _children(joint):
        lines += _joint_lines(child, offsets, inner)
    if not _children(joint):
        end = 0.5 * offsets[joint]
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}  OFFSET {_numbers(end)}", f"{inner}}}"]
    return [*lines, f"{indent}}}"]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.5f}" for value in values)


# glTF 2.0: one binary file with a skinned mesh, its joints, and one animation.

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_KINDS: Final = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def write_gltf(path: Path, track: BodyTrack, body: AnnyBody) -> None:
    """A .glb: the body's skin on its 22 joints (four joints a vertex), and how they turn; y is up."""
    if path.suffix != ".glb":
        raise InputError(f"{path}: glTF is written as one binary file, name it .glb")
    rest, shape = body.linear()
    points = (rest + shape @ torch.from_numpy(track.betas)).numpy()
    skin, joints = points[: len(body.parts)], points[len(body.parts) : len(body.parts) + NUM_JOINTS]
    offsets = tpose_offsets(body, track.betas)
    unbind = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))  # from the rest pose to each joint's own axes
    unbind[:, :3, :3] = body.rest_to_tpose.numpy()
    unbind[:, :3, 3] = -np.einsum("jab,jb->ja", unbind[:, :3, :3], joints)
    strongest = np.argsort(-body.weights.numpy(), axis=1)[:, :4]
    weights = np.take_along_axis(body.weights.numpy(), strongest, 1)
    weights = weights / weights.sum(1, keepdims=True)
    rotations = track.rotations.astype(np.float64).copy()
    rotations[:, 0] = _Y_UP @ rotations[:, 0]
    turns = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(-1, NUM_JOINTS, 4)
    file = _Binary()
    vertices = file.add(skin.astype(np.float32), bounds=True)
    influence, weight = file.add(strongest.astype(np.uint16)), file.add(weights.astype(np.float32))
    corners = file.add(body.faces.numpy().astype(np.uint32).reshape(-1))
    inverse = file.add(unbind.transpose(0, 2, 1).reshape(-1, 16).astype(np.float32))  # columns first
    times = file.add((track.times_s - track.times_s[0]).astype(np.float32), bounds=True)
    samplers = [
        {"input": times, "output": file.add(turns[:, joint].astype(np.float32)), "interpolation": "LINEAR"}
        for joint in range(NUM_JOINTS)
    ]
    samplers.append({"input": times, "output": file.add((track.places @ _Y_UP.T).astype(np.float32))})
    channels = [{"sampler": j, "target": {"node": j, "path": "rotation"}} for j in range(NUM_JOINTS)]
    channels.append({"sampler": NUM_JOINTS, "target": {"node": 0, "path": "translation"}})
    nodes: list[dict[str, Any]] = []
    for joint, (name, offset) in enumerate(zip(JOINTS, offsets.tolist(), strict=True)):
        node: dict[str, Any] = {"name": name, "translation": offset}
        nodes.append(node | ({"children": _children(joint)} if _children(joint) else {}))
    nodes.append({"name": "skin", "mesh": 0, "skin": 0})
    attributes = {"POSITION": vertices, "JOINTS_0": influence, "WEIGHTS_0": weight}
    file.write(
        path,
        {
            "asset": {"version": "2.0", "generator": "gckpl_ros"},
            "scene": 0,
            "scenes": [{"nodes": [0, NUM_JOINTS]}],
            "nodes": nodes,
            "meshes": [{"primitives": [{"attributes": attributes, "indices": corners}]}],
            "skins": [{"joints": list(range(NUM_JOINTS)), "skeleton": 0, "inverseBindMatrices": inverse}],
            "animations": [{"samplers": samplers, "channels": channels}],
        },
    )


class _Binary:
    """The binary part of a .glb, and what says where in it everything is."""

    def __init__(self) -> None:
        self._bytes = b""
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray, bounds: bool = False) -> int:
        """Append an array (n,) or (n, k); returns its accessor."""
        types = {"float32": _FLOAT, "uint16": _UNSIGNED_SHORT, "uint32": _UNSIGNED_INT}
        wide = 1 if values.ndim == 1 else values.shape[1]
        raw = np.ascontiguousarray(values).tobytes()
        self._views.append({"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(raw)})
        self._bytes += raw + b"\0" * (-len(raw) % 4)
        rows = values.reshape(len(values), wide)
        accessor = {
            "bufferView": len(self._views) - 1,
            "componentType": types[str(values.dtype)],
            "count": len(values),
            "type": _KINDS[wide],
        }
        self._accessors.append(
            accessor | ({"min": rows.min(0).tolist(), "max": rows.max(0).tolist()} if bounds else {})
        )
        return len(self._accessors) - 1

    def write(self, path: Path, scene: dict[str, Any]) -> None:
        """The file: header, JSON, binary; whole or not at all."""
        scene |= {"buffers": [{"byteLength": len(self._bytes)}]}
        scene |= {"bufferViews": self._views, "accessors": self._accessors}
        text = json.dumps(scene, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(self._bytes), b"BIN\0") + self._bytes
        write_file(path, struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def of_frames(
    times_s: Sequence[float], betas: Sequence[np.ndarray], rotations: Sequence[np.ndarray], places: Sequence[np.ndarray]
) -> BodyTrack:
    """A track of single looks at one person; its shape is the last one, which all of them made."""
    return BodyTrack(np.array(times_s), betas[-1], np.stack(rotations), np.stack(places).astype(np.float64))
