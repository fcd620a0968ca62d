"""Every parameter once, with description and range: YAML files, ROS parameters and the command line come from here.

Units are SI (metres, seconds) unless the name's suffix says otherwise.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from gckpl_ros.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# In place of a fixed frame: the sensor's own motion from its clouds, unless TF knows it.
ODOMETRY: Final = "odometry"

# Marks what cannot be changed while the node is configured: it needs another network or other subscriptions.
FIXED: Final[dict[str, JsonValue]] = {"fixed": True}


class InputConfig(_Section):
    """What node, `gckpl live` and replay take, and how long a live cloud waits for what belongs to it."""

    points: tuple[str, ...] = Field(
        ("points",),
        min_length=1,
        max_length=16,
        description="PointCloud2 topics; several sensors are merged through TF.",
        json_schema_extra=FIXED,
    )
    detections: str = Field(
        "detections",
        description="Topic with boxes; empty: none. While nobody publishes there, the built-in detector works.",
        json_schema_extra=FIXED,
    )
    detections_type: Literal[
        "vision_msgs/msg/Detection3DArray",
        "yolo_msgs/msg/DetectionArray",
        "autoware_perception_msgs/msg/DetectedObjects",
        "autoware_perception_msgs/msg/TrackedObjects",
    ] = Field(
        "vision_msgs/msg/Detection3DArray",
        description="Type of the boxes: that, yolo_msgs/msg/DetectionArray (bbox3d), or DetectedObjects or "
        "TrackedObjects of autoware_perception_msgs/msg.",
        json_schema_extra=FIXED,
    )
    classes: tuple[str, ...] = Field(
        ("pedestrian", "person", "human.pedestrian.*", "0"),
        description="Classes of detections that are people, upper and lower case alike; * at the end: all that begin "
        "so; an empty name: every class. 0 is COCO's number of a person: leave it out where 0 is something else.",
        json_schema_extra=FIXED,
    )
    frame: str = Field(
        "",
        description="Upright frame that clouds are brought into, e.g. base_link (needs TF); empty: the first sensor's.",
        json_schema_extra=FIXED,
    )
    reliability: Literal["best_effort", "reliable"] = Field(
        "best_effort",
        description="QoS of clouds and boxes; best_effort takes from reliable publishers too. A reliable one gets what "
        "was lost sent again, and an old cloud may hold up a new one.",
        json_schema_extra=FIXED,
    )
    depth: int = Field(
        5,
        ge=1,
        le=100,
        description="QoS of clouds and boxes: so many messages wait at most to be read.",
        json_schema_extra=FIXED,
    )
    tolerance_s: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Stamps this near belong together: clouds of several sensors, a cloud and its detections.",
        json_schema_extra=FIXED,
    )
    wait_s: float = Field(
        0.2,
        ge=0,
        le=5,
        description="A cloud waits at most this long for its detections, its transforms and the other sensors.",
        json_schema_extra=FIXED,
    )
    silence_s: float = Field(
        2.0,
        ge=0.1,
        le=60,
        description="A sensor or detector silent for this long is not waited for; then people are found here.",
        json_schema_extra=FIXED,
    )


class CropConfig(_Section):
    """Which points belong to a person."""

    margin_m: float = Field(0.15, ge=0, le=1, description="Enlarge every box by this much on each side.")
    min_points: int = Field(8, ge=1, le=1024, description="People with fewer points are skipped and counted.")
    max_points: int = Field(
        192, ge=16, le=1024, description="More points than this are sub-sampled, evenly over the body."
    )


class EstimateConfig(_Section):
    """The keypoint network."""

    weights: str = Field(
        "",
        description="small, base (more accurate, 2.7 times the work), or a file (.safetensors); empty: base on a GPU, "
        "small on a CPU.",
        json_schema_extra=FIXED,
    )
    device: str = Field(
        "auto", description="auto, cpu, cuda or cuda:<n>; auto takes CUDA where there is one.", json_schema_extra=FIXED
    )
    backend: Literal["torch", "onnxruntime", "openvino"] = Field(
        "torch",
        description="What runs the network; onnxruntime and openvino: on the CPU, without learning on the robot.",
        json_schema_extra=FIXED,
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of the network; 0: as many as torch likes.", json_schema_extra=FIXED
    )
    max_people: int = Field(64, ge=1, le=1024, description="More people than this: the nearest are estimated.")


class DetectConfig(_Section):
    """People in a cloud when no detector is given; what follows ground_cell_m up to confirm_s is of ``shape`` alone."""

    enabled: bool = Field(True, description="Find people where no detections arrive.")
    method: Literal["learned", "shape"] = Field(
        "learned",
        description="learned: a network finds people in any posture. shape: heads on shoulders and what travels, "
        "without a network.",
        json_schema_extra=FIXED,
    )
    weights: str = Field(
        "",
        description="Person detector (.safetensors, of `gckpl train person`); empty: the one that ships.",
        json_schema_extra=FIXED,
    )
    score: float = Field(
        0.4,
        gt=0,
        lt=1,
        description="Probability from which on somebody is reported; who is less sure is once looks add up to it.",
    )
    min_confidence: float = Field(
        0.1, ge=0, le=1, description="A found person whose keypoints are less sure than this, in the mean, is dropped."
    )
    max_range_m: float = Field(25.0, gt=1, le=200, description="Look for people up to this range.")
    ground_cell_m: float = Field(1.0, ge=0.2, le=5, description="Grid cell of the ground height map.")
    ground_clearance_m: float = Field(0.15, ge=0.02, le=0.5, description="Points lower than this are ground.")
    cluster_radius_m: float = Field(0.25, ge=0.05, le=1.5, description="Points nearer than this hang together.")
    min_points: int = Field(12, ge=3, le=1000, description="Smallest cluster that can be a person.")
    min_height_m: float = Field(0.8, ge=0.3, le=2, description="Lowest cluster that can be a person.")
    max_height_m: float = Field(2.2, ge=1, le=3, description="Tallest cluster that can be a person.")
    max_width_m: float = Field(1.3, ge=0.5, le=3, description="Widest cluster that can be a person.")
    max_ground_gap_m: float = Field(0.6, ge=0, le=2, description="A person's lowest point is this near the ground.")
    confirm_travel_m: float = Field(
        0.5, ge=0, le=5, description="A person-sized cluster is reported once it has moved this far; 0: at once."
    )
    confirm_s: float = Field(
        0.5, gt=0, le=10, description="One that stands still: once it looked human for this much longer than not."
    )


class TrackConfig(_Section):
    """Stable identities, filtered joints."""

    enabled: bool = Field(True, description="Off: every person of every frame is new.", json_schema_extra=FIXED)
    gate_m: float = Field(1.0, gt=0, le=5, description="A detection belongs to a track only within this distance.")
    confirm_hits: int = Field(2, ge=1, le=20, description="Detections before a new track counts as tracked.")
    max_age_s: float = Field(0.6, ge=0, le=10, description="A track without detections is reported as lost this long.")
    memory_s: float = Field(
        3.0, ge=0, le=60, description="Whoever comes back within this time has the same id, by place, speed and build."
    )
    smoothing: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Trust in each joint's motion against what a single cloud shows; 0: only that; 0.5: as confidence "
        "tells.",
    )
    frame: str = Field(
        "",
        description="Fixed frame to track in, e.g. odom (needs TF); odometry: odom of TF where there is one, otherwise "
        "the sensor's motion is estimated from its clouds (extra odometry); empty: the cloud's own frame.",
        json_schema_extra=FIXED,
    )


class BodyConfig(_Section):
    """A body model fitted to everybody who is seen: how joints are turned, how tall people are, meshes."""

    enabled: bool = Field(False, description="Fit bodies.", json_schema_extra=FIXED)
    prior: str = Field(
        "gmm",
        description="What poses are plausible: none, limits, gmm, vposer, ndf, diffusion, or a file of `gckpl train "
        "prior`.",
        json_schema_extra=FIXED,
    )
    steps: int = Field(3, ge=1, le=50, description="Gauss-Newton steps from where the body was in the last cloud.")
    points: int = Field(48, ge=0, le=1024, description="Points of each person that bodies are fitted to.")
    budget_ms: float = Field(
        60.0, gt=0, le=10000, description="No further step is made that would take longer than this for one cloud."
    )
    fuse: float = Field(
        0.5, ge=0, le=1, description="How far skeletons are moved towards their bodies; 0: as without bodies."
    )


class OutputConfig(_Section):
    """What the node and `gckpl live` publish besides skeletons; topics that nobody takes cost nothing."""

    body_frames: bool = Field(True, description="TF frame body_<id> of each person (REP-155).")
    link_frames: bool = Field(False, description="TF frames of all body links too, e.g. l_elbow_<id> (REP-155).")
    odometry_frame: bool = Field(
        False,
        description="With track.frame odometry: TF of the estimated motion, odom as a child of the cloud's frame, and "
        "no other odom is asked for. Recordings of replay always have it.",
        json_schema_extra=FIXED,
    )
    diagnostics_period_s: float = Field(
        1.0, ge=0.1, le=60, description="Time between two reports on /diagnostics.", json_schema_extra=FIXED
    )


class AdaptConfig(_Section):
    """Learning without labels while the robot works, beside the estimation."""

    enabled: bool = Field(False, description="Learn from the people that are tracked.", json_schema_extra=FIXED)
    teacher: str = Field(
        "",
        description="Temporal network (.safetensors) that reads the tokens of estimate.weights, or of the weights that "
        "these were adapted from; empty: the one that ships if it does, otherwise plain smoothing.",
        json_schema_extra=FIXED,
    )
    budget_ms_per_s: float = Field(
        200.0, ge=0, le=1000, description="Share of each second spent learning, on average; 0: only collect."
    )
    buffer_mb: float = Field(64.0, ge=1, le=4096, description="Most memory for what is learnt from.")
    tracklet_s: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="How long one person is watched for a tracklet; clouds, at any rate.",
        json_schema_extra=FIXED,
    )
    min_tracklets: int = Field(40, ge=1, le=10000, description="Different tracklets before learning starts.")
    batch_pairs: int = Field(
        8, ge=1, le=1024, description="Pairs of consecutive crops, and as many simulated crops, in each step."
    )
    learning_rate: float = Field(1e-4, gt=0, le=0.1, description="Of the optimiser (AdamW).")
    check_steps: int = Field(50, ge=1, le=10000, description="Steps between two checks of the guard.")
    max_anchor_growth: float = Field(
        0.02, ge=0, le=1, description="How much worse than as loaded the network may be on simulated crops; 0.02: 2 %."
    )
    max_holdout_growth: float = Field(
        0.02, ge=0, le=1, description="How much worse than before an update may be on recent people held out."
    )
    max_drift_m: float = Field(
        0.05, ge=0, le=1, description="Mean distance that keypoints may move away from those of the loaded network."
    )
    steps_per_cloud: float = Field(0.15, ge=0, le=100, description="Steps per cloud in replay, which has no budget.")
    folder: str = Field(
        "",
        description="Where weights and state are kept, and found again after a restart; empty: nothing is written.",
        json_schema_extra=FIXED,
    )
    save_every_s: float = Field(60.0, ge=1, le=86400, description="Time between two savings while it learns.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of all choices made by chance.", json_schema_extra=FIXED)


class Config(_Section):
    """Everything that node, replay and `gckpl live` can be told."""

    input: InputConfig = InputConfig()
    crop: CropConfig = CropConfig()
    estimate: EstimateConfig = EstimateConfig()
    detect: DetectConfig = DetectConfig()
    track: TrackConfig = TrackConfig()
    body: BodyConfig = BodyConfig()
    output: OutputConfig = OutputConfig()
    adapt: AdaptConfig = AdaptConfig()

    @staticmethod
    def load(path: str | Path) -> "Config":
        """Read a YAML file, plain or of ROS parameters; raises InputError that names the file, the key and why."""
        try:
            values = yaml.safe_load(Path(path).read_bytes()) or {}
        except OSError as error:
            raise InputError(f"cannot read configuration {path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise InputError(f"configuration {path} is not valid YAML: {error}") from error
        return Config.parse(_without_node_name(values), str(path))

    @staticmethod
    def parse(values: Any, source: str = "configuration") -> "Config":
        """Validate a nested mapping; raises InputError that lists every bad key with its reason."""
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            lines = (f"  {'.'.join(map(str, e['loc'])) or '(top)'}: {e['msg']}" for e in error.errors())
            raise InputError(f"{source} is not valid:\n" + "\n".join(lines)) from error

    def to_yaml(self) -> str:
        """All values as YAML, each with its description and range as a comment."""
        return "\n".join(line for name, section in self for line in _commented(name, section)) + "\n"

    def to_ros_yaml(self) -> str:
        """All values as a ROS 2 parameter file for any node name, each with its description and range."""
        lines = "".join(f"    {line}\n" for line in self.to_yaml().splitlines())
        return f"/**:\n  ros__parameters:\n{lines}"


def _commented(name: str, section: BaseModel) -> list[str]:
    lines = [f"{name}:  # {type(section).__doc__}"]
    for key, field in type(section).model_fields.items():
        value = yaml.safe_dump(getattr(section, key), default_flow_style=True).removesuffix("...\n").strip()
        lines.append(f"  {key}: {value}  # {field.description}{_range(field.metadata)}")
    return lines


def _without_node_name(values: Any) -> Any:
    match values:
        case {"/**": {"ros__parameters": parameters}}:
            return parameters
    return values


def _range(metadata: list[Any]) -> str:
    names = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, key)}" for m in metadata for key, sign in names.items() if hasattr(m, key)]
    return f" [{', '.join(bounds)}]" if bounds else ""


# Configuration from the command line: a file, then single values over it.


def load_config(file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a file (or the defaults) with each ``section.key=value`` over it; raises InputError."""
    values = (Config.load(file) if file else Config()).model_dump()
    for override in overrides:
        section, key, value = _split(override)
        values.setdefault(section, {})[key] = value
    return Config.parse(values, f"configuration {file or '(defaults)'} with --set {' '.join(overrides)}")


def _split(override: str) -> tuple[str, str, Any]:
    name, equals, text = override.partition("=")
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise InputError(f"--set {override}: write section.key=value, for example crop.margin_m=0.2")
    try:
        return section, key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not valid YAML") from error
