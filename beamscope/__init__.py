"""Whole-slide images and chest X-ray archives to embeddings, with Apache Beam."""
