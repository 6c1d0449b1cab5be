"""The jobs that a person runs, one module a job."""
