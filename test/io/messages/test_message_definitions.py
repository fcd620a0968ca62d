import re
from pathlib import Path

import pytest
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

from gckpl_ros import skeleton
from gckpl_ros.io.messages.typestore import recorded_typestore, typestore
from gckpl_ros.types import TrackState

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "msg").glob("*.msg"))


def constants(name):
    return {key: value for key, _, value in typestore().fielddefs[name][0]}


def test_joint_constants_are_the_places_in_the_vocabulary():
    values = constants("gckpl_ros/msg/Skeleton")
    assert {name: values[name.upper()] for name in skeleton.KEYPOINTS} == skeleton.INDEX


def test_state_constants_are_those_of_the_tracker():
    values = constants("gckpl_ros/msg/Skeleton")
    assert {state.name: values[state.name] for state in TrackState} == {s.name: s.value for s in TrackState}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_is_explained(path):
    fields = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in fields if "=" not in line.split("#")[0] and not re.search(r"# \S", line)] == []


def test_cmake_builds_every_message():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert [path.name for path in FILES if f"msg/{path.name}" not in cmake] == []


def test_a_recordings_own_definition_goes_before_ours():
    old = MessageDefinition(MessageDefinitionFormat.MSG, "int64 id\nstring nickname\n")
    fields = recorded_typestore(old, "gckpl_ros/msg/Skeleton").fielddefs["gckpl_ros/msg/Skeleton"][1]
    assert [name for name, _ in fields] == ["id", "nickname"]
    assert "nickname" not in [name for name, _ in typestore().fielddefs["gckpl_ros/msg/Skeleton"][1]]


def test_definitions_in_idl_are_understood():
    separator = "=" * 80 + "\n"
    point = "module demo { module msg { struct Point { double x; }; }; };\n"
    line = "module demo { module msg { struct Line { demo::msg::Point end; }; }; };\n"
    text = f"{separator}IDL: demo/msg/Line\n{line}{separator}IDL: demo/msg/Point\n{point}"
    store = recorded_typestore(MessageDefinition(MessageDefinitionFormat.IDL, text), "demo/msg/Line")
    types = store.types
    message = types["demo/msg/Line"](end=types["demo/msg/Point"](x=2.5))
    raw = store.serialize_cdr(message, "demo/msg/Line")
    assert store.deserialize_cdr(raw, "demo/msg/Line").end.x == 2.5
