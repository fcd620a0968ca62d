"""Participants of one network, over real loopback."""

import os
import re
import threading
from time import thread_time

import numpy as np
import pytest
from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication, BuiltinTopicDcpsSubscription
from cyclonedds.core import DDSException, Policy
from cyclonedds.domain import DomainParticipant
from ros_messages import TYPES, cloud, transforms

from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import LATCHED, RELIABLE, SENSOR, Participant
from gckpl_ros.io.messages.typestore import typestore

STRING, CLOUD, TF = "std_msgs/msg/String", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
STRING_HASH = b"typehash=RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18;"
DEPTH = 5


def text(data):
    return TYPES[STRING](data=data)


@pytest.fixture
def pair():
    with Participant() as one, Participant() as other:
        yield one, other


@pytest.fixture
def line(pair, wait_until):
    """A publisher and what comes out at the other end."""

    def connect(msgtype=STRING, offered=RELIABLE, asked=SENSOR):
        got = []
        publisher = pair[0].publisher("/topic", msgtype, offered)
        subscription = pair[1].subscribe("/topic", msgtype, got.append, asked)
        wait_until(lambda: publisher.subscribers and subscription.publishers)
        return publisher, subscription, got

    return connect


@pytest.mark.parametrize("offered", [RELIABLE, SENSOR])
def test_messages_come_as_they_were_sent_and_in_order(line, wait_until, offered):
    publisher, subscription, got = line(offered=offered)
    for word in ("", "a", "skeleton", "höhe"):
        assert publisher.publish(text(word))
        wait_until(lambda word=word: got and got[-1].data == word)
    assert [message.data for message in got] == ["", "a", "skeleton", "höhe"]
    assert subscription.refused == 0


def test_a_big_cloud_comes_whole_and_without_a_loop_over_its_bytes(line, wait_until):
    publisher, _, got = line(CLOUD, asked=RELIABLE)
    sent = cloud(0, np.random.default_rng(0).normal(size=(160_000, 3)))
    start = thread_time()
    for _ in range(DEPTH):
        assert publisher.publish(sent)
    cpu_ms = 1e3 * (thread_time() - start) / DEPTH
    wait_until(lambda: len(got) >= 1)
    assert got[0].data.tobytes() == sent.data.tobytes() and got[0].fields == sent.fields
    assert cpu_ms < 30  # a loop over 1.9 million numbers costs more than twice that


def test_a_publisher_knows_how_many_listen(pair, wait_until):
    publisher = pair[0].publisher("/topic", STRING)
    assert publisher.subscribers == 0
    with Participant() as third:
        third.subscribe("/topic", STRING, print)
        pair[1].subscribe("/topic", STRING, print)
        wait_until(lambda: publisher.subscribers == 2)
    wait_until(lambda: publisher.subscribers == 1)


def test_who_comes_late_gets_what_is_latched_and_nothing_else(pair, wait_until):
    latched, plain = pair[0].publisher("/tf_static", TF, LATCHED), pair[0].publisher("/tf", TF, RELIABLE)
    latched.publish(transforms(0, "base_link", "lidar", 1.5))
    plain.publish(transforms(0, "odom", "base_link", 2.0))
    static, moving = [], []
    pair[1].subscribe("/tf_static", TF, static.append, LATCHED)
    pair[1].subscribe("/tf", TF, moving.append, RELIABLE)
    wait_until(lambda: static and plain.subscribers)
    plain.publish(transforms(1, "odom", "base_link", 3.0))
    wait_until(lambda: moving)
    assert [message.transforms[0].transform.translation.x for message in static + moving] == [1.5, 3.0]


def test_nobody_hears_itself(pair, wait_until):
    own, others = [], []
    publisher = pair[0].publisher("/topic", STRING)
    pair[0].subscribe("/topic", STRING, own.append)
    pair[1].subscribe("/topic", STRING, others.append)
    wait_until(lambda: publisher.subscribers)
    publisher.publish(text("hello"))
    wait_until(lambda: others)
    assert own == [] and publisher.subscribers == 1


