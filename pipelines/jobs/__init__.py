"""The embedding jobs, one module each, and the steps that they share."""
