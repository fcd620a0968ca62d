"""pip package; colcon builds with CMakeLists.txt and ignores this file."""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def _packages(top: str, folder: str) -> list[str]:
    inits = sorted((ROOT / folder).rglob("__init__.py"))
    return [".".join((top, *init.parent.relative_to(ROOT / folder).parts)) for init in inits]


REPORT = ["matplotlib>=3.8", "pillow>=10.1"]
VISION = ["rerun-sdk>=0.24"]
TRAIN = ["tensorboard>=2.16"]
LIVE = ["cyclonedds>=11,<12"]
DATA = ["pyarrow>=17"]
ONNX = ["onnx>=1.16", "onnxscript>=0.3", "onnxruntime>=1.18"]
OPENVINO = ["onnx>=1.16", "onnxscript>=0.3", "openvino>=2024.4"]
ODOMETRY = ["kiss-icp>=1.2,<2"]
DEVELOP = [
    "motmetrics>=1.4",
    "pytest>=8",
    "pytest-cov",
    "pytest-xdist",
    "hypothesis",
    "beartype",
    "ruff",
    "mypy",
    "types-PyYAML",
    "uv",
]

setup(
    name="gckpl_ros",
    version="0.1.0",
    description="3D human skeletons from LiDAR: ROS 2 node, bag replay, training without labels (GC-KPL)",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *_packages("gckpl_ros", "gckpl_ros"),
        *_packages("gckpl_training", "training/gckpl_training"),
        "gckpl_ros.msg_definitions",
    ],
    # The definitions are not gckpl_ros.msg: that is the module which ROS generates from them.
    package_dir={
        "gckpl_ros": "gckpl_ros",
        "gckpl_training": "training/gckpl_training",
        "gckpl_ros.msg_definitions": "msg",
    },
    include_package_data=True,
    package_data={
        "gckpl_ros": ["body/*.npz", "weights/*", "view/*.html", "py.typed"],
        "gckpl_training": ["street/ouster_os1.*"],
        "gckpl_ros.msg_definitions": ["*.msg"],
    },
    install_requires=[
        "torch>=2.4",
        "numpy>=1.26",
        "scipy>=1.11",
        "pydantic>=2.5",
        "pyyaml>=6",
        "jaxtyping>=0.2.28",
        "tyro>=0.9",
        "rich>=13",
        "rosbags>=0.11.9",
        "safetensors>=0.4",
        "roma>=1.5",
    ],
    extras_require={
        "data": DATA,
        "live": LIVE,
        "odometry": ODOMETRY,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "report": REPORT,
        "train": TRAIN,
        "viz": VISION,
        "dev": [*DATA, *LIVE, *ODOMETRY, *REPORT, *TRAIN, *VISION, "open3d-cpu>=0.18", *DEVELOP],
    },
    entry_points={"console_scripts": ["gckpl = gckpl_ros.cli:main"]},
)
