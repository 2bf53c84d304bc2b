"""ROS 2 bags without ROS: read, replayed through the tracker, made of sequence folders."""
