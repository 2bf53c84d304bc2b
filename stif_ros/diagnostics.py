"""The node's entry in /diagnostics."""

import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from stif_ros.image_subscription import ImageSubscription
from stif_ros.pipeline import TrackingPipeline
from stif_ros.problems import Problems
from stif_ros.statistics import STAGES

SILENCE = 1.0  # seconds without a tracked image that are worth a warning


class CpuShare:
    """How many cores this process keeps busy."""

    def __init__(self) -> None:
        self._last = (time.monotonic(), time.process_time())

    def since_last(self) -> float:
        """CPU seconds a second since the call before."""
        (wall, cpu), self._last = self._last, (time.monotonic(), time.process_time())
        return (self._last[1] - cpu) / max(self._last[0] - wall, 1e-9)


def diagnostic_array(
    stamp: Time,
    node_name: str,
    pipeline: TrackingPipeline,
    images: ImageSubscription | None,
    backend: str,
    problems: Problems,
    cpu_share: float,
) -> DiagnosticArray:
    """One status: WARN while the target is LOST or no image is tracked (none comes, or none can be used), else OK."""
    counters, states = pipeline.counters, pipeline.states
    targets = ", ".join(f"{target_id} {state}" for target_id, state in states.items())
    values = {
        "state": next(iter(states.values()), "IDLE"),
        "targets": targets,
        "backend": backend,
        "image_topic": images.topic if images else "",
        "image_qos": images.qos if images else "",
        "rate_hz": f"{counters.rate_hz():.1f}",
        "cpu_cores": f"{cpu_share:.2f}",
        "frames_received": counters.received,
        "frames_tracked": counters.tracked,
        "frames_skipped": counters.skipped,
        "frames_refused": counters.refused,
        "frames_lost_in_transport": pipeline.transport.lost,
        "latency_p50_ms": f"{counters.latency_percentile_ms(50):.1f}",
        "latency_p95_ms": f"{counters.latency_percentile_ms(95):.1f}",
    }
    for stage in STAGES:
        for percent in (50, 95):
            values[f"{stage}_p{percent}_ms"] = f"{counters.stage_percentile_ms(stage, percent):.2f}"
    values |= {f"problems_{kind}": count for kind, count in problems.counts.items()}
    values["last_problem"] = problems.last
    status = DiagnosticStatus(name=f"{node_name}: tracking", hardware_id="")
    if not pipeline.running:
        status.level, status.message = DiagnosticStatus.OK, "inactive"
    elif images and images.silence:
        status.level, status.message = DiagnosticStatus.WARN, images.silence
    elif not counters.tracked:
        status.level, status.message = DiagnosticStatus.WARN, "no image has been tracked yet"
    elif counters.silent_for() > SILENCE:
        status.level = DiagnosticStatus.WARN
        status.message = f"no image has been tracked for {counters.silent_for():.1f} s"
    elif lost := [target_id for target_id, state in states.items() if state == "LOST"]:
        status.level, status.message = DiagnosticStatus.WARN, f"lost: {', '.join(lost)}"
    else:
        status.level, status.message = DiagnosticStatus.OK, targets or "IDLE"
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
