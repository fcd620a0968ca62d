"""The benchmark of labelled people, end to end: simulated ones in Waymo's layout, converted, learnt from, measured."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.skeleton import INDEX
from gckpl_training.bench.waymo import SHARES, waymo_result
from gckpl_training.data.convert import convert
from gckpl_training.data.people import load_labelled
from gckpl_training.data.waymo import KEYPOINTS
from gckpl_training.simulate.people import PasserConfig, PasserSource

HEIGHT, WIDTH = 64, 2650
BEAMS = np.radians(np.linspace(-17.6, 2.4, HEIGHT))
HEAD_M = 1.8


def write_waymo(folder: Path, segment: str, people: int, seed: int) -> int:
    """A frame for each sight of simulated people, each alone in it; every second one is labelled. How many are."""
    seen = PasserSource(PasserConfig(sensors=("waymo_top",), frames=2, seen_frames=2), seed).draw(people).flat()
    key, up = {"key.segment_context_name": segment}, np.eye(4)
    up[2, 3] = HEAD_M
    tables: dict[str, list[dict]] = {
        name: [] for name in ("lidar", "lidar_pose", "lidar_box", "lidar_hkp", "vehicle_pose")
    }
    for row in range(len(seen)):
        frame = key | {"key.frame_timestamp_micros": 1_000_000 + 500_000 * row}
        at = seen.views[row].double().numpy()
        points = seen.points[row][seen.mask[row]].double().numpy() + at
        ranges, image = np.linalg.norm(points, axis=1), np.zeros((HEIGHT, WIDTH, 4), np.float32)
        beam = np.abs(np.arcsin(points[:, 2] / ranges)[:, None] - BEAMS[::-1]).argmin(1)
        column = ((math.pi - np.arctan2(points[:, 1], points[:, 0])) / (2 * math.pi) * WIDTH).astype(int)
        image[beam, column, 0] = ranges
        pixel = np.zeros((HEIGHT, WIDTH, 6), np.float32)
        for name, values, laser in (("LiDARComponent", image, "lidar"), ("LiDARPoseComponent", pixel, "lidar_pose")):
            tables[laser].append(
                frame
                | {"key.laser_name": 1}
                | {f"[{name}].range_image_return1.values": values.flatten()}
                | {f"[{name}].range_image_return1.shape": values.shape}
            )
        tables["vehicle_pose"].append(
            frame | {"[VehiclePoseComponent].world_from_vehicle.transform": np.eye(4).flatten()}
        )
        middle = at + np.array([0, 0, HEAD_M])
        box = dict(zip((f"box.center.{axis}" for axis in "xyz"), middle, strict=True))
        box |= {"box.size.x": 1.2, "box.size.y": 1.2, "box.size.z": 2.0, "box.heading": 0.0, "type": 2}
        labelled = frame | {"key.laser_object_id": f"person {row}"}
        tables["lidar_box"].append(labelled | {f"[LiDARBoxComponent].{name}": value for name, value in box.items()})
        if row % 2 == 0:
            joints = seen.required("keypoints")[row].double().numpy() + middle
            chosen = [kind for kind in KEYPOINTS if KEYPOINTS[kind] != "left_wrist"]
            places = joints[[INDEX[KEYPOINTS[kind]] for kind in chosen]]
            values = {"type": chosen} | {f"keypoint_3d.location_m.{axis}": places[:, i] for i, axis in enumerate("xyz")}
            prefix = "[LiDARHumanKeypointsComponent].lidar_keypoints[*]."
            tables["lidar_hkp"].append(labelled | {f"{prefix}{name}": value for name, value in values.items()})
    prefix = "[LiDARCalibrationComponent]."
    calibration = {"extrinsic.transform": up.flatten(), "beam_inclination.values": BEAMS}
    tables["lidar_calibration"] = [key | {"key.laser_name": 1} | {f"{prefix}{n}": v for n, v in calibration.items()}]
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        parquet.write_table(pa.table(columns), folder / name / f"{segment}.parquet")
    return len(tables["lidar_hkp"])


def test_from_waymos_files_to_errors_by_share_of_labels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_network(tmp_path / "tiny.safetensors", TokenNetwork(TokenConfig(16, 8, 2, 1, 2)), {})
    labels = {
        side: write_waymo(tmp_path / "waymo" / side, "seg", people, seed)
        for side, people, seed in (("train", 6, 1), ("val", 3, 2))
    }
    for side in labels:
        convert("waymo", tmp_path / "waymo" / side, tmp_path / "people" / side)
    people = load_labelled(tmp_path / "people/train")
    assert len(people) == labels["train"] and not people.required("keypoint_mask")[..., INDEX["left_wrist"]].any()
    result = waymo_result(tmp_path / "people", str(tmp_path / "tiny.safetensors"), small=True)
    (measured,) = (row for row in result["rows"] if row["table"] == "metrics")
    assert measured["people"] + measured["missed"] == labels["val"]
    assert 0 < measured["pem_cm"] <= 25 and measured["mpjpe_cm"] >= measured["matched_cm"] > 0
    assert measured["wrists_cm"] > 0 and 0 <= measured["pck_0.2_%"] <= 100
    rows = [row for row in result["rows"] if row["table"] == "labels"]
    assert [(row["start"], row["labels_%"]) for row in rows] == [
        (start, 100 * share) for start in ("random", "tiny") for share in SHARES
    ]
    assert rows[0]["mpjpe_cm"] is None and all(row["mpjpe_cm"] > 0 for row in rows[1:])
    assert rows[4]["mpjpe_cm"] == measured["mpjpe_cm"] and rows[3]["people"] == labels["train"]


def test_without_labels_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--people FOLDER"):
        waymo_result()
