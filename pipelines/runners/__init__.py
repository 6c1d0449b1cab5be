"""Where a job runs: runner configs, Flink, Dataflow, GPUs."""
