"""Runners: runner configs, Flink, Dataflow, GPUs."""
