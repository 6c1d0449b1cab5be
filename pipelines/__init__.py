"""The jobs that a person runs: options, wiring, main(). No algorithm lives here."""
