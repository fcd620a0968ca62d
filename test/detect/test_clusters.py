import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gckpl_ros.detect.proposals import cluster

RADIUS = 0.3


def groups(labels):
    return {frozenset(np.flatnonzero(labels == label)) for label in set(labels)}


def components(xy, radius):
    """By an independent library, with the distance of the grid: the larger of dx and dy."""
    near = cKDTree(xy.T).sparse_distance_matrix(cKDTree(xy.T), radius, p=np.inf)
    near.setdiag(1)
    return connected_components(near, directed=False)[1]


def refines(fine, coarse):
    return all(any(a <= b for b in coarse) for a in fine)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_between_the_components_of_one_radius_and_a_third_more(seed, count):
    xy = np.random.default_rng(seed).uniform(0, 4, (2, count)).astype(np.float32)
    found = groups(cluster(xy, RADIUS))
    assert refines(groups(components(xy, RADIUS * 0.999)), found)
    assert refines(found, groups(components(xy, RADIUS * 4.001 / 3)))


def test_known_clusters():
    xy = np.array([[0, 0.2, 0.4, 5, 5], [0, 0, 0.1, 5, 5.2]], np.float32)
    assert groups(cluster(xy, RADIUS)) == {frozenset({0, 1, 2}), frozenset({3, 4})}


def test_labels_of_nothing():
    assert cluster(np.zeros((2, 0), np.float32), RADIUS).shape == (0,)
