"""The parts of the jobs, one folder for each subject."""
