"""Evidence over time: by hand, in seconds, at any rate."""

import numpy as np
import pytest

from gckpl_ros.config import DetectConfig
from gckpl_ros.detect.evidence import Evidence

HERE = np.array([[5.0, 0.0]])


def looks(odds, hertz=10, at=lambda t: HERE, score=0.6):
    """Who is reported in clouds with these log odds (None: no proposal), so many a second."""
    evidence, out = Evidence(DetectConfig(score=score)), []
    for i, value in enumerate(odds):
        place = at(i / hertz) if value is not None else np.zeros((0, 2))
        _, reported = evidence(place, np.full(len(place), value, float), 10**9 + round(i * 1e9 / hertz))
        out.append(bool(reported.any()))
    return out


def test_who_is_sure_is_reported_at_once_and_who_is_not_never():
    assert looks([0.5, 0.5]) == [True, True]
    assert looks([-0.5] * 20) == [False] * 20


@pytest.mark.parametrize("hertz", [5, 10, 20])
def test_doubtful_looks_add_up_in_the_same_time_at_any_rate(hertz):
    """0.2, then 0.6 x 0.2 for each 0.1 s, against log odds of 0.41: two steps of 0.1 s."""
    first = looks([0.2] * 20, hertz).index(True) / hertz
    assert 0.2 - 1e-9 <= first <= 0.2 + 1 / hertz - 1e-9


def test_the_reported_stay_until_the_evidence_is_clearly_less():
    """1, then minus 0.6 x 0.8 in each cloud: 0.52, 0.04, -0.44, -0.92; he goes at 0.41 - 1."""
    assert looks([1.0] + [-0.8] * 5) == [True, True, True, True, False, False]


def test_somebody_hidden_comes_back_with_less_evidence():
    assert looks([3.0, None, None, None, 0.0]) == [True, False, False, False, True]  # 3 - 3 x 0.7 = 0.9 is left
    assert looks([1.0, None, None, None, -0.7])[-1] is False


def test_evidence_travels_with_whoever_walks_and_not_to_others():
    walks = looks([0.2] * 6, at=lambda t: np.array([[5.0, 1.5 * t]]))
    assert walks[-1]
    jumps = looks([0.2] * 6, at=lambda t: np.array([[5.0, 20.0 * t]]))
    assert not any(jumps)


def test_after_a_reset_nothing_is_left():
    evidence = Evidence(DetectConfig())
    evidence(HERE, np.array([4.0]), 10**9)
    evidence.reset()
    assert not evidence(HERE, np.array([-1.2]), 10**9 + 10**8)[1].any()
