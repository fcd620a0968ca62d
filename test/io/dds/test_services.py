"""Services over a real network; the bytes are those that Cyclone's RMW sends."""

from typing import NamedTuple

import pytest
from ros_messages import TYPES

from gckpl_ros.errors import InputError
from gckpl_ros.io.dds.participant import Participant
from gckpl_ros.io.dds.services import Half, Service, call, pack, unpack


class Answer(NamedTuple):
    success: bool
    message: str


SET_BOOL, TRIGGER = "std_srvs/srv/SetBool", "std_srvs/srv/Trigger"
REQUEST = bytes.fromhex("00010000 0807060504030201 0500000000000000 01")
PATIENCE_S = 60.0


def half(msgtype, **fields):
    return Half(0x0102030405060708, 5, TYPES[msgtype](**fields))


def test_the_header_comes_first_in_either_order_of_bytes():
    asked = half(f"{SET_BOOL}_Request", data=True)
    assert pack(asked, f"{SET_BOOL}_Request")[: len(REQUEST)] == REQUEST
    assert unpack(REQUEST, f"{SET_BOOL}_Request") == asked
    big_endian = bytes.fromhex("00000000 0102030405060708 0000000000000005 01")
    assert unpack(big_endian, f"{SET_BOOL}_Request") == asked


def test_a_request_without_fields_has_one_byte_as_in_ros_2():
    data = pack(half(f"{TRIGGER}_Request"), f"{TRIGGER}_Request")
    assert data[4:] == REQUEST[4:20] + b"\0"
    assert unpack(data, f"{TRIGGER}_Request") == half(f"{TRIGGER}_Request")


@pytest.fixture
def pair():
    with Participant() as one, Participant() as other:
        yield one, other


@pytest.fixture
def service(pair):
    """A service of the first participant; what it was asked, and what could not be read."""
    asked, refused = [], []

    def answer(request):
        asked.append(request.data)
        return Answer(request.data, f"heard {request.data}")

    kept = Service(pair[0], "/gckpl/switch", SET_BOOL, answer, refused.append)
    yield asked, refused
    del kept


def test_an_answer_comes_back_to_who_asked(pair, service):
    for data in (True, False, True):
        response = call(pair[1], "/gckpl/switch", SET_BOOL, PATIENCE_S, data=data)
        assert (response.success, response.message) == (data, f"heard {data}")
    assert service[0] == [True, False, True]


def test_each_of_several_hears_its_own_answer(pair, service):
    with Participant() as third:
        for network, data in ((pair[1], True), (third, False), (pair[1], False), (third, True)):
            assert call(network, "/gckpl/switch", SET_BOOL, PATIENCE_S, data=data).success == data


def test_what_is_no_request_is_refused_and_the_next_is_answered(pair, service, wait_until):
    asked, refused = service
    publisher = pair[1].publisher("/gckpl/switch", f"{SET_BOOL}_Request")
    wait_until(lambda: publisher.subscribers)
    for data in (REQUEST[:4], REQUEST[:12], REQUEST[:20], b"\xff" * 60):
        publisher.write(data)
    wait_until(lambda: len(refused) == 4)
    assert call(pair[1], "/gckpl/switch", SET_BOOL, PATIENCE_S, data=True).success
    assert asked == [True]


def test_a_service_that_nobody_has_is_told(pair):
    with pytest.raises(InputError, match="nobody answers /gckpl/nothing"):
        call(pair[1], "/gckpl/nothing", TRIGGER, 0.1)
