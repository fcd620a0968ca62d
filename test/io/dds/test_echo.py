import json
from threading import Event, Thread
from time import sleep

import numpy as np
import pytest
from people import frame

from gckpl_ros.commands.echo import TYPE, Received, _hint, main, rate_hz, to_json, to_text
from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import Participant
from gckpl_ros.io.messages.skeletons import to_skeleton_array
from gckpl_ros.io.messages.typestore import typestore
from gckpl_ros.skeleton import KEYPOINTS


@pytest.fixture
def talker():
    """Publishes two people on /gckpl/skeletons all the time."""
    ending, message = Event(), to_skeleton_array(frame(7, 12), typestore().types)
    with Participant() as network:
        publisher = network.publisher("/gckpl/skeletons", TYPE)

        def talk():
            while not ending.wait(0.02):
                publisher.publish(message)

        thread = Thread(target=talk)
        thread.start()
        yield
        ending.set()
        thread.join()


def test_a_line_for_the_cloud_and_one_for_each_person():
    shown = to_text(Received(frame(7, 12, states=[1, 9], stamp=1_700_000_000_250_000_000), 0.0, 31.4), 9.96)
    head, first, second = shown.splitlines()
    assert head == "1700000000.250 lidar: 2 people, 10.0 Hz, 31 ms after the cloud"
    center = frame(7, 12).tracks.boxes.centers[0]
    assert first.startswith("  id 7    tracked (") and f"{center[0]:.2f}" in first and first.endswith("%")
    assert second.startswith("  id 12   9 "), "a state that we do not know is shown as it is"


def test_nobody_is_a_line_too():
    assert to_text(Received(frame(), 0.0, 1.0), 0.0).splitlines() == [
        "1.500 lidar: 0 people, 0.0 Hz, 1 ms after the cloud"
    ]


def test_json_says_everything_in_a_line_and_what_is_no_number_is_null():
    keypoints = frame(3).tracks.skeletons.keypoints[0].copy()
    keypoints[0] = np.nan
    line = to_json(Received(frame(3, keypoints=keypoints), 0.0, 2.5))
    assert line.count("\n") == 1
    said = json.loads(line, parse_constant=pytest.fail)
    assert (said["stamp_ns"], said["frame_id"], said["age_ms"]) == (1_500_000_001, "lidar", 2.5)
    assert said["joint_names"] == list(KEYPOINTS)
    person = said["skeletons"][0]
    assert person["id"] == 3 and person["state"] == 1
    assert person["positions"][0] == [None, None, None]
    np.testing.assert_allclose(person["positions"][1:], keypoints[1:], rtol=1e-6)
    np.testing.assert_allclose(person["confidences"], frame(3).tracks.skeletons.confidence[0], rtol=1e-6)


def test_the_rate_is_that_of_the_gaps():
    assert rate_hz([5.0]) == 0.0
    assert rate_hz([5.0, 5.1, 5.2, 5.5]) == pytest.approx(6.0)


def test_it_ends_after_one_message_or_after_as_many_as_wanted(talker, capsys):
    main(once=True)
    assert capsys.readouterr().out.count("lidar: 2 people") == 1
    main("/gckpl/skeletons", count=3, as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [[person["id"] for person in json.loads(line)["skeletons"]] for line in lines] == [[7, 12]] * 3


def test_it_says_why_nothing_comes(talker, capsys, monkeypatch):
    hinted = Event()
    monkeypatch.setattr("gckpl_ros.commands.echo._PATIENCE_S", 0.5)
    monkeypatch.setattr("gckpl_ros.commands.echo._hint", lambda *about: (_hint(*about), hinted.set())[0])
    publishing = Thread(target=_publish_after, args=(hinted, "/other/skeletons"))
    publishing.start()
    main("other/skeletons", once=True)
    publishing.join()
    hint = " ".join(capsys.readouterr().err.split())
    assert hint.startswith("nothing on /other/skeletons yet; skeletons are on /gckpl/skeletons. Does `gckpl live` run")


def _publish_after(hinted, topic):
    """Once it was said that nothing comes, something comes."""
    with Participant() as network:
        assert hinted.wait(60.0)
        publisher = network.publisher(topic, TYPE)
        while not publisher.subscribers:
            sleep(0.02)
        publisher.publish(to_skeleton_array(frame(1), typestore().types))


def test_a_bad_topic_is_refused():
    with pytest.raises(InputError, match="no ROS name"):
        main("not a topic")
