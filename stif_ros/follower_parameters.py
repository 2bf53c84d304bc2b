"""Parameters of the follower node; their meaning is told in ``stif_core.following`` and ``stif_core.follow_guard``."""

from dataclasses import fields

from stif_core.follow_guard import GuardSettings
from stif_core.following import FollowSettings
from stif_ros.parameters import Parameter

_LAW, _GUARD = FollowSettings(), GuardSettings()

PARAMETERS = {
    "yaw_gain": Parameter(_LAW.yaw_gain, "Yaw rate to an azimuth, 1/s.", low=0.0, high=10.0),
    "yaw_damping": Parameter(_LAW.yaw_damping, "Yaw rate to a rate of the azimuth.", low=0.0, high=2.0),
    "yaw_dead_band": Parameter(_LAW.yaw_dead_band, "Azimuth that is left alone, rad.", low=0.0, high=0.5),
    "max_yaw_rate": Parameter(_LAW.max_yaw_rate, "Limit of the yaw rate, rad/s; 0: does not turn.", low=0.0, high=6.0),
    "max_yaw_acceleration": Parameter(
        _LAW.max_yaw_acceleration, "Limit of its change while following, rad/s^2.", low=0.0, high=50.0
    ),
    "forward_gain": Parameter(
        _LAW.forward_gain, "Speed to the logarithm of wanted over apparent size, m/s.", low=0.0, high=10.0
    ),
    "size_dead_band": Parameter(_LAW.size_dead_band, "Relative error of the size left alone.", low=0.0, high=1.0),
    "target_size": Parameter(
        _LAW.target_size,
        "Apparent size to keep, square root of the share of the image that the box covers; 0: as when armed.",
        low=0.0,
        high=1.0,
    ),
    "turn_first": Parameter(_LAW.turn_first, "Azimuth from which on the base only turns, rad.", low=0.0, high=1.5),
    "max_forward_speed": Parameter(_LAW.max_forward_speed, "Limit, m/s; 0: never drives forward.", low=0.0, high=20.0),
    "max_backward_speed": Parameter(_LAW.max_backward_speed, "Limit, m/s; 0: never backs away.", low=0.0, high=20.0),
    "max_acceleration": Parameter(
        _LAW.max_acceleration, "Limit of the change of both speeds while following, m/s^2.", low=0.0, high=50.0
    ),
    "vertical_gain": Parameter(
        _LAW.vertical_gain, "Climb rate to an elevation, m/s a rad; 0: linear.z stays 0.", low=0.0, high=10.0
    ),
    "elevation_dead_band": Parameter(_LAW.elevation_dead_band, "Elevation that is left alone, rad.", low=0.0, high=0.5),
    "max_vertical_speed": Parameter(_LAW.max_vertical_speed, "Limit, m/s.", low=0.0, high=20.0),
    "track_timeout": Parameter(
        _GUARD.track_timeout,
        "Seconds without a track, or age of a track's image, that stop the base.",
        low=0.1,
        high=10.0,
    ),
    "uncertain_timeout": Parameter(
        _GUARD.uncertain_timeout, "Seconds of UNCERTAIN that stop the base; LOST stops it at once.", low=0.0, high=10.0
    ),
    "disarm_timeout": Parameter(
        _GUARD.disarm_timeout, "Standing for longer, s, disarms; 0: never.", low=0.0, high=3600.0
    ),
    "clock_jump": Parameter(_GUARD.clock_jump, "A jump of the clock by more, s, disarms.", low=0.1, high=60.0),
    "watch_period": Parameter(0.05, "Seconds between two looks of the watchdog.", True, 0.01, 0.5),
    "base_frame": Parameter("base_link", "frame_id of cmd_vel.", True),
    "diagnostics_period": Parameter(1.0, "Seconds between two messages on /diagnostics.", True, 0.1, 60.0),
}
LAW_NAMES = tuple(field.name for field in fields(FollowSettings))
GUARD_NAMES = tuple(field.name for field in fields(GuardSettings))
