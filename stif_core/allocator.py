"""Keeps the memory that images and network layers need in the process."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's options in malloc.h


def keep_freed_memory() -> None:
    """Lets glibc keep the large blocks that every image and every training step frees and asks for again.

    By default it returns them to the kernel, which clears each page anew: a third of the time of a training step of
    ``nano``, and more than it takes to receive an image. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # glibc before 2.35 takes no more than 32 MiB.
        mallopt(MMAP_THRESHOLD, 2**30) or mallopt(MMAP_THRESHOLD, 2**25)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
