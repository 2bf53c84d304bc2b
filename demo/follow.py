"""The closed loop as a command: a base follows a target through the rendered hall; writes a plot and the figures."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from stif_ros.msg import Track

from demo.closed_loop import FPS, ClosedLoop, Step, running_nodes
from stif_core.evaluation.rendered_world import Pose, walk

ROOT = Path(__file__).resolve().parents[1]
START = Pose(0.0, 0.0, 0.2)
WARM_UP = 4  # images tracked before the follower is armed
IN_VIEW = 0.5  # share of the target's box inside the image
STANDING = 0.02  # m/s and rad/s: the base counts as stopped
SHADES = {Track.UNCERTAIN: "tab:orange", Track.LOST: "tab:red"}


@dataclass(frozen=True)
class FollowSummary:
    """Figures of one loop, from arming on; angles in rad, times in s of the images' stamps.

    Attributes:
        images: How many there were.
        in_view: Share of the images with the target there in which it is in view.
        azimuth_mean, azimuth_p95, azimuth_max: Magnitude of the target's true azimuth: how well the base turns to it.
        bearing_error_mean, bearing_error_p95: Of the measured azimuth against the true one, while TRACKING.
        distance_mean: To the target, m.
        stopped_after: From the target's disappearance until the base stands; NaN where it never disappears or stops.
        moved_while_gone: Metres driven after the base first stood, until the target is back.
        tracking_again_after: From its return until it is reported TRACKING; NaN where it never is.
    """

    images: int
    in_view: float
    azimuth_mean: float
    azimuth_p95: float
    azimuth_max: float
    bearing_error_mean: float
    bearing_error_p95: float
    distance_mean: float
    stopped_after: float
    moved_while_gone: float
    tracking_again_after: float


def summarise(steps: list[Step]) -> FollowSummary:
    """The figures of a loop; ``steps`` begin when the follower is armed."""
    gone = [i for i, step in enumerate(steps) if step.view is None]
    seen = [step.view for step in steps if step.view is not None]
    azimuths = np.abs([view.azimuth for view in seen])
    errors = [
        abs(step.track.azimuth - step.view.azimuth)
        for step in steps
        if step.view is not None and step.track is not None and step.track.state == Track.TRACKING
    ] or [float("nan")]
    stopped_after, moved = float("nan"), 0.0
    standing = [i for i in gone if abs(steps[i].speed) < STANDING and abs(steps[i].yaw_rate) < STANDING]
    if standing:
        stopped_after = steps[standing[0]].time - steps[gone[0]].time
        places = np.array([(steps[i].pose.x, steps[i].pose.y) for i in gone if i >= standing[0]])
        moved = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
    return FollowSummary(
        images=len(steps),
        in_view=float(np.mean([view.visible >= IN_VIEW for view in seen])),
        azimuth_mean=float(azimuths.mean()),
        azimuth_p95=float(np.percentile(azimuths, 95)),
        azimuth_max=float(azimuths.max()),
        bearing_error_mean=float(np.mean(errors)),
        bearing_error_p95=float(np.percentile(errors, 95)),
        distance_mean=float(np.mean([view.distance for view in seen])),
        stopped_after=stopped_after,
        moved_while_gone=moved,
        tracking_again_after=_tracking_again_after(steps[gone[-1] + 1 :]) if gone else float("nan"),
    )


def _tracking_again_after(steps: list[Step]) -> float:
    """Seconds of a list of steps until the first one in TRACKING."""
    times = [step.time for step in steps if step.track is not None and step.track.state == Track.TRACKING]
    return times[0] - steps[0].time if times else float("nan")


def plot(steps: list[Step], path: Path) -> None:
    """Draws the ways of base and target, the azimuth, the commands and the distance over time into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1, 1.6))
    above, angle, speed, far = (figure.add_subplot(grid[spot]) for spot in (np.s_[:, 0], (0, 1), (1, 1), (2, 1)))
    time = np.array([step.time for step in steps])
    gone = np.array([step.view is None for step in steps])
    nan = float("nan")

    places = np.array([step.target or (nan, nan) for step in steps])
    above.plot([step.pose.x for step in steps], [step.pose.y for step in steps], label="base")
    above.plot(places[:, 0], places[:, 1], label="target")
    for step in steps[:: round(2 * FPS)]:
        if step.target is not None:
            above.plot([step.pose.x, step.target[0]], [step.pose.y, step.target[1]], color="0.8", lw=0.7, zorder=0)
    above.set(xlabel="x, m", ylabel="y, m", title="from above (a line of sight every 2 s)", aspect="equal")
    above.legend()

    angle.plot(time, [step.view.azimuth if step.view else nan for step in steps], label="true")
    measured = [step.track.azimuth if step.track and step.track.state == Track.TRACKING else nan for step in steps]
    angle.plot(time, measured, ".", ms=3, label="measured, TRACKING")
    angle.set(ylabel="azimuth, rad")
    speed.plot(time, [step.speed for step in steps], label="speed, m/s")
    speed.plot(time, [step.yaw_rate for step in steps], label="yaw rate, rad/s")
    speed.plot(time, [step.command[0] for step in steps], "C0:", lw=1, label="commanded")
    speed.plot(time, [step.command[1] for step in steps], "C1:", lw=1)
    speed.set(ylabel="base")
    far.plot(time, [step.view.distance if step.view else nan for step in steps], label="distance, m")
    far.set(xlabel="time of the images, s", ylabel="m", ylim=(0, None))
    for axes in (angle, speed, far):
        axes.axhline(0, color="0.7", lw=0.7, zorder=0)
        span: dict[str, Any] = {"alpha": 0.15, "lw": 0, "transform": axes.get_xaxis_transform()}
        axes.fill_between(time, 0, 1, where=gone, color="0.3", label="target gone", **span)
        for state, colour in SHADES.items():
            where = np.array([step.track is not None and step.track.state == state for step in steps])
            name = "UNCERTAIN" if state == Track.UNCERTAIN else "LOST"
            axes.fill_between(time, 0, 1, where=where, color=colour, label=name if where.any() else None, **span)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def follow(seconds: float, gone_from: float, gone_for: float, real_time: bool) -> list[Step]:
    """Runs the loop; its steps from arming on. Raises RuntimeError naming the part that failed."""

    def path(time: float) -> tuple[float, float] | None:
        return None if gone_from <= time < gone_from + gone_for else walk(time)

    # A stepped loop goes as slowly as it must: silence there says nothing about the tracker.
    parameters = () if real_time else ("track_timeout:=10.0", "disarm_timeout:=0.0")
    with running_nodes(*parameters):
        rclpy.init()
        loop = ClosedLoop(path, START)
        try:
            loop.bring_up()
            loop.set_target()
            for _ in range(WARM_UP):
                loop.step()
            if not (answer := loop.arm()).success:
                raise RuntimeError(f"the follower said: {answer.message}")
            if real_time:
                loop.run(seconds)
            else:
                while len(loop.steps) < WARM_UP + seconds * FPS:
                    loop.step()
            return loop.steps[WARM_UP:]
        finally:
            loop.destroy_node()
            rclpy.try_shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the loop")
    parser.add_argument("--gone-from", type=float, default=12.0, help="when the target disappears, s")
    parser.add_argument("--gone-for", type=float, default=2.5, help="for how long, s; 0: never")
    parser.add_argument("--real-time", action="store_true", help="by the clock, instead of waiting for every answer")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "follow", help="folder for the results")
    args = parser.parse_args()
    try:
        steps = follow(args.seconds, args.gone_from, args.gone_for, args.real_time)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = {"mode": "real time" if args.real_time else "stepped", **asdict(summarise(steps))}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "follow.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:>20}  {value:.4g}" if isinstance(value, float) else f"{name:>20}  {value}")
    try:
        plot(steps, args.out / "follow.png")
    except ModuleNotFoundError:
        print("no plot: pip install matplotlib", file=sys.stderr)
    else:
        print(f"written: {args.out}/follow.json, follow.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
