"""The online adapter in a real node: services, reports, and what lifecycle and parameters do to it."""

import pytest

from gckpl_ros.io.live.interface import OUTPUTS, SERVICES

DISABLED, COLLECTING, PAUSED = 0, 1, 3


@pytest.fixture
def ask(rig, peer):
    """Success and message of a service of the node."""
    from std_srvs import srv

    def ask(key, **request):
        service = SERVICES[key]
        kind = getattr(srv, service.type.rpartition("/")[2])
        response = peer.call(kind, service.topic.replace("~", "/gckpl"), **request)
        return response.success, response.message

    return ask


@pytest.fixture
def states(rig, peer):
    """States as they are told on the topic; `until` waits for one."""
    endpoint = OUTPUTS["adaptation"]

    def listen():
        heard = peer.listen(endpoint.topic.replace("~", "/gckpl"), endpoint.type)
        return lambda state: rig.until(lambda: heard and heard[-1].state == state)

    return listen


def test_it_is_off_unless_a_parameter_says_otherwise(active, ask, states):
    active(output__diagnostics_period_s=0.1)
    assert states()(DISABLED)
    for key in ("reset_adaptation", "save_adaptation", "load_adaptation"):
        success, message = ask(key)
        assert not success and "adaptation is off" in message
    assert ask("pause_adaptation", data=True)[0] is False


def test_it_is_steered_by_services(active, ask, states, tmp_path):
    folder = tmp_path / "adapted"
    active(output__diagnostics_period_s=0.1, adapt__enabled=True, adapt__folder=str(folder))
    reaches = states()
    assert reaches(COLLECTING)
    assert ask("pause_adaptation", data=True)[0] and reaches(PAUSED)
    assert ask("pause_adaptation", data=False)[0] and reaches(COLLECTING)
    success, message = ask("save_adaptation")
    assert success and str(folder) in message and any(folder.iterdir())
    assert ask("load_adaptation")[0] and ask("reset_adaptation")[0]


def test_it_lives_as_long_as_the_node_is_configured(peer, start, ask, states):
    start(output__diagnostics_period_s=0.1, adapt__enabled=True)
    assert ask("pause_adaptation", data=True) == (False, "the node is not configured")
    assert peer.change("configure", "activate") == [True, True]
    reaches = states()
    assert ask("pause_adaptation", data=True)[0] and reaches(PAUSED)
    assert peer.change("deactivate", "activate") == [True, True]
    assert reaches(PAUSED), "a node that was deactivated goes on as it was"
    assert peer.change("deactivate", "cleanup", "configure", "activate") == [True] * 4
    assert reaches(COLLECTING)


def test_what_it_is_built_of_is_fixed_and_the_rest_is_not(peer, active):
    active(adapt__enabled=True)
    assert "cannot change while the node is configured" in peer.set("adapt.enabled", False)
    assert "cannot change while the node is configured" in peer.set("adapt.folder", "elsewhere")
    assert peer.set("adapt.budget_ms_per_s", 50.0) == ""
    assert "adapt.budget_ms_per_s" in peer.set("adapt.budget_ms_per_s", 1001.0)
