# The node on ROS 2 Jazzy (Ubuntu 24.04, Python 3.12), for the processor:
#   docker build -f .ci/docker/jazzy.Dockerfile -t gckpl_ros:jazzy .
# --build-arg TORCH_INDEX= takes the torch with CUDA. docs/installation.md has how to run it. Checked by linters only.
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG DEBIAN_FRONTEND=noninteractive
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# Ubuntu 24.04's image has one user besides root: ubuntu.
WORKDIR /workspace

# What apt has, by package.xml alone: a change of the sources does not fetch it anew. No RViz on a robot. Versions are
# those of the day: ROS's repository keeps no older ones.
COPY package.xml src/gckpl_ros/package.xml
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv "ros-$ROS_DISTRO-rmw-cyclonedds-cpp" \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths src --ignore-src --default-yes --skip-keys "rviz2 vision_msgs_rviz_plugins" \
    && rm -rf /var/lib/apt/lists/* /root/.ros

# What pip has. rosidl finds its own tools in the system's packages, which this environment sees.
COPY .ci/requirements-ros.txt /tmp/requirements-ros.txt
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint /tmp/requirements-ros.txt \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /tmp/requirements-ros.txt

# CMake takes the Python of the active environment, which VIRTUAL_ENV and PATH make it, and writes it into the executables.
# PYTHONPATH is for launch files, which run in ros2's own Python; ROS puts its folders before it.
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/venv/lib/python3.12/site-packages
COPY . src/gckpl_ros
RUN . "/opt/ros/$ROS_DISTRO/setup.bash" \
    && colcon build --packages-select gckpl_ros --cmake-args -DBUILD_TESTING=OFF \
    && rm -rf build log \
    && chown ubuntu /workspace

# As root until here: apt needs it, and nobody but root can change what is installed.
USER ubuntu
COPY .ci/docker/entrypoint /entrypoint
ENTRYPOINT ["/entrypoint"]
CMD ["ros2", "launch", "gckpl_ros", "gckpl.launch.py"]
