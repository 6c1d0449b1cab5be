"""The command line: jobs, commands, flags and runners. The algorithms are in `transforms`."""