def test_what_cannot_be_read_is_refused_and_the_next_message_comes(pair, wait_until):
    got, refused = [], []
    publisher = pair[0].publisher("/topic", CLOUD)
    subscription = pair[1].subscribe("/topic", CLOUD, got.append, RELIABLE, refused.append)
    wait_until(lambda: publisher.subscribers)
    whole = bytes(typestore().serialize_cdr(cloud(0), CLOUD))
    truncated = [whole[:length] for length in (4, 8, 30, len(whole) // 2)]
    for data in (*truncated, os.urandom(300), b"\0\1\0\0" + b"\xff" * 200):
        publisher.write(data)
        wait_until(lambda: len(refused) == subscription.refused > 0)
    wait_until(lambda: len(refused) == 6)
    publisher.write(whole)
    wait_until(lambda: got)
    assert len(got) == 1 and subscription.refused == 6


def test_a_receiver_that_fails_does_not_end_the_thread(pair, wait_until):
    got = []

    def receive(message):
        got.append(message.data)
        raise RuntimeError("receiver")

    publisher = pair[0].publisher("/topic", STRING)
    subscription = pair[1].subscribe("/topic", STRING, receive, RELIABLE)
    wait_until(lambda: publisher.subscribers)
    publisher.publish(text("one"))
    publisher.publish(text("two"))
    wait_until(lambda: len(got) == 2)
    wait_until(lambda: subscription.refused == 2)


def test_other_dds_programs_see_names_qos_and_type_hash_as_of_ros_2(pair, wait_until):
    pair[0].publisher("/topic", STRING, LATCHED)
    publisher = pair[0].publisher("/topic", STRING)
    pair[0].subscribe("/topic", STRING, print, SENSOR)
    stranger = DomainParticipant(int(os.environ["ROS_DOMAIN_ID"]))
    writers = BuiltinDataReader(stranger, BuiltinTopicDcpsPublication)
    readers = BuiltinDataReader(stranger, BuiltinTopicDcpsSubscription)
    named = lambda reader: [each for each in reader.read(100) if each.topic_name == "rt/topic"]  # noqa: E731
    wait_until(lambda: named(writers) and named(readers))
    writer, reader = named(writers)[0], named(readers)[0]
    assert publisher.subscribers == 0
    for endpoint in (writer, reader):
        assert endpoint.type_name == "std_msgs::msg::dds_::String_"
        assert endpoint.qos[Policy.Userdata].data == STRING_HASH
    assert writer.qos[Policy.Reliability].max_blocking_time == 100_000_000
    assert writer.qos[Policy.Durability] == Policy.Durability.Volatile
    assert reader.qos[Policy.Reliability] == Policy.Reliability.BestEffort


def test_topics_of_others_can_be_listed_by_type(pair, wait_until):
    kept = [pair[0].publisher("/b", STRING), pair[0].publisher("/a", STRING), pair[0].publisher("/c", CLOUD)]
    own = pair[1].publisher("/own", STRING)
    wait_until(lambda: pair[1].published(STRING) == ["/a", "/b"] and pair[1].published(CLOUD) == ["/c"])
    assert pair[0].published(STRING) == ["/own"]
    del own, kept


def test_a_broken_configuration_is_the_users_to_mend(monkeypatch, capfd):
    monkeypatch.setenv("CYCLONEDDS_URI", "<CycloneDDS><Domain><Nonsense/></Domain></CycloneDDS>")
    with pytest.raises(InputError, match="CYCLONEDDS_URI"):
        Participant()
    assert re.search("Nonsense.*unknown element", capfd.readouterr().err)


def test_leaving_ends_the_thread_and_everything_else_at_once(pair, wait_until):
    before = threading.active_count()
    publisher = pair[0].publisher("/topic", STRING)
    kept = []
    for _ in range(40):  # more than there is room for at one time
        with Participant() as participant:
            kept.append(participant.subscribe("/topic", STRING, print))
            own = participant.publisher("/other", STRING)
        with pytest.raises(DDSException):
            own.publish(text("too late"))
    wait_until(lambda: publisher.subscribers == 0)
    assert threading.active_count() == before
