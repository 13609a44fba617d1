"""``python -m tinybev_ros.foxglove``: the bridge as a process."""

import sys

from tinybev_ros.foxglove.bridge import main

sys.exit(main())
