"""Hours and cost of a job: what is known of throughput and prices."""
