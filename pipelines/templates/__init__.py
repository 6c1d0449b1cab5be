"""Dataflow Flex Templates of the jobs: they start what a command line would."""
