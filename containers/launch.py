"""What a Flex Template starts: the job that the image was built for, with the launch's parameters.

Dataflow runs a file by its path, in the image; all else is in `templates.flex_template`.
"""

import os
import sys

from beamscope.pipelines.templates.flex_template import launch

if __name__ == "__main__":
    sys.exit(launch(os.environ["BEAMSCOPE_JOB"], sys.argv[1:]))
