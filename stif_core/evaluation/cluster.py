"""Sequences spread over a ray cluster; needs the extra ``[cluster]``.

Every node has this package in the same version, and sees data set and model under the same paths.
"""

from collections.abc import Iterator

import cv2

from stif_core.evaluation.run import Track
from stif_core.evaluation.runs import Task, run_task

RETRIES = 3  # of a sequence whose node died


def run_on_cluster(tasks: list[Task], address: str) -> Iterator[tuple[Task, Track]]:
    """Yields each result as it comes; a task whose node dies runs again on another.

    Args:
        tasks: Sent out together, each with its number of threads; a core of the cluster runs one at a time.
        address: ``auto``, ``HOST:PORT`` of the head node, or ``local`` for a cluster of this machine alone.

    Raises:
        ValueError: ray is not installed, there is no cluster at the address, or a task raised it.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError("--ray needs the package ray: pip install 'stif_core[cluster]'") from None

    joined = ray.is_initialized()
    if not joined:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"no ray cluster at '{address}': {error}") from None
    try:
        remote = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(run_within_threads)
        pending = {remote.remote(task): task for task in tasks}
        while pending:
            (done,), _ = ray.wait(list(pending))
            try:
                yield pending.pop(done), ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise ValueError(str(error.cause)) from None
            except ray.exceptions.RayError as error:
                raise ValueError(f"the cluster gave up after {RETRIES} retries: {error}") from None
    finally:
        if not joined:
            ray.shutdown()


def run_within_threads(task: Task) -> Track:
    """``run_task`` with OpenCV kept to the task's threads, as the backends are; it would take all cores of the node."""
    cv2.setNumThreads(task.choice.threads)
    return run_task(task)
