"""The node's entry in /diagnostics."""

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from stif_ros.pipeline import TrackingPipeline

SILENCE = 1.0  # seconds without a tracked image that are worth a warning


def diagnostic_array(
    stamp: Time, node_name: str, pipeline: TrackingPipeline, backend: str, last_problem: str
) -> DiagnosticArray:
    """One status: WARN while the target is LOST or no image is tracked (none comes, or none can be used), else OK."""
    counters = pipeline.counters
    values = {
        "state": pipeline.state,
        "backend": backend,
        "rate_hz": f"{counters.rate_hz():.1f}",
        "frames_received": counters.received,
        "frames_tracked": counters.tracked,
        "frames_skipped": counters.skipped,
        "frames_refused": counters.refused,
        "frames_lost_in_transport": pipeline.transport.lost,
        "latency_p50_ms": f"{counters.latency_percentile_ms(50):.1f}",
        "latency_p95_ms": f"{counters.latency_percentile_ms(95):.1f}",
        "track_p50_ms": f"{counters.track_percentile_ms(50):.1f}",
        "track_p95_ms": f"{counters.track_percentile_ms(95):.1f}",
        "last_problem": last_problem,
    }
    status = DiagnosticStatus(name=f"{node_name}: tracking", hardware_id="")
    if not pipeline.running:
        status.level, status.message = DiagnosticStatus.OK, "inactive"
    elif not counters.tracked:
        status.level, status.message = DiagnosticStatus.WARN, "no image has been tracked yet"
    elif counters.silent_for() > SILENCE:
        status.level = DiagnosticStatus.WARN
        status.message = f"no image has been tracked for {counters.silent_for():.1f} s"
    elif pipeline.state == "LOST":
        status.level, status.message = DiagnosticStatus.WARN, "the target is lost"
    else:
        status.level, status.message = DiagnosticStatus.OK, pipeline.state.lower()
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
