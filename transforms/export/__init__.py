"""Write a finished dataset in the formats of other programs."""
