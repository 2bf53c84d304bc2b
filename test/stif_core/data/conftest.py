"""What is read from small trees in the layouts of public data sets."""

import pytest


@pytest.fixture
def tracks_of():
    """What an index holds: path of the first frame of each video -> track -> {frame path: box}."""

    def tracks(index):
        found = {}
        for video, (first, _) in enumerate(index.video_frames):
            found[index.frames[first].decode()] = [
                {index.frames[frame].decode(): box.tolist() for frame, box in zip(*index.track(track), strict=True)}
                for track in index.tracks_of_video(video)
            ]
        return found

    return tracks
