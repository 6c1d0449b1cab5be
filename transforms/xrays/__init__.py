"""Chest X-ray archives: members, decoding, preprocessing and catalogues."""
