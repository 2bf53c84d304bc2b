"""The core alone, `stif_core` and the command `stif`, for machines without ROS. colcon builds from CMakeLists.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "stif_core/__init__.py").read_text(), re.MULTILINE)[1]
README = HERE / "README.md"

setup(
    name="stif_core",
    version=VERSION,
    description="STIF: a visual object tracker for robots",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["stif_core", "stif_core.*"]),
    package_data={"stif_core.weights": ["*.json", "*.md", "*.onnx", "*.safetensors"]},
    install_requires=[
        "numpy>=1.26,<3",
        "onnxruntime>=1.16",
        # `pip install` must give a `stif` that works, so it brings OpenCV, without a GUI. A robot builds with colcon,
        # which does not read this list, and keeps apt's cv2. That one carries no pip metadata: pip cannot see it and
        # would put this wheel in front of it, so on a robot do not pip-install this package without --no-deps.
        "opencv-python-headless>=4.5",
        "rich>=13",
        "safetensors>=0.4",
        "typer>=0.12",
    ],
    extras_require={
        "train": [
            "torch>=2.4",
            "onnx>=1.16",
            "lightning>=2.6",  # EMAWeightAveraging
            "jsonargparse[signatures]>=4.40",
            "tensorboard>=2.16",
            "cachetools>=5",
            "scipy>=1.11",
        ],
        # CSRT and KCF are in opencv-contrib-python-headless, which owns the same cv2 folder as the wheel above: to
        # compare with them, uninstall that one first. So contrib is not listed here.
        "eval": ["scikit-image>=0.22", "onnx>=1.16"],
        "tensorrt": ["tensorrt>=8.6"],
        "openvino": ["openvino>=2024.0"],
    },
    entry_points={"console_scripts": ["stif = stif_core.cli:main"]},
)
