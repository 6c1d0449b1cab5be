"""`python -m beamscope`: the same as the command `beamscope`."""

from beamscope.pipelines.main import command

command()
