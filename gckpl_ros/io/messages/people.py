"""People as points that move, for social costmaps."""

from typing import Any

from gckpl_ros.io.messages.skeletons import to_header
from gckpl_ros.io.messages.typestore import MessageTypes
from gckpl_ros.types import Frame, TrackState


def to_people(frame: Frame, types: MessageTypes) -> Any:
    """A people_msgs/People in the cloud's frame (m, m/s) of all tracks but new ones; a name is a track's id."""
    tracks, point = frame.tracks, types["geometry_msgs/msg/Point"]
    rows = zip(
        tracks.ids.tolist(),
        tracks.states.tolist(),
        tracks.boxes.centers.tolist(),
        tracks.velocities.tolist(),
        tracks.boxes.scores.tolist(),
        strict=True,
    )
    return types["people_msgs/msg/People"](
        header=to_header(frame.stamp_ns, frame.frame_id, types),
        people=[
            types["people_msgs/msg/Person"](
                name=str(person),
                position=point(**dict(zip("xyz", center, strict=True))),
                velocity=point(**dict(zip("xyz", velocity, strict=True))),
                reliability=score,
                tagnames=[],
                tags=[],
            )
            for person, state, center, velocity, score in rows
            if state != TrackState.NEW
        ],
    )
