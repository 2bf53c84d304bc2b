"""The online tracker: ``Tracker.init(image, box)`` once, then ``Tracker.track(image)`` for every image."""

from stif_core.tracking.settings import TrackerSettings
from stif_core.tracking.states import TrackState
from stif_core.tracking.tracker import Tracker, TrackResult

__all__ = ["TrackResult", "TrackState", "Tracker", "TrackerSettings"]
