"""ROS 2 nodes; colcon adds the generated ``stif_ros.msg`` and ``stif_ros.srv``."""

from pkgutil import extend_path

# In a source checkout this folder holds no generated code: let Python look for
# it in the other stif_ros folders on its path (the colcon install space).
__path__ = extend_path(__path__, __name__)
