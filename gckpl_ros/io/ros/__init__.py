"""The ROS 2 node: wiring only. The one folder that imports rclpy and generated messages; needs a ROS 2 installation."""
