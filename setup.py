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
    packages=[*find_packages(include=["stif_core", "stif_core.*"]), "stif_core.bags.msg"],
    # The definitions of our messages, that bags need without ROS, lie where ROS expects them.
    package_dir={"stif_core.bags.msg": "msg"},
    package_data={
        "stif_core.bags.msg": ["*.msg"],
        "stif_core.evaluation.datasets": ["*.txt"],
        "stif_core.evaluation.report": ["*.html"],
        "stif_core.weights": ["*.json", "*.md", "*.onnx", "*.safetensors"],
    },
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
            "onnxslim>=0.1.50",
            "lightning>=2.6",  # EMAWeightAveraging
            "jsonargparse[signatures]>=4.40",
            "tensorboard>=2.16",
            "cachetools>=5",
            "scipy>=1.11",
        ],
        "bags": ["rosbags>=0.11.9"],  # reads and writes ROS 2 bags without ROS
        # CSRT and KCF are in opencv-contrib-python-headless, which owns the same cv2 folder as the wheel above: to
        # compare with them, uninstall that one first. So contrib is not listed here.
        "eval": ["scikit-image>=0.22", "onnx>=1.16", "matplotlib>=3.8", "jinja2>=3.1", "psutil>=5.9"],
        "vot": ["vot-trax>=4"],  # the toolkit itself lives in an environment of its own
        "cluster": ["ray>=2.40"],
        "tensorrt": ["tensorrt>=8.6", "cuda-python>=12.6"],
        # Builds engines without a GPU; onnx rewrites graphs for SM75.
        "tensorrt-rtx": [
            "tensorrt-rtx-cu12-libs>=1.4",
            "tensorrt-rtx-cu12-bindings>=1.4",
            "cuda-python>=12.6",
            "onnx>=1.16",
        ],
        "openvino": ["openvino>=2024.0"],
    },
    entry_points={"console_scripts": ["stif = stif_core.cli:main"]},
)
