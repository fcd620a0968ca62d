"""`python -m gckpl_ros` is `gckpl`."""

from gckpl_ros.cli import main

main()
