#!/usr/bin/env bash
# Runs a command with ROS 2, the Python environment and the package as built in the image.
set -e
source /opt/stif/bin/activate
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/install/setup.bash
exec "$@"
