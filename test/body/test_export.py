"""Exported tracks: AMASS by the reader of motions, BVH by the parser of recordings, glTF as its specification says."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from gckpl_ros.body.body import AnnyBody
from gckpl_ros.body.export import BodyTrack, write_amass, write_bvh, write_gltf
from gckpl_ros.errors import InputError
from gckpl_training.motion.files import parse, read_amass
from gckpl_training.motion.library import sample_poses

BODY = AnnyBody()


@pytest.fixture(scope="module")
def track() -> BodyTrack:
    generator = torch.Generator().manual_seed(2)
    betas = BODY.sample_betas(1, generator)[0].numpy()
    places = np.array([[1.0, 2, 0.9], [1.1, 2, 0.9], [1.2, 2, 0.8]])
    return BodyTrack(np.array([0.0, 0.1, 0.2]), betas, sample_poses(3, generator).numpy(), places)


def posed(track: BodyTrack) -> tuple[np.ndarray, np.ndarray]:
    """Joints and vertices of the body itself."""
    betas, places = torch.from_numpy(track.betas).expand(len(track), -1), torch.from_numpy(track.places).float()
    bodies = BODY(betas, torch.from_numpy(track.rotations), places)
    return bodies.joints.numpy(), bodies.vertices.numpy()


def test_amass(track: BodyTrack, tmp_path: Path) -> None:
    write_amass(tmp_path / "person.npz", track)
    clip = read_amass(tmp_path / "person.npz")
    assert clip.fps == pytest.approx(10)
    assert np.allclose(clip.pose.numpy(), track.rotations, atol=1e-5)
    assert np.allclose(clip.translation.numpy(), track.places, atol=1e-5)


def test_bvh(track: BodyTrack, tmp_path: Path) -> None:
    write_bvh(tmp_path / "person.bvh", track, BODY)
    read = parse((tmp_path / "person.bvh").read_text())
    assert read.frame_time_s == pytest.approx(0.1)
    _, places = read.pose()
    joints, _ = posed(track)
    order = [read.names.index(name) for name in ("pelvis", "left_wrist", "right_foot", "head")]
    x, y, z = np.moveaxis(joints[:, [0, 20, 11, 15]], -1, 0)
    assert np.allclose(places[:, order] / 100, np.stack([x, z, -y], -1), atol=1e-4)  # y is up there


def accessor(scene: dict, binary: bytes, index: int) -> np.ndarray:
    """The values of one accessor, by the specification of glTF 2.0."""
    entry = scene["accessors"][index]
    view = scene["bufferViews"][entry["bufferView"]]
    kinds = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
    types = {5126: np.float32, 5123: np.uint16, 5125: np.uint32}
    wide = kinds[entry["type"]]
    values = np.frombuffer(binary, types[entry["componentType"]], entry["count"] * wide, view.get("byteOffset", 0))
    return values.reshape(entry["count"], wide)


def matrix(translation: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = quaternion
    found = np.eye(4)
    found[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    found[:3, 3] = translation
    return found


def test_gltf_moves_the_skin_as_the_body_does(track: BodyTrack, tmp_path: Path) -> None:
    path = tmp_path / "person.glb"
    write_gltf(path, track, BODY)
    raw = path.read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", raw[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(raw), b"JSON")
    scene, binary = json.loads(raw[20 : 20 + size]), raw[20 + size + 8 :]
    skin, animation = scene["skins"][0], scene["animations"][0]
    primitive = scene["meshes"][0]["primitives"][0]
    rest, joints, weights = (
        accessor(scene, binary, primitive["attributes"][n]) for n in ("POSITION", "JOINTS_0", "WEIGHTS_0")
    )
    inverse = accessor(scene, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    told = {
        (c["target"]["node"], c["target"]["path"]): accessor(
            scene, binary, animation["samplers"][c["sampler"]]["output"]
        )
        for c in animation["channels"]
    }
    frame, parents = 2, {child: at for at, node in enumerate(scene["nodes"]) for child in node.get("children", ())}

    def placed(node: int) -> np.ndarray:
        translation = (
            told[node, "translation"][frame] if (node, "translation") in told else scene["nodes"][node]["translation"]
        )
        own = matrix(np.array(translation), told[node, "rotation"][frame])
        return placed(parents[node]) @ own if node in parents else own

    carry = np.stack([placed(node) for node in skin["joints"]]) @ inverse
    here = np.concatenate([rest, np.ones((len(rest), 1))], 1)
    moved = np.einsum("vk,vkab,vb->va", weights, carry[joints], here)[:, :3]
    _, vertices = posed(track)
    x, y, z = vertices[frame].T
    assert np.linalg.norm(moved - np.stack([x, z, -y], 1), axis=1).mean() < 0.001  # the four strongest of all joints
    assert accessor(scene, binary, primitive["indices"]).max() == len(rest) - 1
    with pytest.raises(InputError, match="glb"):
        write_gltf(tmp_path / "person.gltf", track, BODY)
